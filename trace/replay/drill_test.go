package replay

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/lmcache-go/lmcache/eventbus"
	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/storage"
	"github.com/lmcache-go/lmcache/storage/kv"
	"github.com/lmcache-go/lmcache/trace"
)

// drill makes random calls on a manager in virtual time, one request at a time, and
// everything else that is recorded in between.
type drill struct {
	t      testing.TB
	m      *storage.Manager
	v      *storage.Virtual
	rng    *rand.Rand
	layout kv.Layout
	quotas bool
	tiers  int

	held []*storage.Prefetch  // of requests that go on
	open []storage.ReadLease  // of readers that take their time
	late []storage.WriteLease // of writers that do
}

func (d *drill) chance(n int) bool { return d.rng.IntN(n) == 0 }

// pass lets up to so much time go by.
func (d *drill) pass(most time.Duration) {
	d.v.RunUntil(d.v.Now().Add(1 + time.Duration(d.rng.Int64N(int64(most)))))
}

func (d *drill) check(err error) {
	d.t.Helper()
	if err != nil {
		d.t.Fatal(err)
	}
}

// prompt is some chunks of one of a few prompts.
func (d *drill) prompt() []kv.Key {
	salt, prompt := []string{"", "a", "b"}[d.rng.IntN(3)], d.rng.IntN(4)
	keys := make([]kv.Key, 1+d.rng.IntN(12))
	for i := range keys {
		var b [32]byte
		copy(b[:], fmt.Sprintf("%04d/%04d", prompt, i))
		keys[i] = kv.Key{Hash: kv.Hash32(b), Model: "m", Salt: salt, Rank: 0x01000100}
	}
	if d.chance(9) { // a key stands there twice
		keys = append(keys, keys[d.rng.IntN(len(keys))])
	}
	return keys
}

// take removes a random element.
func take[E any](rng *rand.Rand, list *[]E) (e E, ok bool) {
	if len(*list) == 0 {
		return e, false
	}
	i := rng.IntN(len(*list))
	e = (*list)[i]
	*list = slices.Delete(*list, i, i+1)
	return e, true
}

func (d *drill) request(n int) {
	ctx, keys := context.Background(), d.prompt()
	o := storage.PrefetchOptions{
		RequestID: fmt.Sprintf("r%d", n), Readers: 1 + d.rng.IntN(3), Policy: storage.Policy(d.rng.IntN(6) / 5),
		SkipL2: d.chance(6), Warm: d.chance(9),
	}
	if d.chance(5) {
		o.Deadline = time.Duration(1 + d.rng.Int64N(int64(30*time.Millisecond)))
	}
	p, err := d.m.SubmitPrefetch(ctx, keys, d.layout, o)
	d.check(err)
	switch d.rng.IntN(12) {
	case 0: // given up before it is known, perhaps
		d.pass(2 * time.Millisecond)
		p.Release()
		return
	case 1: // of what L1 has, something is given back early
		p.ReleaseRange(storage.Select{Hi: 1 + d.rng.IntN(3)}, 1)
	case 2: // or read
		if l, err := p.Read(ctx, storage.Select{Hi: 1}); err == nil {
			d.reading(l)
		}
	case 3:
		d.pass(3 * time.Millisecond)
	case 4: // perhaps it is not known yet
		p.Renew()
	}
	res, err := p.Wait(ctx)
	d.check(err)
	d.pass(time.Millisecond)
	if res.Prefix > 0 && !d.chance(6) {
		if l, err := p.Read(ctx, storage.Select{Hi: res.Prefix, Stride: 1 + d.rng.IntN(2)}); err == nil {
			d.reading(l)
		}
	}
	if d.chance(4) { // a reader that asks for what was not found
		if l, err := p.Read(ctx, storage.Select{Hi: len(keys)}); err == nil {
			d.reading(l)
		}
	}
	if missing := keys[min(res.Prefix, len(keys)):]; len(missing) > 0 {
		d.write(missing)
	}
	d.held = append(d.held, p)
	for len(d.held) > 3 {
		p, _ := take(d.rng, &d.held)
		p.Release()
	}
}

func (d *drill) reading(l storage.ReadLease) {
	switch d.rng.IntN(7) {
	case 0:
		l.EndScope()
		l.FinishRange(0, 1)
		d.pass(time.Millisecond)
		l.Finish()
	case 1:
		l.Abort()
	case 2:
		l.EndScope()
		d.open = append(d.open, l)
	default:
		l.Finish()
	}
}

func (d *drill) write(keys []kv.Key) {
	mode := []storage.Mode{storage.New, storage.New, storage.All, storage.Update}[d.rng.IntN(4)]
	l, err := d.m.ReserveWrite(context.Background(), keys, d.layout, mode, storage.WriteOptions{})
	d.check(err)
	if d.chance(3) {
		d.pass(5 * time.Millisecond)
	}
	switch d.rng.IntN(9) {
	case 0:
		l.FinishRange(0, 1)
		d.pass(time.Millisecond)
		l.Abort()
	case 1:
		l.Drop(0)
		l.Finish()
	case 2:
		d.late = append(d.late, l)
	default:
		l.Finish()
	}
}

// other is something that is not a request.
func (d *drill) other() {
	switch d.rng.IntN(18) {
	case 0:
		d.m.Touch(d.prompt())
	case 1:
		d.m.Delete(d.prompt()[:1], d.chance(2))
	case 2:
		if d.quotas {
			d.check(d.m.SetQuota("a", int64(d.rng.IntN(12))*objectSize))
		}
	case 3:
		if d.quotas {
			d.m.DeleteQuota("a")
		}
	case 4:
		if d.chance(3) {
			d.m.Clear(d.chance(3))
		}
	case 5:
		if d.tiers > 0 {
			_, err := d.m.DeleteL2(context.Background(), d.prompt(), d.rng.IntN(d.tiers+1)-1)
			d.check(err)
		}
	case 6:
		if d.tiers > 0 {
			d.check(d.m.StartDeleteL2(d.prompt(), storage.AllTiers, nil))
		}
	case 7, 8:
		if l, ok := take(d.rng, &d.late); ok {
			l.Finish()
		}
	case 9:
		if l, ok := take(d.rng, &d.late); ok {
			l.Abort()
		}
	case 10, 11:
		if l, ok := take(d.rng, &d.open); ok {
			l.Finish()
		}
	case 12:
		if d.chance(4) { // longer than leases live
			d.pass(12 * time.Second)
		}
	case 13:
		d.pass(4 * time.Second) // perhaps
	default:
		d.renew()
	}
}

// renew gives those who take their time more of it, if they are not late.
func (d *drill) renew() {
	if len(d.late) > 0 {
		d.late[d.rng.IntN(len(d.late))].Renew()
	}
	if len(d.open) > 0 {
		d.open[d.rng.IntN(len(d.open))].Renew()
	}
	if len(d.held) > 0 {
		d.held[d.rng.IntN(len(d.held))].Renew()
	}
}

func (d *drill) run(requests int) {
	for n := range requests {
		d.pass(20 * time.Millisecond)
		d.request(n)
		d.other()
	}
	for _, l := range d.late {
		l.Abort()
	}
	for _, l := range d.open {
		l.Finish()
	}
	for _, p := range d.held {
		p.Release()
	}
}

// log is what managers decide besides the outcomes of calls: at each moment what happened
// to which keys, and victims in their order. What one call lets go of may be several calls
// in a recording, so that the order of other keys within a moment says nothing.
type log struct {
	start time.Time
	at    time.Duration
	now   []string // what happens at this moment
	all   []string
}

func (*log) Name() string { return "log" }

func (l *log) add(at time.Time, what string, keys []kv.Key) {
	if d := at.Sub(l.start); d != l.at {
		l.flush()
		l.at = d
	}
	for i := range keys {
		victim := ""
		if what == "L1 evict" {
			victim = fmt.Sprintf(" %04d", len(l.now))
		}
		b := keys[i].Hash.Append(nil)
		l.now = append(l.now, fmt.Sprintf("%v %s%s %s%s", l.at, what, victim, keys[i].Salt, b[:9]))
	}
	if keys == nil {
		l.now = append(l.now, fmt.Sprintf("%v %s", l.at, what))
	}
}

func (l *log) flush() {
	slices.Sort(l.now)
	n := 0
	for _, line := range l.now { // numbers victims alone
		if strings.Contains(line, "L1 evict ") {
			at := strings.Index(line, "L1 evict ") + len("L1 evict ")
			line = fmt.Sprintf("%s%d%s", line[:at], n, line[at+4:])
			n++
		}
		l.all = append(l.all, line)
	}
	l.now = l.now[:0]
}

// lines is everything until now.
func (l *log) lines() []string {
	l.flush()
	return l.all
}

func (l *log) Subscribe(s *eventbus.Subscription) {
	eventbus.On(s, func(e l1.KeysEvicted, at time.Time) { l.add(at, "L1 "+string(e.Cause), e.Keys) })
	eventbus.On(s, func(e l1.WriteAborted, at time.Time) { l.add(at, "aborted", e.Keys) })
	eventbus.On(s, func(e l1.WriteFinished, at time.Time) { l.add(at, "finished", e.Keys) })
	eventbus.On(s, func(e l1.LeaseExpired, at time.Time) { l.add(at, fmt.Sprintf("expired %v", e.Kind), e.Keys) })
	eventbus.On(s, func(e storage.PrefetchResolved, at time.Time) {
		l.add(at, fmt.Sprintf("resolved %s %d+%d/%d %v", e.ExternalRequestID, e.L1Hits, e.L2Hits, e.Total, e.Misses.Map()), nil)
	})
	eventbus.On(s, func(e storage.L2KeysStored, at time.Time) {
		l.add(at, fmt.Sprintf("tier %d stored", e.AdapterIndex), e.Keys)
	})
	eventbus.On(s, func(e storage.L2KeysDeleted, at time.Time) {
		l.add(at, fmt.Sprintf("tier %d %s", e.AdapterIndex, e.Cause), e.Keys)
	})
	eventbus.On(s, func(e storage.L2StoreDropped, at time.Time) { l.add(at, fmt.Sprintf("dropped %+v", e), nil) })
}

// drilled records a drill and returns its tape and what was decided.
func drilled(t testing.TB, so storage.Options, models []storage.Model, seed uint64, requests int, o trace.Options) (*Tape, []string) {
	t.Helper()
	f, seen := drilledFile(t, so, models, seed, requests, o)
	return readTape(t, f), seen
}

func readTape(t testing.TB, f *trace.File) *Tape {
	t.Helper()
	tape, err := ReadTape(f.Records())
	if err != nil {
		t.Fatal(err)
	}
	return tape
}

// drilledFile is drilled with the recording as it is, in one file or several.
func drilledFile(t testing.TB, so storage.Options, models []storage.Model, seed uint64, requests int, o trace.Options) (*trace.File, []string) {
	t.Helper()
	quotas := so.L1.Policy == "IsolatedLRU"
	return recordFile(t, so, models, o, func(m *storage.Manager, v *storage.Virtual) {
		d := &drill{t: t, m: m, v: v, rng: rand.New(rand.NewPCG(seed, 22)), layout: rawLayout(t), quotas: quotas, tiers: len(models)}
		d.run(requests)
	})
}

// recordFile records what drive does in virtual time.
func recordFile(
	t testing.TB, so storage.Options, models []storage.Model, o trace.Options, drive func(m *storage.Manager, v *storage.Virtual),
) (*trace.File, []string) {
	t.Helper()
	so.Bus, so.L1.NoBytes = eventbus.New(eventbus.Options{Manual: true}), true
	seen := &log{}
	if _, err := so.Bus.Subscribe(seen); err != nil {
		t.Fatal(err)
	}
	m, v, err := storage.OpenVirtual(so, storage.VirtualOptions{Seed: 1, Models: models})
	if err != nil {
		t.Fatal(err)
	}
	seen.start = v.Now()
	o.Path, o.Start = filepath.Join(t.TempDir(), "run.lct"), v.Now()
	r, err := trace.Open(so.Bus, o)
	if err != nil {
		t.Fatal(err)
	}
	drive(m, v)
	v.Run()
	so.Bus.Drain(v.Now())
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if err := m.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	if s := r.Stats(); s.Lost.Sum() > 0 {
		t.Fatalf("calls were lost: %+v", s)
	}
	paths, err := filepath.Glob(strings.TrimSuffix(o.Path, ".lct") + "*.lct")
	if err != nil {
		t.Fatal(err)
	}
	f, err := trace.OpenFile(paths...)
	if err != nil {
		t.Fatal(err)
	}
	return f, seen.lines()
}

// drills are configurations for drills.
func drills(t testing.TB) map[string]func() (storage.Options, []storage.Model) {
	small := func(policy string, mode l1.Mode) storage.Options {
		o := chunks(24)
		o.L1.Policy, o.L1.Mode = policy, mode
		o.L1.ReadTTL, o.L1.WriteTTL = 3*time.Second, 5*time.Second
		o.Prefetch.Timeout = time.Second
		if policy == "IsolatedLRU" {
			o.L1.Quotas = map[string]int64{"a": 10 * objectSize, "b": 8 * objectSize, "": 20 * objectSize}
		}
		return o
	}
	tier := func(o *storage.Options, models *[]storage.Model, kind string, s l2.Settings) {
		s.Type = kind
		model, ok := storage.ModelOf(kind)
		if !ok {
			t.Fatal(kind)
		}
		o.Tiers = append(o.Tiers, storage.Tier{Settings: s})
		*models = append(*models, model)
	}
	all := make(map[string]func() (storage.Options, []storage.Model))
	for _, policy := range []string{"LRU", "IsolatedLRU", "RecencyFrequency"} {
		for _, mode := range []l1.Mode{l1.ModeExact, l1.ModeWatermark} {
			name := policy + " " + string(mode)
			all[name] = func() (storage.Options, []storage.Model) { return small(policy, mode), nil }
			all[name+", fs"] = func() (storage.Options, []storage.Model) {
				o, m := small(policy, mode), []storage.Model(nil)
				tier(&o, &m, "fs", l2.Settings{Workers: 2, Capacity: 60 * objectSize})
				return o, m
			}
			all[name+", mem and s3"] = func() (storage.Options, []storage.Model) {
				o, m := small(policy, mode), []storage.Model(nil)
				tier(&o, &m, "mem", l2.Settings{Capacity: 30 * objectSize})
				tier(&o, &m, "s3", l2.Settings{Workers: 3, Eviction: nil})
				o.Prefetch.Policy = storage.PrefetchRetain()
				return o, m
			}
			all[name+", skip_l1"] = func() (storage.Options, []storage.Model) {
				o, m := small(policy, mode), []storage.Model(nil)
				tier(&o, &m, "resp", l2.Settings{Capacity: 50 * objectSize, Eviction: &l2.Eviction{
					Policy: "IsolatedLRU", Watermark: 0.8, Ratio: 0.2, DefaultQuota: 20 * objectSize,
				}})
				o.Store.Policy = storage.StoreSkipL1()
				return o, m
			}
		}
	}
	return all
}

// drillsEnv says how many drills of each configuration are made, in place of a few.
const drillsEnv = "LMCACHE_TEST_DRILLS"

func drillCount(t testing.TB) uint64 {
	t.Helper()
	text := os.Getenv(drillsEnv)
	if text == "" {
		return 3
	}
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		t.Fatalf("%s: %v", drillsEnv, err)
	}
	return n
}

// TestREQ_T22_EveryCallInVirtualTime: a recording that is replayed under its own
// configuration has the same outcomes and makes the same decisions at the same times,
// whatever calls are made, policies, modes and tiers there are, and whatever expires.
func TestREQ_T22_EveryCallInVirtualTime(t *testing.T) {
	for name, c := range drills(t) {
		t.Run(name, func(t *testing.T) {
			evicted := int64(0) // tiers that skip L1 may leave nothing to evict in one drill
			for seed := range drillCount(t) {
				so, models := c()
				o := trace.Options{Args: trace.Args(seed % 2)}
				tape, want := drilled(t, so, models, seed, 150, o)
				seen := &log{start: time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)}
				so.Bus = eventbus.New(eventbus.Options{Manual: true})
				if _, err := so.Bus.Subscribe(seen); err != nil {
					t.Fatal(err)
				}
				r := replayed(t, tape, VirtualOptions{Storage: so, Models: models})
				if r.Diverged != 0 || r.Unmet != 0 || r.Malformed != 0 || r.Unmatched != 0 {
					t.Errorf("seed %d: %d of %d values differ, %d unmet, %d malformed, %d unmatched; %v",
						seed, r.Diverged, r.Compared, r.Unmet, r.Malformed, r.Unmatched, r.First)
				}
				if r.Own == 0 || r.Aborts == 0 || r.Reads == 0 || r.Misses == 0 || r.Compared < 500 {
					t.Errorf("seed %d: the drill proves little: %+v", seed, r)
				}
				evicted += r.Evicted
				if diff := firstDifferent(want, seen.lines()); diff != "" {
					t.Errorf("seed %d: %s", seed, diff)
				}
			}
			if evicted == 0 {
				t.Error("nothing was evicted")
			}
		})
	}
}

// firstDifferent shows where two logs part; empty: nowhere.
func firstDifferent(recorded, replayed []string) string {
	for i := range max(len(recorded), len(replayed)) {
		a, b := "nothing", "nothing"
		if i < len(recorded) {
			a = recorded[i]
		}
		if i < len(replayed) {
			b = replayed[i]
		}
		if a != b {
			return fmt.Sprintf("after\n%s\nthe recording has\n%s\nthe replay has\n%s", strings.Join(recorded[max(i-5, 0):i], "\n"), a, b)
		}
	}
	return ""
}
