package lmcache_test

import (
	"context"
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

// TestREQ_E17_FreeWhileRunningGroups: what is given back before the answer is there is
// given back with it, of every group. An instance that is not registered takes nothing
// then, and a wait that ends takes no result.
func TestREQ_E17_FreeWhileRunningGroups(t *testing.T) {
	g := newGroupRig(t, 2, 0, lmcache.EngineGroup{}, lmcache.EngineGroup{WindowTokens: 2 * chunkTokens})
	prompt := tokens(1, 6*chunkTokens+1)
	g.keepAll(1, prompt)
	s := g.session("a")
	m := s.Lookup(t.Context(), prompt)
	letGo := lmcache.Hold(m)
	before := g.leased()
	m.Release(chunkTokens, 5*chunkTokens)
	m.Forgo(9, 0, 0, len(prompt))
	lmcache.Ring(s, time.Now().Add(time.Hour)) // it is in use
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, ok, err := m.Take(ended); ok || err == nil {
		t.Errorf("taken %v, %v", ok, err)
	}
	if n := g.leased(); n != before || before != 2*(6+2) {
		t.Errorf("%d objects leased, then %d", before, n)
	}
	letGo()
	if n, ok, err := m.Take(t.Context()); n != 6 || !ok || err != nil {
		t.Errorf("%d chunks, %v, %v", n, ok, err)
	}
	if n := g.leased(); n != 2*(2+1) { // the first and the last chunk, and of the window the last
		t.Errorf("%d objects leased", n)
	}
	m.Forgo(9, 0, 0, len(prompt))
	if n := g.leased(); n != 2+1 {
		t.Errorf("%d objects leased behind the stranger", n)
	}
	for rank, w := range g.ranks {
		lists := g.lists(6)
		if tr := g.done(w.Retrieve(t.Context(), m, lists, nil)); !tr.Success() || g.has(1, rank, 1, lists[1]) != "........1111" {
			t.Errorf("rank %d: %v", rank, tr.Success())
		}
	}
	if n := g.leased(); n != 0 {
		t.Errorf("%d objects are still leased", n)
	}
	g.end(s)
}

// TestREQ_E11_DormantGroups: a session of a model with several groups falls asleep
// and holds nothing, wakes up, and finds everything again.
func TestREQ_E11_DormantGroups(t *testing.T) {
	g := newGroupRig(t, 1, 0, lmcache.EngineGroup{}, lmcache.EngineGroup{WindowTokens: chunkTokens}, lmcache.EngineGroup{Recurrent: true})
	prompt := tokens(1, 4*chunkTokens+1)
	g.keepAll(1, prompt)
	s := g.session("a")
	m := s.Lookup(t.Context(), prompt)
	if n := g.found(m); n != 4*chunkTokens || g.leased() != 4+1+1 {
		t.Fatalf("found %d tokens, %d objects leased", n, g.leased())
	}
	lmcache.Expire(s)
	if n := g.found(m); n != 0 || g.leased() != 0 || s.Match() != nil {
		t.Errorf("found %d tokens, %d objects leased", n, g.leased())
	}
	tr := g.done(g.ranks[0].Retrieve(t.Context(), m, g.lists(4), nil))
	if tr.Tokens() != 0 || g.has(1, 0, full, g.lists(4)[full]) != "........" {
		t.Error("a match that was dropped delivers")
	}
	lists := g.lists(4)
	tr = g.done(g.ranks[0].Retrieve(t.Context(), s.Lookup(t.Context(), prompt), lists, nil))
	if tr.Tokens() != 4*chunkTokens || g.has(1, 0, full, lists[full]) != "11111111" || g.has(1, 0, 2, lists[2]) != ".......1" {
		t.Errorf("%d tokens after the wake", tr.Tokens())
	}
	g.end(s)
	g.idle()
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

// A range of which a part was read before, or given back, is lent in several leases:
// in order, each chunk once.
func TestREQ_E15_HostReadInPieces(t *testing.T) {
	r := newHostRig(t)
	prompt := tokens(1, 6*chunkTokens)
	r.keep(1, prompt)
	s := r.session("a")
	m := s.Lookup(t.Context(), prompt)
	r.read(m, 2, 3).Done()
	m.Release(4*chunkTokens, 5*chunkTokens)
	in := r.read(m, 0, 6)
	same(t, in, 1, 0, 6)
	for i, slot := range in.Slots() {
		if slot.Chunk != i || slot.Offset < 0 || slot.Bytes != objectBytes {
			t.Errorf("slot %d: %+v", i, slot)
		}
	}
	if got := r.leased(); got != 6 {
		t.Errorf("%d objects leased, want 6", got)
	}
	in.Done()
	in.Done()
	r.idle()
	r.clear(false)
	if in := r.read(m, 0, 6); in.Success() || len(in.Slots()) > 0 {
		t.Error("objects that are gone were lent")
	}
	r.end(s)
}

// One rank's holders go back alone, as many readers as are named; what cannot be is
// refused.
func TestReleaseRank(t *testing.T) {
	g := newGroupRig(t, 2, 0, lmcache.EngineGroup{}, lmcache.EngineGroup{WindowTokens: chunkTokens})
	prompt := tokens(1, 3*chunkTokens+1)
	g.keepAll(1, prompt)
	s := g.eng.Session(lmcache.Request{ID: "a", Model: model, Readers: 2})
	m := s.Lookup(t.Context(), prompt)
	if n := g.found(m); n != 3*chunkTokens {
		t.Fatalf("found %d tokens", n)
	}
	for _, c := range []struct {
		rank, readers int
		leased        int64
	}{{1, 1, 8}, {1, 1, 4}, {0, 5, 0}} { // three chunks of one group and one of the other, per rank
		if err := m.ReleaseRank(0, len(prompt), c.rank, c.readers); err != nil {
			t.Error(err)
		}
		if n := g.leased(); n != c.leased {
			t.Errorf("%d objects leased after rank %d gave %d back, want %d", n, c.rank, c.readers, c.leased)
		}
	}
	for _, bad := range []func() error{
		func() error { return m.ReleaseRank(0, 1, 2, 1) },
		func() error { return m.ReleaseRank(0, 1, -2, 1) },
		func() error { return m.ReleaseRank(0, 1, lmcache.AllRanks, 0) },
	} {
		if bad() == nil {
			t.Error("accepted")
		}
	}
	g.end(s)
}
