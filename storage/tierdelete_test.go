package storage_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/storage"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// gate holds the calls of one operation that are about a key, until it is opened.
type gate struct {
	op, name string
	opened   chan struct{} // of the bubble
}

func (g *gate) on(s *shelf) {
	g.opened = make(chan struct{})
	s.before = func(_ context.Context, op string, list []kv.Key) error {
		if op == g.op && named(list) == g.name {
			<-g.opened
		}
		return nil
	}
}

// remove begins a deletion in the first tier.
func (w *world) remove(list []kv.Key) <-chan storage.TierResult {
	w.t.Helper()
	done := make(chan storage.TierResult, 1)
	if err := w.m.StartDeleteL2(list, 0, func(r []storage.TierResult) { done <- r[0] }); err != nil {
		w.t.Fatal(err)
	}
	return done
}

// holds checks that a shelf has these objects, and that the tier counts just them.
func (w *world) holds(s *shelf, names string) {
	w.t.Helper()
	st := w.m.Stats().Tiers[0]
	if s.has() != names || int(st.Objects) != len(names) || st.UsedBytes != s.bytes() {
		w.t.Errorf("it has %q, %d bytes, want %q; %d objects of %d bytes are counted", s.has(), s.bytes(), names, st.Objects, st.UsedBytes)
	}
}

// numbered is n keys.
func numbered(n int) (list []kv.Key) {
	for i := range n {
		list = append(list, key(fmt.Sprintf("k%d", i)))
	}
	return list
}

// keepAll stores objects of the keys.
func (w *world) keepAll(list []kv.Key) {
	w.t.Helper()
	l, err := w.m.ReserveWrite(w.t.Context(), list, w.layout, storage.New, storage.WriteOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	l.Finish()
	w.flush()
}

// An object that is deleted while it is being stored is gone afterwards, and can be
// stored again. Deletions of other keys do not wait for that store.
func TestDeletionDuringStore(t *testing.T) {
	s := newShelf()
	live(t, 16, []*shelf{s}, func(t *testing.T, w *world) {
		w.put("b")
		w.flush()
		g := &gate{op: "store", name: "a"}
		g.on(s)
		w.put("a")
		synctest.Wait()
		first := w.remove(keys("a"))
		if r := <-w.remove(keys("b")); r.Deleted != 1 || len(first) != 0 {
			t.Errorf("%+v; of that which is being stored %d results", r, len(first))
		}
		close(g.opened)
		w.flush()
		if r := <-first; r.Err != nil || r.Deleted != 1 || r.Skipped != 0 {
			t.Errorf("%+v", r)
		}
		w.holds(s, "")
		w.m.Delete(keys("a"), true)
		w.put("a")
		w.flush()
		w.holds(s, "a")
	})
}

// stored has a store hold objects, of which its tier knows or not.
func (w *world) stored(s *shelf, known bool, names string) {
	w.t.Helper()
	if !known {
		s.keep(w.t, w.layout, names)
		return
	}
	w.put(names)
	w.flush()
	w.m.Clear(true)
}

// An object that is stored while it is being deleted is stored after that, whether the
// tier knew of it or not.
func TestStoreDuringDeletion(t *testing.T) {
	for name, known := range map[string]bool{"known": true, "unknown": false} {
		t.Run(name, func(t *testing.T) {
			s := newShelf()
			live(t, 16, []*shelf{s}, func(t *testing.T, w *world) {
				w.stored(s, known, "a")
				g := &gate{op: "delete", name: "a"}
				g.on(s)
				stores := s.count("store")
				done := w.remove(keys("a"))
				w.put("a")
				pass(time.Millisecond)
				synctest.Wait()
				if s.count("store") != stores {
					t.Error("it is stored before it is deleted")
				}
				close(g.opened)
				w.flush()
				if r := <-done; r.Err != nil || r.Skipped != 0 {
					t.Errorf("%+v", r)
				}
				w.holds(s, "a")
			})
		})
	}
}

// late is a shelf whose answers to lookups are on their way until it is told.
type late struct {
	*shelf
	answers chan struct{} // nil: they come at once
}

func (l *late) Lookup(ctx context.Context, keys []kv.Key, found []l2.Found) error {
	err := l.shelf.Lookup(ctx, keys, found)
	if l.answers != nil {
		<-l.answers
	}
	return err
}

// What a store has said of an object before it was deleted brings nothing back. No load
// finds that out: the objects are behind a gap.
func TestDeletionDuringLookup(t *testing.T) {
	for name, known := range map[string]bool{"known": true, "unknown": false} {
		t.Run(name, func(t *testing.T) {
			s := newShelf()
			a := &late{shelf: s}
			live(t, 16, []*shelf{s}, func(t *testing.T, w *world) {
				w.stored(s, known, "ab")
				a.answers = make(chan struct{})
				p := w.prefetch("xab", storage.PrefetchOptions{})
				synctest.Wait()
				if r := <-w.remove(keys("a")); r.Err != nil || r.Deleted != 1 {
					t.Errorf("%+v", r)
				}
				close(a.answers)
				if r := w.wait(p); r.Prefix != 0 || s.count("load") != 0 {
					t.Errorf("%+v, %d loads", r, s.count("load"))
				}
				p.Release()
				a.answers = nil
				w.holds(s, "b")
				w.put("a")
				w.flush()
				w.holds(s, "ab")
			}, func(o *storage.Options) { o.Tiers[0].Adapter = a })
		})
	}
}

// scripted is a shelf whose nth deletion, from 1 on, is what f says.
type scripted struct {
	*shelf
	n int
	f func(n int, keys []kv.Key, freed []int64) error
}

func (a *scripted) Delete(_ context.Context, keys []kv.Key, freed []int64) error {
	a.n++
	return a.f(a.n, keys, freed)
}

// A long deletion that fails in the middle changes nothing of what it has dealt with
// before: an object that stayed may be in another deletion by then.
func TestDeletionFailsInTheMiddle(t *testing.T) {
	s := newShelf()
	a := &scripted{shelf: s}
	a.f = func(n int, keys []kv.Key, freed []int64) error {
		switch n {
		case 1: // the first of the keys stays
			freed[0] = -1
			return s.Delete(t.Context(), keys[1:], freed[1:])
		case 2: // the rest of it
			return l2.ErrIO
		}
		return s.Delete(t.Context(), keys, freed)
	}
	w := newTierWorld(t, 512, []*shelf{s}, func(o *storage.Options) { o.Tiers[0].Adapter = a })
	list := numbered(300)
	w.keepAll(list)
	first := w.remove(list)
	w.after(1500 * time.Microsecond) // one call and half of the next one
	second := w.remove(list[:1])
	w.v.Run()
	if r := <-first; r.Err == nil {
		t.Errorf("the first: %+v", r)
	}
	if r := <-second; r.Err != nil || r.Deleted != 1 {
		t.Errorf("the second: %+v", r)
	}
	if st := w.m.Stats().Tiers[0]; len(s.objects) != 44 || st.Objects != 44 || st.UsedBytes != s.bytes() {
		t.Errorf("it has %d objects of %d bytes; %d of %d are counted", len(s.objects), s.bytes(), st.Objects, st.UsedBytes)
	}
}

// Of two deletions of a key the second one tries it again if the first one fails.
func TestDeletionAfterOneThatFails(t *testing.T) {
	s := newShelf()
	a := &scripted{shelf: s}
	a.f = func(n int, keys []kv.Key, freed []int64) error {
		if n == 1 {
			return l2.ErrIO
		}
		return s.Delete(t.Context(), keys, freed)
	}
	w := newTierWorld(t, 16, []*shelf{s}, func(o *storage.Options) { o.Tiers[0].Adapter = a })
	w.put("ab")
	w.flush()
	first, second := w.remove(keys("a")), w.remove(keys("ab"))
	w.v.Run()
	if r := <-first; r.Err == nil {
		t.Errorf("the first: %+v", r)
	}
	if r := <-second; r.Err != nil || r.Deleted != 2 || r.Skipped != 0 {
		t.Errorf("the second: %+v", r)
	}
	w.holds(s, "")
}

// A long deletion keeps another one waiting for one part of it only.
func TestDeletionsTakeTurns(t *testing.T) {
	s := newShelf()
	w := newTierWorld(t, 1024, []*shelf{s})
	list := numbered(1000)
	w.keepAll(list)
	w.put("a")
	w.flush()
	long, short := w.remove(list), w.remove(keys("a"))
	w.after(2500 * time.Microsecond) // two calls, and half of one
	if len(short) != 1 || len(long) != 0 {
		t.Errorf("%d short deletions are over and %d long ones", len(short), len(long))
	}
	w.v.Run()
	if r := <-long; r.Err != nil || r.Deleted != len(list) || r.Skipped != 0 {
		t.Errorf("%+v", r)
	}
	w.holds(s, "")
}

// A key that is given twice counts once.
func TestDeletionOfRepeatedKeys(t *testing.T) {
	s := newShelf()
	w := newTierWorld(t, 16, []*shelf{s})
	w.put("ab")
	w.flush()
	r, err := w.m.DeleteL2(t.Context(), keys("abaab"), 0)
	if err != nil || r[0].Err != nil || r[0].Deleted != 2 || r[0].Skipped != 0 || s.moved["delete"] != 2 {
		t.Errorf("%+v, %v; the store was given %d keys", r, err, s.moved["delete"])
	}
	w.holds(s, "")
}

// A key that is being evicted is not one that stays.
func TestDeletionDuringEviction(t *testing.T) {
	s := newShelf()
	live(t, 16, []*shelf{s}, func(t *testing.T, w *world) {
		w.put("a")
		w.flush()
		pass(time.Millisecond)
		w.put("b")
		w.flush()
		g := &gate{op: "delete", name: "a"}
		g.on(s)
		w.put("c")
		synctest.Wait()
		done := w.remove(keys("a"))
		close(g.opened)
		if r := <-done; r.Err != nil || r.Skipped != 0 {
			t.Errorf("%+v", r)
		}
		w.flush()
		w.holds(s, "bc")
	}, capped(2, nil))
}
