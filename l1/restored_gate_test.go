package l1_test

import (
	"testing"

	"github.com/lmcache-go/lmcache/eventbus"
	"github.com/lmcache-go/lmcache/eventbus/eventbustest"
	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// told says which keys the events announce as new, and which as restored.
func told(t *testing.T, events []eventbus.Event) (fresh, restored map[kv.Key]int) {
	t.Helper()
	fresh, restored = make(map[kv.Key]int), make(map[kv.Key]int)
	for _, e := range events {
		switch e := e.(type) {
		case l1.WriteFinished:
			switch e.Origin {
			case l1.OriginNew:
				add(fresh, e.Keys)
			case l1.OriginRestored:
				add(restored, e.Keys)
			default:
				t.Errorf("the origin is %q", e.Origin)
			}
		case l1.WriteFinishedAndReadReserved:
			add(restored, e.Keys)
		}
	}
	return fresh, restored
}

// REQ-S6: what was loaded is announced as restored and never as new, whichever way it
// is committed, also where the same prompt has new chunks beside it.
func TestREQ_S6_RestoredIsNotNew(t *testing.T) {
	f, w := watched(t, l1.Options{Bytes: 200 * unit, NoBytes: true})
	keys := chunks(1, 0, 130) // several holds
	load, write := keys[:100], keys[100:]

	l, n := f.reserve(l1.WriteNew, load...), f.reserve(l1.WriteNew, write...)
	l.FinishRange(f.now(), 3, 70, l1.OriginRestored)
	n.FinishRange(f.now(), 0, 1, l1.OriginNew)
	r := l.FinishAndRead(f.now(), 2)
	n.Finish(f.now(), l1.OriginNew)
	fresh, restored := told(t, w.Events())
	for i, k := range keys {
		want := 0 // times as new
		if i >= len(load) {
			want = 1
		}
		if fresh[k] != want || restored[k] != 1-want {
			t.Errorf("chunk %d was announced %d times as new and %d times as restored", i, fresh[k], restored[k])
		}
	}
	r.Finish(f.now(), l1.CauseRead)

	// A load that replaces what is there is no new data either; nor is one of a key
	// that somebody wrote before.
	w.Clear()
	f.reserve(l1.WriteUpdate, write...).Finish(f.now(), l1.OriginRestored)
	fresh, restored = told(t, w.Events())
	if len(fresh) != 0 || len(restored) != len(write) {
		t.Errorf("a replacement: %d keys as new, %d as restored", len(fresh), len(restored))
	}
	eventbustest.ExpectNone[l1.WriteAborted](w)
}

// REQ-S6: a commit of loaded bytes gives each reader its own holder and takes none of
// those that others have.
func TestREQ_S6_RestoringTakesNoHolder(t *testing.T) {
	for _, readers := range []int{1, 2, l1.MaxReaders} {
		f := newFixture(t, l1.Options{Bytes: unit})
		k := chunk(1, 0)
		load := f.reserve(l1.WriteNew, k)
		for _, b := range load.All() {
			pattern(b, k, 1)
		}
		r := load.FinishAndRead(f.now(), readers)
		if n := r.Holders(0); n != readers {
			t.Fatalf("%d holders, want %d", n, readers)
		}
		for i := range readers {
			taken, bad := r.Take(f.now(), l1.All(1))
			if bad != 0 {
				t.Fatalf("reader %d of %d has no holder", i, readers)
			}
			f.holds(taken, 1)
			if f.store(2, chunk(2, 0)) != 0 {
				t.Fatalf("evicted while reader %d of %d reads", i, readers)
			}
			taken.Finish(f.now(), l1.CauseRead)
		}
		if f.store(2, chunk(2, 0)) != 1 {
			t.Fatalf("not evicted after %d readers", readers)
		}
	}

	// A replacement that is loaded beside a reader: the reader keeps its holder and its
	// bytes.
	for _, andRead := range []bool{false, true} {
		f := newFixture(t, l1.Options{Bytes: 3 * unit})
		k := chunk(1, 0)
		f.store(1, k)
		load := f.reserve(l1.WriteUpdate, k)
		for _, b := range load.All() {
			pattern(b, k, 2)
		}
		r := f.read(2, k)
		var own l1.ReadLease
		if andRead {
			own = load.FinishAndRead(f.now(), 1)
			f.holds(own, 2)
		} else {
			load.Finish(f.now(), l1.OriginRestored)
		}
		if n := r.Holders(0); n != 2 {
			t.Fatalf("and read %v: %d holders of the reader are left, want 2", andRead, n)
		}
		f.holds(r, 1)
		own.Finish(f.now(), l1.CauseRead)
		for range 2 {
			taken, bad := r.Take(f.now(), l1.All(1))
			if bad != 0 {
				t.Fatal("the reader has no holder")
			}
			f.holds(taken, 1)
			taken.Finish(f.now(), l1.CauseRead)
		}
		f.check()
		if s := f.m.Stats(); s.LeasedBytes != 0 || s.UsedBytes != unit {
			t.Errorf("and read %v: %+v", andRead, s)
		}
	}
}
