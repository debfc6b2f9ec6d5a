package resp_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/lmcache-go/lmcache/internal/leak"
	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/l2/l2test"
	"github.com/lmcache-go/lmcache/l2/resp"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// refuser is a server that holds every object as a value of 9 bytes under every name and
// answers as refuse says instead, if that is not empty.
type refuser struct {
	refuse func(cmd, key string) string
	addr   string
}

func startRefuser(t *testing.T, refuse func(cmd, key string) string) *refuser {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &refuser{refuse: refuse, addr: l.Addr().String()}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() { // ends with the client's end of the connection
				_ = r.serve(c)
				_ = c.Close()
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		all.Wait()
	})
	return r
}

// serve answers the commands of one connection.
func (r *refuser) serve(c net.Conn) error {
	in := bufio.NewReader(c)
	for {
		args, err := command(in)
		if err != nil {
			return err
		}
		cmd, key := strings.ToUpper(args[0]), ""
		if len(args) > 1 {
			key = args[1]
		}
		answer := "+OK\r\n"
		switch cmd {
		case "STRLEN":
			answer = ":9\r\n"
		case "GET":
			answer = "$9\r\n123456789\r\n"
		case "UNLINK":
			answer = ":1\r\n"
		case "INFO":
			answer = "$0\r\n\r\n"
		case "SCAN":
			answer = "*2\r\n$1\r\n0\r\n*0\r\n"
		case "HELLO":
			answer = "-ERR unknown command 'HELLO'\r\n"
		}
		if text := r.refuse(cmd, key); text != "" {
			answer = "-" + text + "\r\n"
		}
		if _, err := io.WriteString(c, answer); err != nil {
			return err
		}
	}
}

// command reads one command.
func command(in *bufio.Reader) ([]string, error) {
	number := func(mark byte) (int, error) {
		line, err := in.ReadString('\n')
		if err != nil || line[0] != mark {
			return 0, fmt.Errorf("%q: %w", line, errors.Join(err, errors.New("no command")))
		}
		return strconv.Atoi(strings.TrimSpace(line[1:]))
	}
	n, err := number('*')
	if err != nil || n < 1 {
		return nil, errors.Join(err, errors.New("nothing is asked"))
	}
	args := make([]string, n)
	for i := range args {
		size, err := number('$')
		if err != nil {
			return nil, err
		}
		b := make([]byte, size+2)
		if _, err := io.ReadFull(in, b); err != nil {
			return nil, err
		}
		args[i] = string(b[:size])
	}
	return args, nil
}

// refusals are what servers say that cannot serve now, or not here.
var refusals = map[string]l2.Reason{
	"LOADING Redis is loading the dataset in memory":                                          l2.ReasonThrottled,
	"BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.":  l2.ReasonThrottled,
	"CLUSTERDOWN The cluster is down":                                                         l2.ReasonThrottled,
	"CLUSTERDOWN Hash slot not served":                                                        l2.ReasonThrottled,
	"MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.":        l2.ReasonThrottled,
	"TRYAGAIN Multiple keys request during rehashing of slot":                                 l2.ReasonThrottled,
	"READONLY You can't write against a read only replica.":                                   l2.ReasonIO,
	"MOVED 3999 127.0.0.1:1":                                                                  l2.ReasonIO,
	"ASK 3999 127.0.0.1:1":                                                                    l2.ReasonIO,
	"NOAUTH Authentication required.":                                                         l2.ReasonIO,
	"NOPERM User default has no permissions to run this command":                              l2.ReasonIO,
	"MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist": l2.ReasonIO,
	"ERR something that nobody has thought of":                                                l2.ReasonIO,
}

// What a server that cannot serve now says to a lookup, load, store, deletion or list is
// an error with its cause, and never that the object is not there.
func TestRefusals(t *testing.T) {
	leak.Check(t)
	for text, want := range refusals {
		word, _, _ := strings.Cut(text, " ")
		data := func(cmds ...string) func(string, string) string {
			return func(cmd, _ string) string {
				if slices.Contains(cmds, cmd) {
					return text
				}
				return ""
			}
		}
		check := func(what string, err error) {
			t.Helper()
			if err == nil || l2.ReasonOf(err) != want || l2.Unreachable(err) || !strings.Contains(err.Error(), strings.TrimPrefix(text, "ERR ")) {
				t.Errorf("%s, %s: %v, want %s", word, what, err, want)
			}
		}
		for _, cmds := range [][]string{{"STRLEN", "GET", "SET", "UNLINK", "SCAN"}, {"GET", "SET", "UNLINK"}} {
			t.Run(word+"/"+cmds[0], func(t *testing.T) {
				s := startRefuser(t, data(cmds...))
				a := open(t, resp.Options{Addrs: []string{s.addr}, Format: l2.Format{Raw: true}})
				l2test.Closing(t, a)
				keys := []kv.Key{l2test.Key(t, 1), l2test.Key(t, 2)}
				if cmds[0] == "STRLEN" {
					found := make([]l2.Found, 2)
					err := a.Lookup(t.Context(), keys, found)
					for i := range found {
						check("lookup", errors.Join(err, found[i].Err))
						if found[i].OK {
							t.Errorf("%s: found", word)
						}
					}
					_, err = a.List(t.Context(), l2.ListQuery{PageSize: 10})
					check("list", err)
				}
				room := []l2.Item{{Key: keys[0], Data: make([]byte, 9)}, {Key: keys[1], Data: make([]byte, 9)}}
				err := a.Load(t.Context(), room)
				for i := range room {
					check("load", errors.Join(err, room[i].Err))
				}
				// A value of another size is written, one of the same is there.
				items := []l2.Item{{Key: keys[0], Data: make([]byte, 8)}, {Key: keys[1], Data: make([]byte, 8)}}
				err = a.Store(t.Context(), items)
				for i := range items {
					check("store", errors.Join(err, items[i].Err))
				}
				freed := make([]int64, 2)
				err = a.Delete(t.Context(), keys, freed)
				check("delete", err)
			})
		}
	}
}

// A server that refuses one key serves the others.
func TestRefusalOfOneKey(t *testing.T) {
	leak.Check(t)
	format := l2.Format{Raw: true}
	keys := []kv.Key{l2test.Key(t, 1), l2test.Key(t, 2)}
	s := startRefuser(t, func(_, key string) string {
		if key == format.RemoteName(keys[0]) {
			return "CLUSTERDOWN Hash slot not served"
		}
		return ""
	})
	a := open(t, resp.Options{Addrs: []string{s.addr}, Format: format})
	l2test.Closing(t, a)
	found := make([]l2.Found, 2)
	if err := a.Lookup(t.Context(), keys, found); err != nil {
		t.Fatal(err)
	}
	if l2.ReasonOf(found[0].Err) != l2.ReasonThrottled || found[0].OK || !found[1].OK || found[1].Err != nil || found[1].Size != 9 {
		t.Errorf("lookup: %+v", found)
	}
	room := []l2.Item{{Key: keys[0], Data: make([]byte, 9)}, {Key: keys[1], Data: make([]byte, 9)}}
	if err := a.Load(t.Context(), room); err != nil || l2.ReasonOf(room[0].Err) != l2.ReasonThrottled || room[1].Err != nil || room[1].N != 9 {
		t.Errorf("load: %v, %v, %v", err, room[0].Err, room[1].Err)
	}
	items := []l2.Item{{Key: keys[0], Data: make([]byte, 8)}, {Key: keys[1], Data: make([]byte, 8)}}
	if err := a.Store(t.Context(), items); err != nil || l2.ReasonOf(items[0].Err) != l2.ReasonThrottled || items[1].Err != nil || items[1].N != 8 {
		t.Errorf("store: %v, %v, %v", err, items[0].Err, items[1].Err)
	}
	freed := make([]int64, 2)
	if err := a.Delete(t.Context(), keys, freed); err != nil || freed[0] != -1 || freed[1] != 9 {
		t.Errorf("delete: %v, %v", err, freed)
	}
}
