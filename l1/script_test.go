package l1_test

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lmcache-go/lmcache/eventbus"
	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/storage/kv"
)

var update = flag.Bool("update", false, "rewrite the expected output of testdata")

// Each file of testdata is a script: a command per line, and below it, indented,
// what it says and which events it causes. Lines that begin with # are comments;
// run has the commands.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := runScript(t, string(want))
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("%s (-want +got); if it should, run the test with -update:\n%s", file, diff)
			}
		})
	}
}

// scripted runs the commands of one script.
type scripted struct {
	*fixture
	writes map[string]l1.WriteLease
	reads  map[string]l1.ReadLease
	events []string
}

func runScript(t *testing.T, text string) string {
	t.Helper()
	s := &scripted{writes: map[string]l1.WriteLease{}, reads: map[string]l1.ReadLease{}}
	var out strings.Builder
	lines := bufio.NewScanner(strings.NewReader(text))
	for lines.Scan() {
		line := lines.Text()
		if strings.HasPrefix(line, "\t") {
			continue // of the last run
		}
		out.WriteString(line + "\n")
		words := strings.Fields(line)
		if len(words) == 0 || strings.HasPrefix(line, "#") {
			continue
		}
		if words[0] == "open" {
			s.open(t, words[1:])
			continue
		}
		for _, l := range s.run(words) {
			out.WriteString("\t" + l + "\n")
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.writes)) {
		s.writes[name].Abort(s.now(), l1.AbortOwner)
	}
	for _, name := range slices.Sorted(maps.Keys(s.reads)) {
		s.reads[name].Finish(s.now(), l1.CauseUnused)
	}
	return out.String()
}

// open makes the manager: a number of objects, and name=value options.
func (s *scripted) open(t *testing.T, words []string) {
	t.Helper()
	objects, err := strconv.ParseInt(words[0], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	o := l1.Options{Bytes: objects * unit, Bus: eventbus.New(eventbus.Options{Manual: true})}
	for _, w := range words[1:] {
		switch name, value, _ := strings.Cut(w, "="); name {
		case "policy":
			o.Policy = value
		case "mode":
			o.Mode = l1.Mode(value)
		default:
			t.Fatalf("unknown option %q", name)
		}
	}
	if _, err := o.Bus.Subscribe(s); err != nil {
		t.Fatal(err)
	}
	s.fixture = newFixture(t, o)
}

// scriptKeys reads a list such as a1b: the chunks of a prompt are a, b, and so on;
// a digit behind a letter is the rank of two, and tenant/ before it is a salt.
func scriptKeys(word string) []kv.Key {
	salt, list, salted := strings.Cut(word, "/")
	if !salted {
		salt, list = "", word
	}
	var keys []kv.Key
	for i := 0; i < len(list); i++ {
		c := int(list[i])
		k := chunk(c, 0)
		if i+1 < len(list) && list[i+1] >= '0' && list[i+1] <= '1' {
			k = rankOf(c, 0, int(list[i+1]-'0'), 2)
			i++
		}
		k.Salt = salt
		keys = append(keys, k)
	}
	return keys
}

// scriptNames is the opposite of scriptKeys.
func scriptNames(keys []kv.Key) string {
	var s strings.Builder
	salt := ""
	for _, k := range keys {
		if k.Salt != salt {
			salt = k.Salt
			s.WriteString(salt + "/")
		}
		h, _ := k.Hash.Array()
		s.WriteByte(h[11])
		if k.Rank>>24 == 2 {
			s.WriteByte('0' + byte(k.Rank>>16&0xff))
		}
	}
	return s.String()
}

// run carries out one command and returns what it says, and the events.
func (s *scripted) run(w []string) []string {
	s.t.Helper()
	s.events = nil
	at := s.now()
	arg := func(i int) string {
		if i < len(w) {
			return w[i]
		}
		return ""
	}
	var say string
	switch w[0] {
	case "reserve": // LEASE MODE KEYS [temporary]
		o := l1.WriteOptions{Owner: w[1]}
		keys := scriptKeys(w[3])
		if arg(4) == "temporary" {
			o.Temporary = slices.Repeat([]bool{true}, len(keys))
		}
		mode := map[string]l1.WriteMode{"new": l1.WriteNew, "update": l1.WriteUpdate, "all": l1.WriteAll}[w[2]]
		l, err := s.m.ReserveWrite(at, keys, s.layout, mode, o)
		s.writes[w[1]] = l
		say = codesOf(len(keys), l.Code, err)
	case "finish": // LEASE
		r := s.writes[w[1]].Finish(at, l1.OriginNew)
		say = fmt.Sprintf("finished %s failed %s", dash(r.Finished), dash(r.Failed))
	case "promote": // LEASE READER [HOLDERS]: finish and lease in one step
		n, _ := strconv.Atoi(arg(3))
		l := s.writes[w[1]]
		keys := len(l.Keys())
		s.reads[w[2]] = l.FinishAndRead(at, n)
		say = codesOf(keys, s.reads[w[2]].Code, nil)
	case "abort": // LEASE
		s.writes[w[1]].Abort(at, l1.AbortOwner)
	case "read": // LEASE KEYS [HOLDERS]
		keys := scriptKeys(w[2])
		n, _ := strconv.Atoi(arg(3))
		l, err := s.m.ReserveRead(at, keys, s.layout, l1.ReadOptions{Owner: w[1], Readers: n})
		s.reads[w[1]] = l
		say = codesOf(len(keys), l.Code, err)
		for i := range keys {
			if d := l.Detail(i); d != l1.DetailNone {
				say += " " + d.String()
			}
		}
	case "take": // FROM LEASE
		keys := len(s.reads[w[1]].Keys())
		l, bad := s.reads[w[1]].Take(at, l1.All(keys))
		s.reads[w[2]] = l
		say = fmt.Sprintf("%s bad %d", codesOf(keys, l.Code, nil), bad)
	case "release": // LEASE CAUSE
		r := s.reads[w[1]].Finish(at, l1.ReadCause(w[2]))
		say = fmt.Sprintf("released %s failed %s", dash(r.Released), dash(r.Failed))
	case "renew": // LEASE
		if l, ok := s.writes[w[1]]; ok {
			say = fmt.Sprint(l.Renew(at))
		} else {
			say = fmt.Sprint(s.reads[w[1]].Renew(at))
		}
	case "touch":
		s.m.Touch(at, scriptKeys(w[1]))
	case "delete": // KEYS [force]
		keys := scriptKeys(w[1])
		codes := s.m.Delete(at, keys, arg(2) == "force")
		say = codesOf(len(keys), func(i int) l1.Code { return codes[i] }, nil)
	case "clear": // [force]
		say = fmt.Sprint(s.m.Clear(at, arg(1) == "force"))
	case "quota": // SALT OBJECTS|none
		salt := strings.Trim(w[1], `"`)
		if w[2] == "none" {
			say = fmt.Sprint(s.m.DeleteQuota(salt))
			break
		}
		n, _ := strconv.ParseInt(w[2], 10, 64)
		if err := s.m.SetQuota(at, salt, n*unit); err != nil {
			say = errors.Unwrap(err).Error()
		}
	case "pass": // DURATION
		d, err := time.ParseDuration(w[1])
		if err != nil {
			s.t.Fatal(err)
		}
		s.advance(d)
	case "state":
		st := s.m.Stats()
		say = fmt.Sprintf("resident %d leased %d staged %d orphaned %d used %d",
			st.Objects, st.LeasedBytes/unit, st.StagedBytes/unit, st.OrphanedBytes/unit, st.UsedBytes/unit)
	default:
		s.t.Fatalf("unknown command %q", w[0])
	}
	s.check()
	s.bus.Drain(s.now())
	if say == "" {
		return s.events
	}
	return append([]string{say}, s.events...)
}

func dash(keys []kv.Key) string {
	if len(keys) == 0 {
		return "-"
	}
	return scriptNames(keys)
}

func codesOf(n int, code func(int) l1.Code, err error) string {
	if err != nil {
		return err.Error()
	}
	list := make([]string, n)
	for i := range n {
		list[i] = code(i).String()
	}
	return strings.Join(list, " ")
}

func (*scripted) Name() string { return "script" }

func (s *scripted) Subscribe(sub *eventbus.Subscription) {
	scriptEvent(s, sub, func(e l1.ReadReserved) string { return scriptNames(e.Keys) })
	scriptEvent(s, sub, func(e l1.ReadFinished) string { return scriptNames(e.Keys) + " " + string(e.Cause) })
	scriptEvent(s, sub, func(e l1.WriteReserved) string { return scriptNames(e.Keys) })
	scriptEvent(s, sub, func(e l1.WriteFinished) string { return scriptNames(e.Keys) })
	scriptEvent(s, sub, func(e l1.WriteFinishedAndReadReserved) string { return scriptNames(e.Keys) })
	scriptEvent(s, sub, func(e l1.WriteAborted) string { return scriptNames(e.Keys) + " " + string(e.Cause) })
	scriptEvent(s, sub, func(e l1.KeysEvicted) string {
		return fmt.Sprintf("%s %s for %q", scriptNames(e.Keys), e.Cause, e.Owner)
	})
	scriptEvent(s, sub, func(e l1.KeysAccessed) string { return scriptNames(e.Keys) })
	scriptEvent(s, sub, func(e l1.LeaseExpired) string {
		return fmt.Sprintf("%s %s of %s after %v", scriptNames(e.Keys), e.Kind, e.Owner, e.Age)
	})
}

func scriptEvent[E eventbus.Event](s *scripted, sub *eventbus.Subscription, text func(E) string) {
	eventbus.On(sub, func(e E, _ time.Time) { s.events = append(s.events, "! "+e.EventName()+" "+text(e)) })
}
