package lmcache_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/lmcache-go/lmcache"
)

// TestREQ_S25_Concurrent: sessions and hosts from many goroutines, beside sweeps,
// too little room for the sessions, detaches and clears, deliver right bytes or
// nothing, and leave nothing behind.
func TestREQ_S25_Concurrent(t *testing.T) {
	r := newRig(t, setup{engine: func(o *lmcache.Options) {
		o.SessionTTL, o.MaxSessions, o.SessionBytes = 2*time.Millisecond, 12, 4<<10
		o.L1.ReadTTL, o.L1.WriteTTL = 50*time.Millisecond, 50*time.Millisecond
	}})
	prompts := [][]int32{tokens(0, 3*chunkTokens), tokens(1, 3*chunkTokens)}
	attach := func(id int64) *lmcache.HostWorker {
		h, err := r.eng.AttachHost(lmcache.HostOptions{Model: model, Geometry: hostGeometry(), Instance: &id, Shared: id == 1})
		if err != nil {
			t.Error(err)
		}
		return h
	}
	one := func(rng interface{ IntN(int) int }, i int) {
		seed := rng.IntN(2)
		k := lmcache.HostKey{
			Request: lmcache.Request{ID: fmt.Sprint(rng.IntN(6)), Model: model, WorldSize: 1},
			Tokens:  prompts[seed], Start: rng.IntN(3) * chunkTokens, End: 3 * chunkTokens,
		}
		h := attach(int64(i % 2))
		var err error
		switch rng.IntN(8) {
		case 0:
			_, err = r.eng.OpenSession(k.Request).Lookup(r.Context(), k.Tokens).Tokens(r.Context())
		case 1, 2:
			var in *lmcache.HostRead
			if in, err = h.PrepareRetrieveKey(r.Context(), k); err == nil {
				in.Slots()
				err = h.CommitRetrieve(k)
			}
		case 3, 4:
			_, err = h.CommitStoreData(r.Context(), k, tensorsOf(uint64(seed), k.Start/chunkTokens, 3))
		case 5:
			if _, err = h.PrepareStoreKey(r.Context(), k); err == nil && rng.IntN(2) == 0 {
				_, err = h.CommitStoreData(r.Context(), k, tensorsOf(uint64(seed), k.Start/chunkTokens, 3))
			}
		case 6:
			err = r.eng.EndSession(k.Request.ID)
		case 7:
			if i%20 == 0 {
				err = r.eng.Detach(r.Context(), int64(i%2))
			} else if i%5 == 0 {
				r.clear(i%10 == 0)
			}
		}
		if err != nil && !errors.Is(err, lmcache.ErrClosed) {
			t.Error(err)
		}
	}
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			rng := newRand(uint64(g))
			for i := range 400 {
				one(rng, i)
			}
		})
	}
	wg.Wait()
	for seed, prompt := range prompts { // what is there is right
		s := r.session("check")
		m := s.Lookup(t.Context(), prompt)
		n, err := m.Chunks(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		r.wipe(r.cache, span(0, 6)...)
		if tr := r.done(r.worker.Retrieve(t.Context(), m, table(span(0, 6)...), nil)); tr.Success() {
			r.same(r.cache, uint64(seed), 0, span(0, n*perChunk)...)
		}
		r.end(s)
	}
	r.shut()
	oneEnd(t, r.events())
}
