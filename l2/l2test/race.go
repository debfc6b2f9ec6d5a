package l2test

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// sameKeyRace lets writers of the same keys race with each other and with readers:
// a reader sees nothing or all bytes of one writer, and at the end one has won.
func sameKeyRace(s *suite) {
	const rounds, writers, readers, size = 8, 8, 4, 70000
	for round := range rounds {
		variants := make([][]object, writers) // by writer, then key
		writes := make([]*batch, writers)
		for w := range writers {
			for i := range 4 {
				variants[w] = append(variants[w], s.object(key(fmt.Sprintf("round-%d", round), i), size, w))
			}
			writes[w] = s.writing(variants[w]...)
		}
		reads := make([]*batch, readers)
		for i := range reads {
			reads[i] = s.reading(variants[0]...)
		}
		var wg sync.WaitGroup
		for _, b := range writes {
			wg.Go(func() {
				if err := s.a.Store(s.t.Context(), b.items); err != nil {
					s.t.Errorf("Store: %v", err)
				}
			})
		}
		for _, b := range reads {
			wg.Go(func() {
				if err := s.a.Load(s.t.Context(), b.items); err != nil {
					s.t.Errorf("Load: %v", err)
				}
			})
		}
		wg.Wait()
		for _, b := range reads {
			for i, it := range b.items {
				s.oneOf(it, variants, i, true)
			}
			b.giveBack(s.t)
		}
		for i := range 4 {
			won := 0
			for w, b := range writes {
				if it := b.items[i]; it.Err != nil || (it.N != 0 && it.N != size) {
					s.t.Errorf("writer %d: N %d, error %v; want success with 0 or %d", w, it.N, it.Err, size)
				} else if it.N > 0 {
					won++
				}
			}
			if won == 0 {
				s.t.Error("all writers say that another one wrote the key")
			}
		}
		for _, b := range writes {
			b.giveBack(s.t)
		}
		last := s.reading(variants[0]...)
		if err := s.a.Load(s.t.Context(), last.items); err != nil {
			s.t.Fatal(err)
		}
		for i, it := range last.items {
			s.oneOf(it, variants, i, false)
		}
		last.giveBack(s.t)
	}
}

// oneOf checks that what was loaded is wholly one of the variants of object i.
func (s *suite) oneOf(it l2.Item, variants [][]object, i int, mayMiss bool) {
	s.t.Helper()
	if it.Err != nil {
		if !mayMiss || !errors.Is(it.Err, l2.ErrNotFound) {
			s.t.Errorf("Load of %v: %v", it.Key, it.Err)
		}
		return
	}
	for _, v := range variants {
		if same(it, v[i]) == nil {
			return
		}
	}
	s.t.Errorf("Load of %v: %d bytes that no writer wrote", it.Key, it.N)
}

// mixedRace stores, loads, looks up and deletes the same keys at the same time.
func mixedRace(s *suite) {
	const workers, turns, size = 8, 40, 20000
	var variants [][]object
	for v := range 2 {
		var all []object
		for i := range 6 {
			all = append(all, s.object(key("m", i), size, v))
		}
		variants = append(variants, all)
	}
	keys := keysOf(variants[0])
	var lent []*batch
	var wg sync.WaitGroup
	for w := range workers {
		write, read := s.writing(variants[w%2]...), s.reading(variants[0]...)
		wg.Go(func() {
			for turn := range turns {
				if err := s.turn(s.t.Context(), (w+turn)%4, write, read, keys, variants); err != nil {
					s.t.Errorf("worker %d: %v", w, err)
				}
			}
		})
		lent = append(lent, write, read)
	}
	wg.Wait()
	for _, b := range lent {
		b.giveBack(s.t)
	}
	freed := make([]int64, len(keys))
	if err := s.a.Delete(s.t.Context(), keys, freed); err != nil {
		s.t.Fatal(err)
	}
	for _, o := range variants[0] {
		s.expectMissing(o)
	}
	s.store(variants[1]...)
	s.expect(variants[1]...)
}

// turn does one operation of mixedRace.
func (s *suite) turn(ctx context.Context, op int, write, read *batch, keys []kv.Key, variants [][]object) error {
	switch op {
	case 0:
		if err := s.a.Store(ctx, write.items); err != nil {
			return err
		}
		for _, it := range write.items {
			if it.Err != nil {
				return fmt.Errorf("store: %w", it.Err)
			}
		}
	case 1, 2:
		if err := s.a.Load(ctx, read.items); err != nil {
			return err
		}
		for i, it := range read.items {
			s.oneOf(it, variants, i, true)
		}
	case 3:
		freed := make([]int64, len(keys))
		if err := s.a.Delete(ctx, keys, freed); err != nil {
			return err
		}
		return s.a.Lookup(ctx, keys, make([]l2.Found, len(keys)))
	}
	return nil
}
