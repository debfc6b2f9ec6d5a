package lmcache_test

import (
	"math"
	"sync"
	"testing"
	"time"

	"github.com/lmcache-go/lmcache"
)

// TestREQ_E15_ReadersOfTheLookup: how many read an object is what the lookup said. A
// later operation of the request that names another number changes nothing of it.
func TestREQ_E15_ReadersOfTheLookup(t *testing.T) {
	for _, c := range []struct{ looked, named int }{{1, 2}, {2, 1}} {
		r := newHostRig(t)
		prompt := tokens(1, 3*chunkTokens)
		r.keep(1, prompt)
		req := lmcache.Request{ID: "a", Model: model, WorldSize: 1, Readers: c.looked}
		m := r.eng.OpenSession(req).Lookup(t.Context(), prompt)
		req.Readers = c.named
		_, done := r.eng.SessionFor(req)
		done()
		for _, h := range []*lmcache.HostWorker{r.host, r.attach(lmcache.HostOptions{})} {
			in := r.readBy(h, m, 0, 3)
			same(t, in, 1, 0, 3)
			in.Done()
		}
		if got := r.leased(); got != 0 {
			t.Errorf("%d readers, then %d: %d objects leased", c.looked, c.named, got)
		}
		if err := r.eng.EndSession("a"); err != nil {
			t.Error(err)
		}
		r.shut()
	}
}

// TestREQ_E57_ReleaseBeyondTheEnd: giving back what is behind every prompt gives back
// nothing.
func TestREQ_E57_ReleaseBeyondTheEnd(t *testing.T) {
	r := newHostRig(t)
	prompt := tokens(1, 3*chunkTokens)
	r.keep(1, prompt)
	s := r.session("a")
	m := s.Lookup(t.Context(), prompt)
	m.Release(math.MaxInt-1, math.MaxInt)
	m.Release(math.MinInt, 0)
	if got := r.leased(); got != 3 {
		t.Errorf("%d objects leased, want 3", got)
	}
	r.end(s)
}

// TestREQ_E13_FreeWhileClaiming: a scheduler that frees the range while its worker
// retrieves takes nothing away that the retrieve has claimed.
func TestREQ_E13_FreeWhileClaiming(t *testing.T) {
	r := newHostRig(t)
	prompt := tokens(1, 8*chunkTokens)
	r.keep(1, prompt)
	for range 1000 {
		s := r.session("a")
		m := s.Lookup(t.Context(), prompt)
		r.found(m)
		var both sync.WaitGroup
		both.Go(func() { m.Release(0, len(prompt)) })
		in := r.read(m, 0, 8)
		both.Wait()
		if !in.Success() {
			t.Fatal("the retrieve lost what it had claimed")
		}
		in.Done()
		r.end(s)
	}
}

// TestREQ_E10_RenewWhileLookingUp: the leases of a lookup of several groups are
// renewed while it goes on to ask for the next ones.
func TestREQ_E10_RenewWhileLookingUp(t *testing.T) {
	g := newGroupRig(t, 1, 0, lmcache.EngineGroup{WindowTokens: chunkTokens},
		lmcache.EngineGroup{Tag: 1}, lmcache.EngineGroup{Tag: 2}, lmcache.EngineGroup{Tag: 3})
	prompt := tokens(1, 3*chunkTokens+1)
	g.keepAll(1, prompt)
	s := g.session("reader")
	stop := make(chan struct{})
	var ringing sync.WaitGroup
	ringing.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				lmcache.Ring(s, time.Now())
			}
		}
	})
	for range 1000 {
		if n := g.found(s.Lookup(t.Context(), prompt)); n != 3*chunkTokens {
			t.Fatalf("found %d tokens", n)
		}
	}
	close(stop)
	ringing.Wait()
	g.end(s)
}
