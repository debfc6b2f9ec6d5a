package l1

import (
	"sync"
	"testing"
	"time"

	"github.com/lmcache-go/lmcache/storage/kv"
)

func longKeys(n int) []kv.Key {
	keys := make([]kv.Key, n)
	for i := range keys {
		keys[i] = chunkKey(uint64(i))
	}
	return keys
}

// REQ-S1 for a reservation of several holds: a late finish commits none of it.
func TestLateFinishOfALongReservation(t *testing.T) {
	m, layout := familyManager(t, 400)
	start := time.Now()
	w, err := m.ReserveWrite(start, longKeys(300), layout, WriteNew, WriteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	r := w.Finish(start.Add(DefaultWriteTTL), OriginNew)
	if len(r.Finished) != 0 || len(r.Failed) != 300 {
		t.Errorf("%d finished and %d failed, want 0 and 300", len(r.Finished), len(r.Failed))
	}
	if s := m.Stats(); s.Objects != 0 || s.UsedBytes != 0 {
		t.Errorf("%d objects and %d bytes are left", s.Objects, s.UsedBytes)
	}
	if err := m.Check(); err != nil {
		t.Fatal(err)
	}
}

// A handle of several holds is read, released in part and released by several
// goroutines at once; other leases come and go and get its record.
func TestOneLongHandleInManyHands(t *testing.T) {
	m, layout := familyManager(t, 400)
	keys := longKeys(300)
	storeKeys(t, m, layout, keys...)
	for range 300 {
		now := time.Now()
		h, err := m.ReserveRead(now, keys, layout, ReadOptions{Promise: true})
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		wg.Go(func() {
			taken, _ := h.Take(now, Select{Hi: 300})
			taken.Finish(now, CauseRead)
		})
		wg.Go(func() { h.Release(now, Select{Lo: 10, Hi: 290, Stride: 3}, 1, CauseUnused) })
		wg.Go(func() { h.Finish(now, CauseUnused) })
		wg.Go(func() { look(t, m, layout, keys[:200]...) })
		wg.Wait()
		h.Finish(now, CauseUnused)
	}
	if s := m.Stats(); s.LeasedBytes != 0 || s.Leases != 0 {
		t.Errorf("%d leases hold %d bytes", s.Leases, s.LeasedBytes)
	}
	if err := m.Check(); err != nil {
		t.Fatal(err)
	}
}
