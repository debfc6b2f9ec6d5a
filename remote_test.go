package lmcache_test

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lmcache-go/lmcache"
)

// TestTake: a result is taken once, by whoever comes first; a read, a release or a
// question counts as delivery.
func TestTake(t *testing.T) {
	r := newHostRig(t)
	prompt := tokens(1, 3*chunkTokens)
	r.keep(1, prompt)
	for _, tc := range []struct {
		name   string
		before func(m *lmcache.Match)
		times  int64
	}{
		{"nothing", func(*lmcache.Match) {}, 1},
		{"asked", func(m *lmcache.Match) { r.found(m) }, 0},
		{"read", func(m *lmcache.Match) { r.read(m, 0, 3).Done() }, 0},
		{"freed", func(m *lmcache.Match) { m.Release(0, chunkTokens) }, 0},
		{"dropped", func(*lmcache.Match) { r.wait(601 * time.Second) }, 0},
	} {
		s := r.session("a")
		m := s.Lookup(t.Context(), prompt)
		tc.before(m)
		var times, sum atomic.Int64
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				n, ok, err := m.Take(t.Context())
				if err != nil {
					t.Error(err)
				}
				if ok {
					times.Add(1)
				}
				sum.Add(int64(n))
			})
		}
		wg.Wait()
		if times.Load() != tc.times || sum.Load() != 3*tc.times {
			t.Errorf("%s: taken %d times, %d chunks", tc.name, times.Load(), sum.Load())
		}
		r.end(s)
	}
	r.idle()
}

// TestREQ_E41_Forgo: a retrieve of an unknown instance gives back what it would have
// read, once, and nothing of another rank or reader.
func TestREQ_E41_Forgo(t *testing.T) {
	r := newHostRig(t)
	prompt := tokens(1, 3*chunkTokens)
	r.keep(1, prompt)
	s := r.eng.Session(lmcache.Request{ID: "a", Model: model, Readers: 2})
	m := s.Lookup(t.Context(), prompt)
	for range 3 {
		m.Forgo(9, 0, chunkTokens, 3*chunkTokens)
		m.Forgo(9, 1, 0, 3*chunkTokens)
		m.Forgo(9, -1, 0, 3*chunkTokens)
	}
	in := r.read(m, 0, 3)
	same(t, in, 1, 0, 3)
	in.Done()
	if got := r.leased(); got != 1 { // the chunk outside of the stranger's range
		t.Errorf("%d objects leased", got)
	}
	r.end(s)
	m.Forgo(9, 0, 0, 3*chunkTokens)
	r.idle()
}

// TestREQ_E20_PendingLimit: beyond the limit a prepare gets nothing to write and a
// retrieve is a miss; both are counted, and the worker goes on when there is room.
func TestREQ_E20_PendingLimit(t *testing.T) {
	r := newHostRig(t, func(o *lmcache.Options) { o.L1.Bytes = 2 * lmcache.MaxHostPending * objectBytes })
	s := r.session("a")
	prompt := func(i int) []int32 {
		p := tokens(1, chunkTokens)
		p[0] = int32(i)
		return p
	}
	var stores []*lmcache.HostStore
	for i := range lmcache.MaxHostPending {
		stores = append(stores, r.prepare(s, prompt(i), 0, 1))
	}
	if st := r.prepare(s, prompt(-1), 0, 1); len(st.Slots()) != 0 || st.Commit() != nil {
		t.Errorf("%d slots beyond the limit", len(st.Slots()))
	}
	for _, st := range stores {
		if err := st.Commit(); err != nil {
			t.Fatal(err)
		}
	}
	if st := r.prepare(s, prompt(-1), 0, 1); len(st.Slots()) != 1 {
		t.Error("no room after the limit")
	}
	var reads []*lmcache.HostRead
	for i := range lmcache.MaxHostPending {
		in := r.read(r.session("b").Lookup(t.Context(), prompt(i)), 0, 1)
		if !in.Success() {
			t.Fatal("a miss within the limit")
		}
		reads = append(reads, in)
	}
	m := r.session("c").Lookup(t.Context(), prompt(0))
	if r.read(m, 0, 1).Success() {
		t.Error("a hit beyond the limit")
	}
	for _, in := range reads {
		in.Done()
	}
	if r.leased() != 0 {
		t.Errorf("%d objects leased", r.leased())
	}
	if !r.read(m, 0, 1).Success() {
		t.Error("a miss after the limit")
	}
	failed := 0
	for _, e := range of[lmcache.StoreEnded](r.events()) {
		if !e.Success {
			failed++
		}
	}
	if failed != 1 {
		t.Errorf("%d stores failed", failed)
	}
}

// TestRoomForSessions: a session whose transfer runs does not have to go, however long
// ago it was used.
func TestRoomForSessions(t *testing.T) {
	r := newHostRig(t, func(o *lmcache.Options) { o.MaxSessions = 2 })
	busy := r.session("busy")
	st := r.prepare(busy, tokens(1, chunkTokens), 0, 1)
	fill(st, 1, 0)
	for range 5 {
		r.session("other")
	}
	if again := r.prepare(busy, tokens(1, chunkTokens), 0, 1); again != st {
		t.Error("the session with a pending store is gone")
	}
	if err := st.Commit(); err != nil {
		t.Error(err)
	}
	for range 2 {
		r.session("other")
	}
	if _, err := r.host.PrepareStore(t.Context(), busy, tokens(2, chunkTokens), 0, chunkTokens); !errors.Is(err, lmcache.ErrClosed) {
		t.Errorf("an idle session stays beyond the limit: %v", err)
	}
	if got := r.eng.Stats(); got.Sessions != 2 || got.SessionStates.Abandoned != 6 {
		t.Errorf("%d sessions, %d abandoned", got.Sessions, got.SessionStates.Abandoned)
	}
}

// TestREQ_E43_EqualAtOnce: registrations of one instance with equal options are one
// worker, also at the same time.
func TestREQ_E43_EqualAtOnce(t *testing.T) {
	r := newRig(t, setup{})
	for id := range int64(200) {
		workers := make(chan *lmcache.HostWorker, 8)
		var wg sync.WaitGroup
		start := make(chan struct{})
		for range cap(workers) {
			wg.Go(func() {
				<-start
				h, err := r.eng.AttachHost(lmcache.HostOptions{Model: model, Geometry: hostGeometry(), Instance: &id})
				if err != nil {
					t.Error(err)
				}
				workers <- h
			})
		}
		close(start)
		wg.Wait()
		first := <-workers
		for range cap(workers) - 1 {
			if <-workers != first {
				t.Fatal("two workers of one instance")
			}
		}
	}
	if n := len(r.eng.Stats().HostWorkers); n != 200 {
		t.Errorf("%d workers", n)
	}
}
