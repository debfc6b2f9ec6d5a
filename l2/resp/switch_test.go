package resp_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/lmcache-go/lmcache/internal/leak"
	"github.com/lmcache-go/lmcache/internal/servertest"
	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/l2/l2test"
	"github.com/lmcache-go/lmcache/l2/resp"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// replicated is a replica and its master, which both have the objects 0 to n-1.
func replicated(t *testing.T, n int, args ...string) (replica, master *servertest.Server) {
	t.Helper()
	replica, master = servertest.Redis(t), servertest.Redis(t, append(args, "--repl-diskless-sync-delay", "0")...)
	seed := open(t, resp.Options{Addrs: []string{master.Addr}})
	l2test.Closing(t, seed)
	items := make([]l2.Item, n)
	for i := range items {
		items[i] = l2test.Item(t, i, "payload")
	}
	if err := seed.Store(t.Context(), items); err != nil {
		t.Fatal(err)
	}
	replica.Follow(master)
	a := open(t, resp.Options{Addrs: []string{replica.Addr}})
	l2test.Closing(t, a)
	servertest.Eventually(t, func() error { return loaded(t, a, n-1) })
	return replica, master
}

// loaded loads an object, and returns its error.
func loaded(t *testing.T, a *resp.Adapter, n int) error {
	t.Helper()
	items := []l2.Item{l2test.Room(t, n, 7)}
	if err := a.Load(t.Context(), items); err != nil {
		return err
	}
	return items[0].Err
}

// uses waits until an adapter uses a server.
func uses(t *testing.T, a *resp.Adapter, s *servertest.Server) {
	t.Helper()
	servertest.Eventually(t, func() error {
		if d := a.Describe(); d["server"] != s.Addr {
			return fmt.Errorf("it uses %v, want %s", d, s.Addr)
		}
		return nil
	})
}

// When the master takes the place of the replica that was found first, the calls that the
// replica is serving go on.
func TestSwitchEndsNoCall(t *testing.T) {
	leak.Check(t)
	replica, master := replicated(t, 1)
	for range 20 {
		a := open(t, resp.Options{Addrs: []string{replica.Addr, master.Addr}})
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for range 10 {
					if err := loaded(t, a, 0); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		uses(t, a, master)
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	}
}

// A list that begins at the replica and goes on at the master has all objects.
func TestSwitchInAList(t *testing.T) {
	leak.Check(t)
	const n = 3000
	replica, master := replicated(t, n)
	master.Hang()
	a := ofTwo(t, replica, master)
	seen := map[kv.Key]bool{}
	q := l2.ListQuery{PageSize: 1000}
	for first := true; first || q.Cursor != ""; first = false {
		p, err := a.List(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range p.Entries {
			seen[e.Key] = true
		}
		if q.Cursor = p.Next; first {
			master.Resume()
			uses(t, a, master)
		}
	}
	if len(seen) != n {
		t.Errorf("%d of %d objects were listed", len(seen), n)
	}
}

// A replica that is lost while a master is looked for is connected to again at once: the
// silence of the master is nobody's business.
func TestReplicaIsLostDuringTheSearch(t *testing.T) {
	leak.Check(t)
	replica, master := replicated(t, 1)
	master.Hang()
	defer master.Resume()
	a := ofTwo(t, replica, master)
	if err := loaded(t, a, 0); err != nil {
		t.Fatal(err)
	}
	replica.Kill()
	if err := loaded(t, a, 0); !l2.Unreachable(err) {
		t.Errorf("without the replica: %v", err)
	}
	replica.Restart()
	ctx, cancel := context.WithTimeout(t.Context(), resp.DefaultRequestTimeout/2)
	defer cancel()
	if err := a.Lookup(ctx, []kv.Key{l2test.Key(t, 0)}, make([]l2.Found, 1)); err != nil {
		t.Errorf("with the replica: %v", err)
	}
}

// An address that leads to the master, whichever server that is, is followed.
func TestAddressOfTheMaster(t *testing.T) {
	first, second := servertest.Redis(t), servertest.Redis(t)
	second.Follow(first)
	var to atomic.Value
	to.Store(first.Addr)
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	go forward(t.Context(), l, &to)
	a := open(t, resp.Options{Addrs: []string{l.Addr().String(), first.Addr}})
	l2test.Closing(t, a)
	if err := stored(t, a, 1); err != nil {
		t.Fatal(err)
	}
	second.Follow(nil)
	first.Follow(second)
	to.Store(second.Addr)
	if err := stored(t, a, 2); !refusedNow(err) {
		t.Errorf("over the old connection: %v", err)
	}
	servertest.Eventually(t, func() error { return stored(t, a, 2) })
}

// forward connects who comes to l with the server at an address.
func forward(ctx context.Context, l net.Listener, to *atomic.Value) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer func() { _ = c.Close() }()
			addr, _ := to.Load().(string)
			s, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
			if err != nil {
				return
			}
			defer func() { _ = s.Close() }()
			go func() { _, _ = io.Copy(s, c) }()
			_, _ = io.Copy(c, s)
		}()
	}
}

// A server that has lost its master and therefore answers nothing is left.
func TestReplicaWithoutItsMaster(t *testing.T) {
	first, second, gone := servertest.Redis(t), servertest.Redis(t), servertest.Redis(t)
	gone.Kill()
	a := ofTwo(t, first, second)
	if err := stored(t, a, 1); err != nil {
		t.Fatal(err)
	}
	first.Command("CONFIG SET replica-serve-stale-data no")
	first.Follow(gone)
	if err := stored(t, a, 2); !errors.Is(err, l2.ErrThrottled) || !strings.Contains(err.Error(), "MASTERDOWN") {
		t.Errorf("a store: %v", err)
	}
	servertest.Eventually(t, func() error { return stored(t, a, 2) })
	uses(t, a, second)
}

// A master that is still reading its file does not take the place of a replica that
// serves.
func TestMasterThatLoads(t *testing.T) {
	replica, master := replicated(t, 1000, "--enable-debug-command", "yes", "--key-load-delay", "10000", "--loading-process-events-interval-bytes", "1024")
	c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", master.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if _, err := c.Write([]byte("DEBUG RELOAD\r\n")); err != nil { // takes 10 s
		t.Fatal(err)
	}
	ask := client(t, master.Addr)
	servertest.Eventually(t, func() error {
		info, err := ask.Do(t.Context(), ask.B().Info().Section("persistence").Build()).ToString()
		if err == nil && !strings.Contains(info, "\r\nloading:1\r\n") {
			err = errors.New("it does not load")
		}
		return err
	})
	a := ofTwo(t, replica, master)
	for range 3 {
		if err := loaded(t, a, 0); err != nil {
			t.Error(err)
		}
	}
	servertest.Eventually(t, func() error {
		if a.Connecting() {
			return errors.New("a master is looked for")
		}
		return nil
	})
	if d := a.Describe(); d["server"] != replica.Addr {
		t.Errorf("it uses %v, want the replica", d)
	}
}

// Why the master is not used is told with what follows from it.
func TestMasterThatRefuses(t *testing.T) {
	replica, master := replicated(t, 1)
	master.Command("CONFIG SET requirepass other")
	a := ofTwo(t, replica, master)
	servertest.Eventually(t, func() error {
		if err := stored(t, a, 2); !refusedNow(err) || !strings.Contains(err.Error(), "(no master was found: resp: "+master.Addr+": refused by the store: NOAUTH") {
			return fmt.Errorf("a store: %w", err)
		}
		return nil
	})
}
