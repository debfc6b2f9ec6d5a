package l1_test

import (
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// REQ-S16: 8 goroutines write, read, touch, delete and clear the same keys, with
// evictions all the time. Each commit of a key has the same bytes, so whatever a
// reader holds can be verified, before and after others have interfered.
func TestConcurrentUse(t *testing.T) {
	const workers, steps = 8, 400
	m, err := l1.New(l1.Options{Bytes: 60 * unit})
	if err != nil {
		t.Fatal(err)
	}
	layout := layoutOf(t, unit)
	verify := func(r l1.ReadLease) {
		keys, want := r.Keys(), make([]byte, unit)
		for i, b := range r.All() {
			if pattern(want, keys[i], 1); string(b) != string(want) {
				t.Error("a reader holds wrong bytes")
				return
			}
		}
	}
	read := func(rnd *rand.Rand, keys []kv.Key) {
		r, err := m.ReserveRead(time.Now(), keys, layout, l1.ReadOptions{Readers: 2, Promise: rnd.IntN(2) == 0})
		if err != nil {
			t.Error(err)
			return
		}
		verify(r)
		if rnd.IntN(2) == 0 {
			taken, _ := r.Take(time.Now(), l1.All(len(keys)))
			m.Touch(time.Now(), keys)
			verify(taken)
			taken.Finish(time.Now(), l1.CauseRead)
		}
		verify(r)
		r.Finish(time.Now(), l1.CauseUnused)
	}
	write := func(rnd *rand.Rand, keys []kv.Key) {
		o := l1.WriteOptions{}
		if rnd.IntN(4) == 0 {
			o.Temporary = make([]bool, len(keys))
			o.Temporary[0] = true
		}
		w, err := m.ReserveWrite(time.Now(), keys, layout, l1.WriteMode(rnd.IntN(3)), o)
		if err != nil {
			t.Error(err)
			return
		}
		for i, b := range w.All() {
			pattern(b, keys[i], 1)
		}
		defer w.Abort(time.Now(), l1.AbortOwner)
		switch {
		case o.Temporary != nil:
			r := w.FinishAndRead(time.Now(), 1)
			verify(r)
			r.Finish(time.Now(), l1.CauseRead)
		case rnd.IntN(4) > 0:
			w.Finish(time.Now(), l1.OriginNew)
		}
	}
	var wg sync.WaitGroup
	for g := range workers {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(uint64(g), 16))
			for range steps {
				lo := rnd.IntN(30)
				keys := chunks(rnd.IntN(4), lo, lo+1+rnd.IntN(80))
				switch op := rnd.IntN(100); {
				case op < 45:
					write(rnd, keys[:min(len(keys), 12)])
				case op < 92:
					read(rnd, keys)
				case op < 96:
					m.Delete(time.Now(), keys[:1], rnd.IntN(2) == 0)
				case op < 98:
					m.Stats()
				default:
					m.Clear(time.Now(), rnd.IntN(2) == 0)
				}
			}
		})
	}
	wg.Wait()
	if err := m.Check(); err != nil {
		t.Fatal(err)
	}
	m.Clear(time.Now(), false)
	if s := m.Stats(); s.UsedBytes != 0 || s.Leases != 0 || s.Objects != 0 {
		t.Errorf("left behind: %+v", s)
	}
	if err := m.Close(); err != nil {
		t.Error(err)
	}
}
