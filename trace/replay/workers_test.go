package replay_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lmcache-go/lmcache/eventbus"
	"github.com/lmcache-go/lmcache/internal/leak"
	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/l2/mem"
	"github.com/lmcache-go/lmcache/storage"
	"github.com/lmcache-go/lmcache/storage/kv"
	"github.com/lmcache-go/lmcache/trace"
	"github.com/lmcache-go/lmcache/trace/replay"
)

// callOrder hears of the calls that are made: of each key and each request in order, and
// how often each was called when everything was cleared.
type callOrder struct {
	of     map[string][]string
	clears []string
}

func (*callOrder) Name() string { return "order" }

func (o *callOrder) Subscribe(s *eventbus.Subscription) {
	s.Isolated(1<<20, eventbus.Wait(time.Second))
	eventbus.On(s, func(c storage.Call, _ time.Time) { o.add(&c) })
}

// add takes a call. A replay gives back what a recorded call gave back with several
// calls, so calls are taken key by key.
func (o *callOrder) add(c *storage.Call) {
	switch c.Name {
	case storage.CallClear, storage.CallQuota:
		n := 0
		for _, list := range o.of {
			n += len(list)
		}
		o.clears = append(o.clears, fmt.Sprintf("%s after %d", c.Name, n))
	case storage.CallReadEnter, storage.CallReadExit: // those of keys that were not found are not made
	default:
		for _, k := range c.Keys {
			o.of[k.String()] = append(o.of[k.String()], c.Name)
		}
		if c.RequestID != "" {
			o.of[c.RequestID] = append(o.of[c.RequestID], c.Name)
		}
	}
}

// several records the traffic of many requests that overlap, each with keys of a prompt
// that others have too.
func (w *world) several(o trace.Options, requests int) *trace.File {
	w.t.Helper()
	return w.recorded(o, func() {
		var wg sync.WaitGroup
		for i := range 4 {
			wg.Go(func() { w.traffic(uint64(i), requests) })
		}
		wg.Wait()
	})
}

// TestREQ_T25_WorkersKeepCausalOrder: with eight workers the calls of a key and of a
// request are made in the order of the recording, everything before a clear or a change
// of a quota is made before it, and where nothing is evicted the counts are those of one
// worker.
func TestREQ_T25_WorkersKeepCausalOrder(t *testing.T) {
	leak.Check(t)
	const objects = 400 // more than there are keys
	for _, o := range []trace.Options{{}, {Format: trace.Plain}} {
		a := newWorld(t, objects)
		a.quota = objects // that nobody exceeds
		f := a.several(o, 120)
		a.close()
		played := func(workers int) (*replay.Result, *callOrder, []int64) {
			w := newWorld(t, objects)
			defer w.close()
			order := &callOrder{of: make(map[string][]string)}
			if _, err := w.bus.Subscribe(order); err != nil {
				t.Fatal(err)
			}
			var numbers []int64
			r := run(t, w, f.Records(), replay.Options{
				Pacing: replay.Fast, Workers: workers, Bus: w.bus, Verify: true,
				Complete: func(l replay.Line) { numbers = append(numbers, l.N) },
			})
			return r, order, numbers
		}
		one, order, lines := played(1)
		for range 3 {
			many, got, linesGot := played(8)
			if diff := cmp.Diff(order.of, got.of); diff != "" {
				t.Errorf("calls of keys and requests (-one worker +eight):\n%.3000s", diff)
			}
			if diff := cmp.Diff(order.clears, got.clears); diff != "" {
				t.Errorf("barriers (-one worker +eight):\n%s", diff)
			}
			if diff := cmp.Diff(lines, linesGot); diff != "" {
				t.Errorf("lines (-one worker +eight):\n%s", diff)
			}
			if diff := cmp.Diff(counts(one), counts(many)); diff != "" {
				t.Errorf("counts (-one worker +eight):\n%s", diff)
			}
			if many.OutcomeDigest != "" || one.OutcomeDigest == "" {
				t.Error("the digest of what has no order, or none of what has")
			}
		}
		if one.Hits == 0 || one.Reads == 0 || one.Evicted != 0 || one.VerifyFailures != 0 || one.Failed != 0 || o.Format == trace.Extended && (len(order.clears) < 5 || one.Aborts == 0) {
			t.Errorf("the test has not everything: %+v", counts(one))
		}
	}
}

// counts are what does not depend on time.
func counts(r *replay.Result) map[string]int64 {
	m := map[string]int64{
		"replayed": r.Replayed, "skipped": r.Skipped, "failed": r.Failed, "own": r.Own, "lookups": r.Lookups, "requested": r.Requested,
		"hits": r.Hits, "l1": r.L1Hits, "reads": r.Reads, "misses": r.Misses, "reserved": r.Reserved, "failed keys": r.FailedKeys, "aborts": r.Aborts,
		"verify": r.VerifyFailures, "open": r.LeftOpen, "unmatched": r.Unmatched, "compared": r.Compared, "diverged": r.Diverged, "unmet": r.Unmet,
	}
	for _, name := range slices.Sorted(maps.Keys(r.Ops)) {
		m[strings.TrimPrefix(name, storage.NamePrefix)] = int64(r.Ops[name].Count())
	}
	return m
}

// TestREQ_T25_LoadsOverlap: a read waits for the prefetch that its keys come from, and
// what shares nothing with it goes on meanwhile.
func TestREQ_T25_LoadsOverlap(t *testing.T) {
	const prompts, latency = 6, time.Second
	synctest.Test(t, func(t *testing.T) {
		kept := &mem.Store{}
		open := func() *world {
			a, err := mem.Open(mem.Options{Capacity: 1 << 30, Latency: latency, Store: kept})
			if err != nil {
				t.Fatal(err)
			}
			return openWorldOf(t, storage.Options{
				L1: l1.Options{Bytes: 100 * objectBytes}, Tiers: []storage.Tier{{Adapter: a, Settings: l2.Settings{Type: "mem", Workers: 8}}},
			})
		}
		a := open()
		for i := range prompts {
			l, err := a.m.ReserveWrite(t.Context(), []kv.Key{chunk("", i, 0), chunk("", i, 1)}, a.layout, storage.New, storage.WriteOptions{})
			if err != nil {
				t.Fatal(err)
			}
			l.Finish()
		}
		time.Sleep(time.Minute) // everything is stored
		a.m.Clear(false)
		f := a.recorded(trace.Options{}, func() {
			for i := range prompts {
				p, err := a.m.SubmitPrefetch(t.Context(), []kv.Key{chunk("", i, 0), chunk("", i, 1)}, a.layout, storage.PrefetchOptions{})
				if err != nil {
					t.Fatal(err)
				}
				if res, err := p.Wait(t.Context()); err != nil || res.Prefix != 2 {
					t.Fatalf("%v, %d keys are found", err, res.Prefix)
				}
				l, err := p.Read(t.Context(), storage.Select{Hi: 2})
				if err != nil {
					t.Fatal(err)
				}
				l.Finish()
				p.Release()
			}
		})
		a.close()
		took := make(map[int]time.Duration)
		for _, workers := range []int{1, 8} {
			w := open()
			r := run(t, w, f.Records(), replay.Options{Pacing: replay.Fast, Workers: workers, Bus: w.bus})
			if r.Reads != prompts || r.Hits != 2*prompts || r.Misses != 0 || r.Diverged != 0 || r.Compared == 0 {
				t.Errorf("%d workers: %+v", workers, r)
			}
			took[workers] = r.Duration
			w.close()
		}
		if took[1] < prompts*latency || took[8] > took[1]/2 {
			t.Errorf("one worker took %v, eight %v", took[1], took[8])
		}
	})
}

// The end of the context ends all workers, and gives back what they hold.
func TestWorkersAreInterrupted(t *testing.T) {
	leak.Check(t)
	a, b := newWorld(t, 400), newWorld(t, 400)
	f := a.several(trace.Options{}, 60)
	ctx, cancel := context.WithCancel(t.Context())
	n, complete := 0, 0
	r, err := replay.Run(ctx, f.Records(), replay.Options{
		Manager: b.m, Bus: b.bus, Pacing: replay.Fast, Workers: 8, Complete: func(replay.Line) { complete++ },
		Line: func(replay.Line) {
			if n++; n == 100 {
				cancel()
			}
		},
	})
	if err != nil || !r.Interrupted || n >= 900 || int64(n) != r.Replayed+r.Failed || complete != n {
		t.Errorf("%v, %d lines, %d of them complete, %+v", err, n, complete, counts(r))
	}
	a.close()
	b.close()
}
