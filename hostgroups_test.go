package lmcache_test

import (
	"testing"

	"github.com/lmcache-go/lmcache"
	"github.com/lmcache-go/lmcache/storage"
)

// TestREQ_E44_HostBesideGroups: a worker whose host copies has one object per chunk. If
// another one of its model has several, neither gets a byte of the other: it misses,
// and the lookup says why.
func TestREQ_E44_HostBesideGroups(t *testing.T) {
	g := newGroupRig(t, 1, 0, lmcache.EngineGroup{}, lmcache.EngineGroup{WindowTokens: chunkTokens})
	byDevice, byHost := tokens(1, 3*chunkTokens+1), tokens(2, 3*chunkTokens+1)
	g.keepAll(1, byDevice)
	s := g.session("a")
	old := s.Lookup(t.Context(), byDevice)
	if n := g.found(old); n != 3*chunkTokens {
		t.Fatalf("found %d tokens", n)
	}
	h, err := g.eng.AttachHost(lmcache.HostOptions{Model: model, Geometry: &lmcache.HostGeometry{Layers: 3, Hidden: 8, DType: "float16"}})
	if err != nil {
		t.Fatal(err)
	}
	prepare := func(m *lmcache.Match) *lmcache.HostRead {
		in, err := h.PrepareRetrieve(t.Context(), m, 0, 3*chunkTokens)
		if err != nil {
			t.Fatal(err)
		}
		return in
	}
	if in := prepare(old); in.Success() || len(in.Slots()) != 0 {
		t.Error("the host was lent the device's objects")
	}
	lists := g.lists(3)
	if tr := g.done(g.ranks[0].Retrieve(t.Context(), old, lists, nil)); !tr.Success() || g.has(1, 0, full, lists[full]) != "111111" {
		t.Error("the device missed what it has stored itself")
	}
	g.wipeAll()
	st, err := h.PrepareStore(t.Context(), s, byHost, 0, 3*chunkTokens)
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range st.All() {
		clear(b)
	}
	if err := st.Commit(); err != nil {
		t.Fatal(err)
	}
	m := s.Lookup(t.Context(), byHost)
	if n := g.found(m); n != 3*chunkTokens {
		t.Fatalf("found %d tokens of the host", n)
	}
	if tr := g.done(g.ranks[0].Retrieve(t.Context(), m, lists, nil)); tr.Success() || g.has(2, 0, full, lists[full]) != "......" {
		t.Error("the device was given the host's objects")
	}
	if n := g.leased(); n != 0 {
		t.Errorf("%d objects are still leased", n)
	}
	if n := g.found(s.Lookup(t.Context(), byDevice)); n != 0 {
		t.Errorf("found %d tokens of the device with the host's layout", n)
	}
	if e := of[lmcache.LookupEnded](g.events()); e[len(e)-1].Misses[storage.MissLayout] == 0 {
		t.Errorf("misses %v", e[len(e)-1].Misses.Map())
	}
	// With the host goes its layout.
	if err := h.Close(); err != nil {
		t.Error(err)
	}
	if n := g.found(s.Lookup(t.Context(), byDevice)); n != 3*chunkTokens {
		t.Errorf("found %d tokens of the device without the host", n)
	}
	g.end(s)
}
