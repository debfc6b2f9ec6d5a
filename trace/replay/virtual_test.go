package replay

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lmcache-go/lmcache/eventbus"
	"github.com/lmcache-go/lmcache/internal/mooncake"
	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/storage"
	"github.com/lmcache-go/lmcache/storage/kv"
	"github.com/lmcache-go/lmcache/trace"
)

const objectSize = 1 << 20

// taping collects calls and outcomes as a recorder would write them.
type taping struct {
	tape  *Tape
	start time.Time
	done  []trace.Outcome // that no entry has taken yet
}

func (*taping) Name() string { return "taping" }

func (r *taping) Subscribe(s *eventbus.Subscription) {
	s.Isolated(1<<16, eventbus.Drop)
	eventbus.On(s, func(c storage.Call, at time.Time) {
		e := entry{
			mono: at.Sub(r.start).Seconds(), name: trace.Qualname(c.Name), call: &trace.Call{Call: c}, outcomes: r.done, number: c.N,
			own: c.Name == storage.CallClear || c.Name == storage.CallTouch || c.Name == storage.CallDelete || c.Name == storage.CallQuota ||
				c.Name == storage.CallRenew,
		}
		if !e.own {
			r.tape.calls++
		}
		r.tape.entries = append(r.tape.entries, e)
		r.tape.outcomes = true
		r.done = nil
	})
	eventbus.On(s, func(d storage.CallDone, _ time.Time) {
		o := trace.Outcome{N: d.N, Took: d.Took, Bad: int64(d.Bad), L1: int64(d.L1Hits), Resolved: d.Resolved}
		switch {
		case d.Aborted:
			o.Aborted = d.OK.AppendBytes(nil)
		case d.Resolved:
			o.Hits, o.L2 = int64(d.Hits), int64(d.L2Hits)
		case d.Name == storage.CallReadEnter:
			o.Entered = d.Bad == 0
		default:
			o.OK = d.OK.AppendBytes(nil)
		}
		r.done = append(r.done, o)
	})
}

// record drives a manager in virtual time and returns what a recorder hears.
func record(t testing.TB, so storage.Options, models []storage.Model, drive func(m *storage.Manager, v *storage.Virtual)) *Tape {
	t.Helper()
	r := &taping{tape: &Tape{}}
	so.Bus, so.L1.NoBytes = eventbus.New(eventbus.Options{Manual: true}), true
	if _, err := so.Bus.Subscribe(r); err != nil {
		t.Fatal(err)
	}
	m, v, err := storage.OpenVirtual(so, storage.VirtualOptions{Seed: 1, Models: models})
	if err != nil {
		t.Fatal(err)
	}
	r.start = v.Now()
	drive(m, v)
	v.Run()
	so.Bus.Drain(v.Now())
	if n := len(r.done); n > 0 { // as the end record has them
		r.tape.entries = append(r.tape.entries, entry{mono: v.Now().Sub(r.start).Seconds(), own: true, outcomes: r.done})
	}
	if err := m.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	return r.tape
}

func rawLayout(t testing.TB) kv.Layout {
	t.Helper()
	l, err := kv.RawLayout(objectSize)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// request is one prompt at its time.
type request struct {
	at   time.Duration
	keys []kv.Key
}

// conversation is the public conversation trace, so many requests of it.
func conversation(t testing.TB, limit int) (list []request) {
	t.Helper()
	f, err := os.Open("../../internal/mooncake/testdata/conversation.jsonl.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	for r, err := range mooncake.Read(f, 512) {
		if err != nil {
			t.Fatal(err)
		}
		keys := make([]kv.Key, r.InputLength/512)
		for i := range keys {
			var b [16]byte
			binary.BigEndian.PutUint64(b[:], r.HashIDs[i]*0x9e3779b97f4a7c15)
			binary.BigEndian.PutUint64(b[8:], r.HashIDs[i])
			h, err := kv.HashOf(b[:])
			if err != nil {
				t.Fatal(err)
			}
			keys[i] = kv.Key{Hash: h, Model: "conversation", Rank: 0x01000100}
		}
		if len(keys) > 0 {
			list = append(list, request{r.Timestamp, keys})
		}
		if len(list) == limit {
			break
		}
	}
	return list
}

// serve makes the calls of the requests as an engine does, one request at a time.
func serve(t testing.TB, list []request) func(*storage.Manager, *storage.Virtual) {
	return func(m *storage.Manager, v *storage.Virtual) {
		layout := rawLayout(t)
		ctx := context.Background()
		start := v.Now()
		for i, r := range list {
			v.At(start.Add(r.at), func() {
				p, err := m.SubmitPrefetch(ctx, r.keys, layout, storage.PrefetchOptions{RequestID: fmt.Sprint(i)})
				if err != nil {
					t.Error(err)
					return
				}
				v.When(p, func() {
					defer p.Release()
					res, _ := p.Status()
					if res.Prefix > 0 {
						l, err := p.Read(ctx, storage.Select{Hi: res.Prefix})
						if err != nil {
							t.Error(err)
							return
						}
						l.EndScope()
						l.Finish()
					}
					if res.Prefix < len(r.keys) {
						o := storage.WriteOptions{}
						if res.Prefix > 0 {
							o.After = r.keys[res.Prefix-1]
						}
						w, err := m.ReserveWrite(ctx, r.keys[res.Prefix:], layout, storage.New, o)
						if err != nil {
							t.Error(err)
							return
						}
						w.Finish()
					}
				})
			})
		}
	}
}

func chunks(n int64) storage.Options { return storage.Options{L1: l1.Options{Bytes: n * objectSize}} }

// tiered is a configuration with a tier that is modelled.
func tiered(n int64) (storage.Options, []storage.Model) {
	o := chunks(n)
	o.Tiers = []storage.Tier{{Name: "fs", Settings: l2.Settings{Workers: 4, Capacity: 20_000 * objectSize}}}
	model, _ := storage.ModelOf("fs")
	return o, []storage.Model{model}
}

func replayed(t testing.TB, tape *Tape, o VirtualOptions) *Result {
	t.Helper()
	if o.Seed == 0 {
		o.Seed = 1
	}
	r, err := tape.Virtual(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	if r.Failed != 0 || r.Skipped != 0 {
		t.Errorf("%d failed, %d skipped", r.Failed, r.Skipped)
	}
	return r
}

// A recording that is replayed under its own configuration has its own outcomes, with
// memory alone and with a tier.
func TestREQ_T26_NoDivergenceUnderTheSameConfiguration(t *testing.T) {
	list := conversation(t, 1500)
	withTier, models := tiered(2000)
	for name, c := range map[string]struct {
		so     storage.Options
		models []storage.Model
	}{
		"L1 alone":  {chunks(2000), nil},
		"with tier": {withTier, models},
		"score":     {storage.Options{L1: l1.Options{Bytes: 1000 * objectSize, Policy: "RecencyFrequency"}}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			tape := record(t, c.so, c.models, serve(t, list))
			r := replayed(t, tape, VirtualOptions{Storage: c.so, Models: c.models, Diverged: func(d Divergence) { t.Error(d) }})
			if r.LeftOpen != 0 {
				t.Errorf("%d owners left something open", r.LeftOpen)
			}
			if r.Diverged != 0 || r.Unmet != 0 || r.Compared < int64(2*len(list)) {
				t.Errorf("%d of %d values differ, %d recorded outcomes have no call", r.Diverged, r.Compared, r.Unmet)
			}
			if r.Evicted == 0 || r.Hits == 0 || (r.L1Hits < r.Hits) != (c.models != nil) || (r.L2Read > 0) != (c.models != nil) {
				t.Errorf("the run proves nothing: %+v", r)
			}
		})
	}
}

// Another configuration diverges, and the first divergence says which key and what
// became of it.
func TestREQ_T26_DivergenceIsNamed(t *testing.T) {
	list := conversation(t, 600)
	tape := record(t, chunks(2000), nil, serve(t, list))
	var all []Divergence
	r := replayed(t, tape, VirtualOptions{Storage: chunks(500), Diverged: func(d Divergence) { all = append(all, d) }})
	if int64(len(all)) != r.Diverged || len(all) == 0 || r.First == nil {
		t.Fatalf("%d divergences of %d were told", len(all), r.Diverged)
	}
	if d := cmp.Diff(all[0], *r.First); d != "" {
		t.Error(d)
	}
	named := 0
	for _, d := range all {
		if d.What == "l1_hits" && d.Key != "" && d.Evicted >= 0 && d.EvictedCause == "evict" && d.Evicted <= d.Offset {
			named++
		}
	}
	if named == 0 {
		t.Errorf("no lookup that missed names the eviction; the first divergence is\n%v", r.First)
	}
}

// Everything that is decided is a function of tape, configuration and seed.
func TestREQ_T24_EqualOnEveryRun(t *testing.T) {
	list := conversation(t, 800)
	so, models := tiered(1500)
	tape := record(t, so, models, serve(t, list))
	before := runtime.GOMAXPROCS(0)
	defer runtime.GOMAXPROCS(before)
	digests := make(map[string]string)
	for name, change := range map[string]func(*storage.Options){
		"as recorded": func(*storage.Options) {},
		"smaller":     func(o *storage.Options) { o.L1.Bytes = 400 * objectSize },
		"watermark":   func(o *storage.Options) { o.L1.Mode = l1.ModeWatermark },
		"score":       func(o *storage.Options) { o.L1.Policy = "RecencyFrequency" },
	} {
		o := so
		change(&o)
		want := ""
		for _, n := range []int{1, 2, 8} {
			runtime.GOMAXPROCS(n)
			r := replayed(t, tape, VirtualOptions{Storage: o, Models: models})
			if want == "" {
				want = r.OutcomeDigest
			}
			if r.OutcomeDigest != want {
				t.Errorf("%s, GOMAXPROCS %d: digest %s, want %s", name, n, r.OutcomeDigest, want)
			}
		}
		if other, ok := digests[want]; ok {
			t.Errorf("%s has the digest of %s", name, other)
		}
		digests[want] = name
	}
}

// An L1 of any size is replayed without its memory.
func TestVirtualNeedsNoMemory(t *testing.T) {
	list := conversation(t, 50)
	tape := record(t, chunks(10_000), nil, serve(t, list))
	r := replayed(t, tape, VirtualOptions{Storage: storage.Options{L1: l1.Options{Bytes: 1 << 43}}})
	if r.Evicted != 0 || r.Hits == 0 {
		t.Errorf("%+v", r)
	}
}

// Calls of an owner whose lookup waits for a tier queue behind it; those of others go
// on, whatever order records come in.
func TestOwnersWait(t *testing.T) {
	so := chunks(100)
	so.Tiers = []storage.Tier{{Name: "slow", Settings: l2.Settings{}}}
	models := []storage.Model{{Latency: 300 * time.Millisecond}}
	list := conversation(t, 40)
	for i := range list {
		list[i].at = time.Duration(i) * 10 * time.Millisecond // much faster than the tier
		list[i].keys = list[i].keys[:min(len(list[i].keys), 20)]
	}
	tape := record(t, so, models, serve(t, list))
	rng := rand.New(rand.NewPCG(7, 7))
	for i := range tape.entries { // times of a machine that was faster
		tape.entries[i].mono *= 0.5 + 0.01*rng.Float64()
		if i > 0 {
			tape.entries[i].mono = max(tape.entries[i].mono, tape.entries[i-1].mono)
		}
	}
	r := replayed(t, tape, VirtualOptions{Storage: so, Models: models})
	if r.Replayed != tape.Calls() || r.Wait(99) < 300*time.Millisecond {
		t.Errorf("%d of %d calls, waits up to %v", r.Replayed, tape.Calls(), r.Wait(100))
	}
}

func TestVirtualEnds(t *testing.T) {
	tape := record(t, chunks(1000), nil, serve(t, conversation(t, 3000)))
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	r, err := tape.Virtual(ctx, VirtualOptions{Storage: chunks(1000)})
	if err != nil || !r.Interrupted || r.Replayed >= tape.Calls() {
		t.Errorf("%v, interrupted %v after %d of %d calls", err, r != nil && r.Interrupted, r.Replayed, tape.Calls())
	}
	half := tape.entries[len(tape.entries)/2].mono
	a := replayed(t, tape, VirtualOptions{Storage: chunks(1000), To: half})
	if a.Replayed == 0 || a.Replayed >= tape.Calls() {
		t.Errorf("to the half: %d of %d calls", a.Replayed, tape.Calls())
	}
	if _, err := tape.Virtual(context.Background(), VirtualOptions{Storage: chunks(1000), From: 2, To: 1}); err == nil {
		t.Error("an end before the beginning was accepted")
	}
}

// BenchmarkVirtual replays the hour of the conversation trace (bar: 0.5 s), with L1
// alone and with a tier.
func BenchmarkVirtual(b *testing.B) {
	list := conversation(b, 0)
	withTier, models := tiered(5000)
	for name, c := range map[string]struct {
		so     storage.Options
		models []storage.Model
	}{"L1": {chunks(5000), nil}, "tier": {withTier, models}} {
		tape := record(b, c.so, c.models, serve(b, list))
		keys := int64(0)
		for i := range tape.entries {
			if c := tape.entries[i].call; c != nil {
				keys += int64(len(c.Keys))
			}
		}
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				replayed(b, tape, VirtualOptions{Storage: c.so, Models: c.models})
			}
			b.ReportMetric(float64(keys)*float64(b.N)/b.Elapsed().Seconds()/1e6, "Mkeys/s")
		})
	}
}
