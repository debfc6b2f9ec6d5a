package l1_test

import (
	"fmt"
	"math/rand/v2"
	goruntime "runtime"
	"slices"
	"testing"
	"time"

	"github.com/lmcache-go/lmcache/eventbus/eventbustest"
	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// watched is a fixture whose events are recorded.
func watched(t testing.TB, o l1.Options) (*fixture, *eventbustest.Watcher) {
	bus := eventbustest.NewManualBus(t)
	w := eventbustest.NewWatcher(t, bus)
	eventbustest.Watch[l1.ReadReserved](w)
	eventbustest.Watch[l1.ReadFinished](w)
	eventbustest.Watch[l1.WriteReserved](w)
	eventbustest.Watch[l1.WriteFinished](w)
	eventbustest.Watch[l1.WriteFinishedAndReadReserved](w)
	eventbustest.Watch[l1.WriteAborted](w)
	eventbustest.Watch[l1.KeysEvicted](w)
	eventbustest.Watch[l1.KeysAccessed](w)
	eventbustest.Watch[l1.LeaseExpired](w)
	o.Bus = bus
	return newFixture(t, o), w
}

// The events of each operation, in order, with the time of the call.
func TestEventsOfOperations(t *testing.T) {
	f, w := watched(t, l1.Options{Bytes: 2 * unit})
	k := chunks(1, 0, 2)
	start := f.now()
	step := func(name string, op func(), want ...string) {
		t.Helper()
		f.rt.RunUntil(f.now().Add(time.Millisecond))
		w.Clear()
		op()
		var got []string
		for _, r := range w.Records() {
			if !r.At.Equal(f.now()) {
				t.Errorf("%s: %s is stamped %v, want %v", name, r.Event.EventName(), r.At.Sub(start), f.now().Sub(start))
			}
			s := r.Event.EventName()
			switch e := r.Event.(type) {
			case l1.ReadFinished:
				s += fmt.Sprint(" ", e.Cause, " ", len(e.Keys))
			case l1.WriteFinished:
				s += fmt.Sprint(" ", e.Origin, " ", len(e.Keys))
			case l1.WriteAborted:
				s += fmt.Sprint(" ", e.Cause, " ", len(e.Keys))
			case l1.KeysEvicted:
				s += fmt.Sprintf(" %s %d %dB %q", e.Cause, len(e.Keys), e.Bytes, e.Owner)
			case l1.LeaseExpired:
				s += fmt.Sprintf(" %s %d %q %v", e.Kind, len(e.Keys), e.Owner, e.Age)
			}
			got = append(got, s)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s:\n got %q\nwant %q", name, got, want)
		}
	}
	var wl l1.WriteLease
	var r l1.ReadLease
	step("miss", func() { f.read(1, k...) })
	step("reserve", func() { wl = f.reserve(l1.WriteNew, k...) }, "l1.write.reserved")
	step("busy", func() { f.reserve(l1.WriteNew, k...) })
	step("finish", func() { wl.Finish(f.now(), l1.OriginNew) }, "l1.write.finished new 2")
	step("finish again", func() { wl.Finish(f.now(), l1.OriginNew) })
	step("read", func() { r = f.read(2, k...) }, "l1.read.reserved")
	step("locked", func() { f.m.Delete(f.now(), k, false) })
	step("one holder", func() { r.Release(f.now(), l1.All(2), 1, l1.CauseRead) }, "l1.read.finished read 2")
	step("the rest", func() { r.Finish(f.now(), l1.CauseUnused) }, "l1.read.finished unused 2")
	step("touch", func() { f.m.Touch(f.now(), append(k, chunk(9, 9))) }, "l1.keys.accessed")
	step("replace without room", func() { wl = f.reserve(l1.WriteUpdate, k...) })
	step("evict", func() { wl = f.reserve(l1.WriteNew, chunk(2, 0)) },
		fmt.Sprintf("l1.keys.evicted evict 1 %dB \"writer\"", unit), "l1.write.reserved")
	step("abort", func() { wl.Abort(f.now(), l1.AbortTrimmed) }, "l1.write.aborted trimmed 1")
	step("update", func() { wl = f.reserve(l1.WriteUpdate, k[0]) }, "l1.write.reserved")
	step("replaced", func() { wl.Finish(f.now(), l1.OriginRestored) }, "l1.write.finished restored 1")
	step("clear", func() { f.m.Clear(f.now(), false) }, fmt.Sprintf("l1.keys.evicted clear 1 %dB \"\"", unit))
	step("staged", func() { wl = f.reserve(l1.WriteNew, k...) }, "l1.write.reserved")
	step("forced delete", func() { f.m.Delete(f.now(), k[:1], true) }, "l1.write.aborted clear 1")
	step("commit and lease", func() { r = wl.FinishAndRead(f.now(), 1) }, "l1.write_finished_and_read_reserved")
	step("forced clear", func() { f.m.Clear(f.now(), true) }, fmt.Sprintf("l1.keys.evicted clear 1 %dB \"\"", unit))
	step("late release", func() { r.Finish(f.now(), l1.CauseAbort) }, "l1.read.finished abort 1")
	f.store(1, k...)
	r = f.read(1, k...)
	step("expiry", func() { f.advance(l1.DefaultReadTTL - time.Millisecond) }, `l1.lease.expired read 2 "reader" 5m0s`)
	step("release after expiry", func() { r.Finish(f.now(), l1.CauseRead) })
}

// REQ-S13, REQ-S82: the events of each key make sense in their order, no list is
// empty or longer than a hold, and all of it is the same on any number of cores.
func TestEventOrderAndDeterminism(t *testing.T) {
	var first []string
	defer goruntime.GOMAXPROCS(goruntime.GOMAXPROCS(0))
	for _, procs := range []int{1, 2, 8} {
		goruntime.GOMAXPROCS(procs)
		got := eventStory(t)
		if first == nil {
			first = got
		}
		if !slices.Equal(got, first) {
			t.Fatalf("the events with GOMAXPROCS %d are others", procs)
		}
	}
	if len(first) < 300 {
		t.Errorf("only %d events", len(first))
	}
}

func eventStory(t *testing.T) (story []string) {
	f, w := watched(t, l1.Options{Bytes: 50 * unit, NoBytes: true, ReadTTL: ttl, WriteTTL: ttl})
	d := &world{
		t: t, m: f.m, rt: f.rt, r: rand.New(rand.NewPCG(13, 1)), layouts: []kv.Layout{layoutOf(t, 1000), layoutOf(t, 5000)},
		keys: append(chunks(1, 0, 80), chunks(2, 0, 80)...), version: map[kv.Key]uint64{}, layoutOf: map[kv.Key]int{},
	}
	state := map[kv.Key]bool{} // resident
	staged := map[kv.Key]bool{}
	list := func(name string, keys []kv.Key, bounded bool) {
		if len(keys) == 0 || bounded && len(keys) > 64 {
			t.Fatalf("%s carries %d keys", name, len(keys))
		}
		story = append(story, fmt.Sprint(name, keys))
	}
	need := func(name string, k kv.Key, ok bool) {
		if !ok {
			t.Fatalf("%s of a key that was not in the state for it: %v", name, k)
		}
	}
	for range 1500 {
		d.step()
		for _, r := range w.Records() {
			name := r.Event.EventName()
			switch e := r.Event.(type) {
			case l1.WriteReserved:
				list(name, e.Keys, true)
				for _, k := range e.Keys {
					need(name, k, !staged[k])
					staged[k] = true
				}
			case l1.WriteFinished:
				list(name, e.Keys, true)
				for _, k := range e.Keys {
					need(name, k, staged[k])
					staged[k], state[k] = false, true
				}
			case l1.WriteFinishedAndReadReserved:
				list(name, e.Keys, true)
				for _, k := range e.Keys {
					need(name, k, staged[k])
					staged[k], state[k] = false, true
				}
			case l1.WriteAborted:
				list(name, e.Keys, true)
				for _, k := range e.Keys {
					need(name, k, staged[k])
					staged[k] = false
				}
			case l1.ReadReserved:
				list(name, e.Keys, true)
				for _, k := range e.Keys {
					need(name, k, state[k])
				}
			case l1.KeysEvicted:
				list(name+string(e.Cause), e.Keys, false)
				for _, k := range e.Keys {
					need(name, k, state[k])
					state[k] = false
				}
			case l1.ReadFinished:
				list(name, e.Keys, true)
			}
		}
		w.Clear()
	}
	for _, wr := range d.writes {
		wr.l.Abort(f.now(), l1.AbortOwner)
	}
	for _, rd := range d.reads {
		rd.l.Finish(f.now(), l1.CauseRead)
	}
	return story
}

// What is left of a dead lease expires before its owner goes on, in holds like all
// others.
func TestDeadLeaseExpiresInSeveralHolds(t *testing.T) {
	keys := chunks(1, 0, 300)
	for _, end := range []func(*fixture, time.Time){
		func(f *fixture, at time.Time) {
			if r := f.reserve(l1.WriteNew, keys...).FinishRange(at, 0, len(keys), l1.OriginNew); len(r.Failed) != len(keys) {
				t.Errorf("%d of %d failed", len(r.Failed), len(keys))
			}
		},
		func(f *fixture, at time.Time) {
			f.store(1, keys...)
			r := f.read(1, keys...)
			if res := r.Finish(at, l1.CauseRead); len(res.Failed) != len(keys) {
				t.Errorf("%d of %d failed", len(res.Failed), len(keys))
			}
		},
	} {
		f, w := watched(t, l1.Options{Bytes: 400 * unit})
		end(f, f.now().Add(l1.DefaultWriteTTL))
		n := 0
		for _, e := range eventbustest.Of[l1.LeaseExpired](w) {
			if n += len(e.Keys); len(e.Keys) > 64 {
				t.Errorf("%d keys expired in one hold", len(e.Keys))
			}
		}
		if n != len(keys) {
			t.Errorf("%d keys expired, want %d", n, len(keys))
		}
		f.check()
	}
}
