package replay

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lmcache-go/lmcache/eventbus"
	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/l2/mem"
	"github.com/lmcache-go/lmcache/storage"
	"github.com/lmcache-go/lmcache/storage/kv"
	"github.com/lmcache-go/lmcache/trace"
)

// TestREQ_T22_SlowTiersFindNoMore: what a request stores since it did not find it is not
// found by its own lookup, however slow the tier of the replay is: no tier finds more than
// an L1 that holds everything, and one that is slower no more than the recorded one.
func TestREQ_T22_SlowTiersFindNoMore(t *testing.T) {
	list := conversation(t, 300)
	for i := range list {
		list[i].at = time.Duration(i) * 20 * time.Second // each is over before the next one
	}
	so, models := tiered(300)
	so.Prefetch.Timeout = 10 * time.Second
	tape := record(t, so, models, serve(t, list))
	most := replayed(t, tape, VirtualOptions{Storage: chunks(1_000_000)}).Hits
	bare := *tape // as of a recording without outcomes
	bare.entries, bare.outcomes = nil, false
	for _, e := range tape.entries {
		e.outcomes = nil
		bare.entries = append(bare.entries, e)
	}
	if most == 0 {
		t.Fatal("nothing is found at all")
	}
	for _, latency := range []time.Duration{100 * time.Microsecond, 5 * time.Millisecond, 50 * time.Millisecond, 500 * time.Millisecond} {
		r := replayed(t, tape, VirtualOptions{Storage: so, Models: []storage.Model{{Latency: latency}}})
		if r.Hits != most || r.Diverged != 0 || r.Unmet != 0 || r.Misses != 0 {
			t.Errorf("with calls of %v: %d hits, all there are is %d; %d divergences, %v", latency, r.Hits, most, r.Diverged, r.First)
		}
		r = replayed(t, &bare, VirtualOptions{Storage: so, Models: []storage.Model{{Latency: latency}}})
		if r.Hits != most || r.Misses != 0 {
			t.Errorf("without outcomes, with calls of %v: %d hits, all there are is %d", latency, r.Hits, most)
		}
	}
}

// TestREQ_T25_StoresComeAfterTheirLookups: the same in a run of real calls, by one worker
// and by several, and at the recorded times.
func TestREQ_T25_StoresComeAfterTheirLookups(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, layout := t.Context(), rawLayout(t)
		check := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		open := func(latency time.Duration) (*storage.Manager, *eventbus.Bus) {
			a, err := mem.Open(mem.Options{Capacity: 1 << 30, Latency: latency, Store: &mem.Store{}})
			check(err)
			bus := eventbus.New(eventbus.Options{})
			m, err := storage.Open(ctx, storage.Options{
				Bus: bus, L1: l1.Options{Bytes: 64 * objectSize}, Tiers: []storage.Tier{{Adapter: a, Settings: l2.Settings{Type: "mem", Workers: 4}}},
			})
			check(err)
			return m, bus
		}
		end := func(m *storage.Manager, bus *eventbus.Bus) {
			check(m.Close(ctx))
			check(bus.Close(ctx))
		}
		m, bus := open(time.Millisecond)
		path := t.TempDir() + "/run.lct"
		rec, err := trace.Open(bus, trace.Options{Path: path})
		check(err)
		for i := range 12 {
			keys := []kv.Key{testKey(byte(i % 8)), testKey(byte(100 + i))}
			p, err := m.SubmitPrefetch(ctx, keys, layout, storage.PrefetchOptions{RequestID: fmt.Sprint(i)})
			check(err)
			res, err := p.Wait(ctx)
			check(err)
			synctest.Wait() // who waits for a lookup is told before the recorder is
			w, err := m.ReserveWrite(ctx, keys[res.Prefix:], layout, storage.New, storage.WriteOptions{})
			check(err)
			w.Finish()
			p.Release()
			time.Sleep(10 * time.Millisecond)
		}
		check(rec.Close())
		end(m, bus)
		f, err := trace.OpenFile(path)
		check(err)
		for _, o := range []Options{{Pacing: Fast}, {Pacing: Fast, Workers: 6}, {Pacing: Realtime}} {
			m, bus := open(300 * time.Millisecond)
			o.Manager, o.Bus = m, bus
			r, err := Run(context.WithoutCancel(ctx), f.Records(), o)
			check(err)
			if r.Hits != 4 || r.Divergences["hits"] != 0 || r.Divergences["granted"] != 0 || r.Lookups != 12 {
				t.Errorf("%+v: %d hits, %v, first %v", o.Pacing, r.Hits, r.Divergences, r.First)
			}
			end(m, bus)
		}
	})
}

// What a lookup finds in L1 is told when it is made, also while the one before it waits for
// a tier.
func TestFoundAtOnceBehindASlowLookup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, layout := context.WithoutCancel(t.Context()), rawLayout(t)
		check := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		a, err := mem.Open(mem.Options{Capacity: 1 << 30, Latency: time.Second, Store: &mem.Store{}})
		check(err)
		m, err := storage.Open(ctx, storage.Options{
			L1: l1.Options{Bytes: 8 * objectSize}, Tiers: []storage.Tier{{Adapter: a, Settings: l2.Settings{Type: "mem", Workers: 4}}},
		})
		check(err)
		w, err := m.ReserveWrite(ctx, []kv.Key{testKey(1)}, layout, storage.New, storage.WriteOptions{})
		check(err)
		w.Finish()
		p := newPlayer(&Options{Manager: m}, &Result{Ops: make(map[string]*Op)})
		p.collect = true
		for n, k := range []byte{2, 1} {
			p.make(ctx, &entry{call: &trace.Call{Call: storage.Call{
				N: int64(n), Name: storage.CallSubmitPrefetch, Keys: []kv.Key{testKey(k)}, Layout: layout, Readers: 1,
			}}, number: int64(n)}, &heldLine{})
		}
		if r := p.r; r.Lookups != 1 || r.Hits != 1 || len(p.takeDone()) != 2 {
			t.Errorf("%d lookups, %d hits are known, of one that is", r.Lookups, r.Hits)
		}
		p.close(ctx)
		if p.r.Lookups != 2 || p.r.Hits != 1 {
			t.Errorf("%d lookups, %d hits", p.r.Lookups, p.r.Hits)
		}
		check(m.Close(ctx))
	})
}

// Lookups that have resolved are forgotten, also where no reservation asks for them.
func TestLateLookupsAreForgotten(t *testing.T) {
	for _, outcomes := range []bool{false, true} {
		l := &lookups{open: make(map[int64]*job), outcomes: outcomes}
		for n := range int64(10_000) {
			l.take(&job{entry: entry{number: n, call: &trace.Call{Call: storage.Call{N: n, Name: storage.CallSubmitPrefetch}}}})
			if outcomes {
				l.resolved([]trace.Outcome{{N: n, Resolved: true}})
			}
		}
		if len(l.open) > 0 || len(l.late) > 200 {
			t.Errorf("outcomes %v: %d are open, %d late", outcomes, len(l.open), len(l.late))
		}
	}
}

// Reservations that wait for a lookup take what is done with them along: everything is
// given back, whatever calls there are, by tiers that are much slower than the recorded.
func TestReservationsWaitWithTheirCalls(t *testing.T) {
	for name, c := range drills(t) {
		so, models := c()
		if len(models) == 0 {
			continue
		}
		tape, _ := drilled(t, so, models, 11, 120, trace.Options{})
		for i := range models {
			models[i].Latency += 40 * time.Millisecond
		}
		so.Bus = nil
		r := replayed(t, tape, VirtualOptions{Storage: so, Models: models})
		if r.Malformed != 0 || r.Unmatched != 0 || r.Aborts == 0 {
			t.Errorf("%s: %+v", name, r)
		}
		if again := replayed(t, tape, VirtualOptions{Storage: so, Models: models}); again.OutcomeDigest != r.OutcomeDigest {
			t.Errorf("%s: not the same again", name)
		}
	}
}
