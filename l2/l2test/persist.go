package l2test

import (
	"sync"
	"testing"

	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// reopen stores, closes and opens again: everything is there, and is known to be.
func reopen(t testing.TB, open Opener, o options) {
	t.Helper()
	s := newSuite(t, open(t), o)
	all, _ := s.numbered(30)
	s.store(all...)
	if err := s.a.Delete(t.Context(), keysOf(all[:5]), make([]int64, 5)); err != nil {
		t.Fatal(err)
	}
	if err := s.a.Close(); err != nil {
		t.Fatal(err)
	}
	s = newSuite(t, open(t), o)
	s.expectMissing(all[0])
	s.expect(all[5:]...) // before anything was scanned
	s.listed(all[5:])
	found := make([]l2.Found, len(all))
	if err := s.a.Lookup(t.Context(), keysOf(all), found); err != nil {
		t.Fatal(err)
	}
	for i, f := range found {
		if f.OK != (i >= 5) {
			t.Errorf("object %d after a restart: found %v", i, f.OK)
		}
	}
	b := s.writing(all[5:]...)
	if err := s.a.Store(t.Context(), b.items); err != nil {
		t.Fatal(err)
	}
	for i, it := range b.items {
		if it.Err != nil || it.N != 0 {
			t.Errorf("Store of object %d, which is there since before the restart: N %d, error %v", i, it.N, it.Err)
		}
	}
	b.giveBack(t)
	freed := make([]int64, len(all)-5)
	if err := s.a.Delete(t.Context(), keysOf(all[5:]), freed); err != nil {
		t.Fatal(err)
	}
	for i, n := range freed {
		if n != 0 && n != s.stored(all[5+i]) {
			t.Errorf("Delete of object %d after a restart: freed %d, want %d", i, n, s.stored(all[5+i]))
		}
	}
	s.listed(nil)
}

// reopenAfterRaces closes while writers are busy: after that, what is there is whole.
func reopenAfterRaces(t testing.TB, open Opener, o options) {
	t.Helper()
	s := newSuite(t, open(t), o)
	const writers = 4
	var all []object
	var batches []*batch
	for w := range writers {
		var own []object
		for i := range 16 {
			own = append(own, s.object(key("m", w*100+i), 64<<10, 0))
		}
		batches, all = append(batches, s.writing(own...)), append(all, own...)
	}
	var wg sync.WaitGroup
	errs := make([]error, writers)
	for w, b := range batches {
		wg.Go(func() { errs[w] = s.a.Store(t.Context(), b.items) })
	}
	if err := s.a.Close(); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	s = newSuite(t, open(t), o)
	for w, b := range batches {
		s.truthful(all[w*16:(w+1)*16], b, errs[w])
		b.giveBack(t)
	}
	var there []object
	found := make([]l2.Found, len(all))
	if err := s.a.Lookup(t.Context(), keysOf(all), found); err != nil {
		t.Fatal(err)
	}
	for i, f := range found {
		if f.OK {
			there = append(there, all[i])
		}
	}
	s.listed(there)
	if err := s.a.Delete(t.Context(), keysOf(all), make([]int64, len(all))); err != nil {
		t.Fatal(err)
	}
	if err := s.a.Lookup(t.Context(), []kv.Key{all[0].key}, found[:1]); err != nil || found[0].OK {
		t.Errorf("Lookup after Delete: %v, %v", found[0].OK, err)
	}
}
