package l2test

import (
	"context"
	"errors"
	"math/rand/v2"
	"runtime"
	"sync"
	"time"

	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// truthful checks what a store says about each object after it may have been
// disturbed: a success is there, and what is there is whole.
func (s *suite) truthful(all []object, b *batch, err error) {
	s.t.Helper()
	r := s.reading(all...)
	if lerr := s.a.Load(s.t.Context(), r.items); lerr != nil {
		s.t.Fatal(lerr)
	}
	for i, it := range r.items {
		stored := err == nil && b.items[i].Err == nil
		switch {
		case it.Err == nil:
			if wrong := same(it, all[i]); wrong != nil {
				s.t.Errorf("object %d after a store that was disturbed: %v", i, wrong)
			}
		case stored:
			s.t.Errorf("object %d: stored with success, and then: %v", i, it.Err)
		default:
			s.isError(it.Err, l2.ErrNotFound)
		}
		if err == nil && b.items[i].Err != nil && !typed(b.items[i].Err) {
			s.t.Errorf("object %d: error %v has no type", i, b.items[i].Err)
		}
	}
	r.giveBack(s.t)
}

// cancelledBefore calls with a context that has ended: the calls return, and say
// what they have done.
func cancelledBefore(s *suite) {
	ctx, cancel := context.WithCancel(s.t.Context())
	cancel()
	s.ended(ctx)
}

// deadlinePassed is the same with a deadline, which gives the reason timeout.
func deadlinePassed(s *suite) {
	ctx, cancel := context.WithDeadline(s.t.Context(), time.Now().Add(-time.Hour))
	defer cancel()
	s.ended(ctx)
}

func (s *suite) ended(ctx context.Context) {
	s.t.Helper()
	all := s.objects(4, 5000)
	s.store(all[0])
	w, r := s.writing(all...), s.reading(all[0])
	found, freed := make([]l2.Found, 1), make([]int64, 1)
	var store, load, look, del error
	s.soon("a call whose context has ended", func() {
		store = s.a.Store(ctx, w.items)
		load = s.a.Load(ctx, r.items)
		look = s.a.Lookup(ctx, []kv.Key{all[0].key}, found)
		del = s.a.Delete(ctx, []kv.Key{all[1].key}, freed)
	})
	s.truthfulExceptDeleted(all, w, store, 1)
	if load == nil && r.items[0].Err == nil {
		if err := same(r.items[0], all[0]); err != nil {
			s.t.Errorf("Load said nothing of the context: %v", err)
		}
	}
	if look == nil && !found[0].OK {
		s.t.Error("Lookup says without an error that a key is not there which is")
	}
	for name, err := range map[string]error{"Store": store, "Load": load, "Lookup": look, "Delete": del, "an item of Load": r.items[0].Err} {
		if err == nil {
			continue
		}
		if !typed(err) {
			s.t.Errorf("%s: error %v has no type", name, err)
		}
		if errors.Is(ctx.Err(), context.DeadlineExceeded) && l2.ReasonOf(err) != l2.ReasonTimeout {
			s.t.Errorf("%s: error %v has reason %q, want %q", name, err, l2.ReasonOf(err), l2.ReasonTimeout)
		}
	}
	r.giveBack(s.t)
	w.giveBack(s.t)
	left := s.objects(8, 6000)[5:]
	s.store(left...) // the adapter works on
	s.expect(left...)
}

// truthfulExceptDeleted leaves out the object that was deleted after the store.
func (s *suite) truthfulExceptDeleted(all []object, w *batch, err error, deleted int) {
	s.t.Helper()
	var rest []object
	b := &batch{}
	for i := range all {
		if i != deleted {
			rest = append(rest, all[i])
			b.items = append(b.items, w.items[i])
		}
	}
	s.truthful(rest, b, err)
}

// cancelledDuring ends the context while bytes are moving.
func cancelledDuring(s *suite) {
	rng := rand.New(rand.NewPCG(3, 4))
	for round := range 20 {
		var all []object
		for i := range 8 {
			all = append(all, s.object(key("m", round*100+i), 256<<10, 0))
		}
		w := s.writing(all...)
		err := s.disturbed(rng.IntN(2000), func(ctx context.Context) error { return s.a.Store(ctx, w.items) })
		s.truthful(all, w, err)
		w.giveBack(s.t)

		rest := s.writing(all...) // completes what was cut short
		if err := s.a.Store(s.t.Context(), rest.items); err != nil {
			s.t.Fatal(err)
		}
		r := s.reading(all...)
		err = s.disturbed(rng.IntN(2000), func(ctx context.Context) error { return s.a.Load(ctx, r.items) })
		for i, it := range r.items {
			if err != nil || it.Err != nil {
				continue
			}
			if wrong := same(it, all[i]); wrong != nil {
				s.t.Errorf("Load of object %d, cancelled, with success: %v", i, wrong)
			}
		}
		r.giveBack(s.t)
		s.expect(all...)
		r.untouched(s.t) // nothing goes on behind the call
		freed := make([]int64, len(all))
		if err := s.a.Delete(s.t.Context(), keysOf(all), freed); err != nil {
			s.t.Fatal(err)
		}
	}
}

// disturbed makes a call and cancels it a little later.
func (s *suite) disturbed(turns int, call func(context.Context) error) error {
	s.t.Helper()
	ctx, cancel := context.WithCancel(s.t.Context())
	defer cancel()
	var err error
	s.soon("a cancelled call", func() {
		var wg sync.WaitGroup
		wg.Go(func() {
			for range turns {
				runtime.Gosched()
			}
			cancel()
		})
		err = call(ctx)
		wg.Wait()
	})
	return err
}
