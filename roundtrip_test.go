package lmcache_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lmcache-go/lmcache"
	"github.com/lmcache-go/lmcache/gpu"
)

// TestREQ_E6_Lengths: prompts of n·C + {−1, 0, 1} tokens are stored, found and
// given back, byte for byte, and their keys are those of the full chunks alone.
func TestREQ_E6_Lengths(t *testing.T) {
	for n := range 4 {
		for _, d := range []int{-1, 0, 1} {
			length := n*chunkTokens + d
			if length < 0 {
				continue
			}
			t.Run(fmt.Sprint(length), func(t *testing.T) {
				r := newRig(t, setup{})
				prompt := tokens(9, length)
				full := length / chunkTokens
				from, to := span(3, full*perChunk), span(30, full*perChunk)
				s := r.session("a")
				tr := r.store(s, 9, prompt, from...)
				if !tr.Success() || tr.Chunks() != full || tr.Tokens() != full*chunkTokens || tr.Bytes() != int64(full)*objectBytes {
					t.Errorf("store: %v, %d chunks, %d tokens, %d bytes", tr.Success(), tr.Chunks(), tr.Tokens(), tr.Bytes())
				}
				if got := r.eng.Stats().Storage.L1.Objects; got != int64(full) {
					t.Errorf("%d objects, want %d", got, full)
				}
				r.end(s)
				r.wipe(r.cache, from...)
				r.events()

				s = r.session("b")
				m := s.Lookup(t.Context(), prompt)
				want := min(full*chunkTokens, max(length-1, 0))
				if got := r.found(m); got != want {
					t.Errorf("found %d tokens of %d, want %d", got, length, want)
				}
				rest := r.snapshot(r.cache, to...)
				tr = r.done(r.worker.Retrieve(t.Context(), m, table(to...), nil))
				if !tr.Success() || tr.Chunks() != full || tr.Tokens() != want {
					t.Errorf("retrieve: %v, %d chunks, %d tokens", tr.Success(), tr.Chunks(), tr.Tokens())
				}
				r.same(r.cache, 9, 0, to...)
				if string(rest) != string(r.snapshot(r.cache, to...)) {
					t.Error("other blocks have changed")
				}
				r.end(s)
				r.idle()
				if full == 0 {
					return
				}
				// The keys: the same prompt with any other tail is the same to the cache.
				for _, l := range []int{full * chunkTokens, full*chunkTokens + 1, (full+1)*chunkTokens - 1} {
					other := append(prompt[:full*chunkTokens:full*chunkTokens], tokens(10, l-full*chunkTokens)...)
					if got := r.hits(other); got != full {
						t.Errorf("%d tokens: %d chunks found, want %d", l, got, full)
					}
				}
				ended := of[lmcache.LookupEnded](r.events())[0]
				if ended.HitTokens != full*chunkTokens || ended.RequestedTokens != full*chunkTokens || ended.FoundCount != full {
					t.Errorf("lookup ended with %+v", ended)
				}
			})
		}
	}
}

// TestREQ_E34_OnlyNamedBlocks: whatever blocks a retrieve names, in whatever
// order, no other block of the paged cache changes.
func TestREQ_E34_OnlyNamedBlocks(t *testing.T) {
	for seed := range uint64(20) {
		r := newRig(t, setup{})
		rng := newRand(seed)
		n := 1 + rng.IntN(8)
		prompt := tokens(seed, n*chunkTokens+rng.IntN(chunkTokens))
		perm := func() []gpu.BlockID {
			ids := span(0, 64)
			rng.Shuffle(len(ids), func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
			return ids[:n*perChunk]
		}
		r.dev.Fill(r.cache, seed)
		from := perm()
		s := r.session("a")
		if tr := r.store(s, seed, prompt, from...); !tr.Success() || tr.Chunks() != n {
			t.Fatalf("seed %d: store of %d chunks stored %d", seed, n, tr.Chunks())
		}
		r.end(s)
		r.dev.Fill(r.cache, seed+100)
		to := perm()
		rest := r.snapshot(r.cache, to...)
		s = r.session("b")
		tr := r.done(r.worker.Retrieve(t.Context(), s.Lookup(t.Context(), prompt), table(to...), nil))
		if !tr.Success() {
			t.Fatalf("seed %d: %v", seed, tr.Err())
		}
		r.same(r.cache, seed, 0, to...)
		if string(rest) != string(r.snapshot(r.cache, to...)) {
			t.Errorf("seed %d: blocks changed that were not named", seed)
		}
		r.end(s)
		r.shut()
	}
}

// TestREQ_E33_MissWritesNothing: a retrieve whose objects are gone, or whose match
// covers nothing, leaves the whole paged cache as it was.
func TestREQ_E33_MissWritesNothing(t *testing.T) {
	prompt := tokens(1, 4*chunkTokens)
	for _, tc := range []struct {
		name   string
		events int // pairs of submitted and ended
		before func(*rig, *lmcache.Session, *lmcache.Match)
	}{
		{"never stored", 0, func(r *rig, _ *lmcache.Session, _ *lmcache.Match) {}},
		{"cleared by force", 1, func(r *rig, _ *lmcache.Session, _ *lmcache.Match) { r.clear(true) }},
		{"replaced", 0, func(r *rig, s *lmcache.Session, _ *lmcache.Match) { s.Lookup(r.Context(), tokens(2, 64)) }},
		{"session ended", 0, func(r *rig, s *lmcache.Session, _ *lmcache.Match) { r.end(s) }},
		{"freed and cleared", 1, func(r *rig, _ *lmcache.Session, m *lmcache.Match) {
			m.Release(0, 64)
			r.clear(false)
		}},
		{"freed in part and cleared", 1, func(r *rig, _ *lmcache.Session, m *lmcache.Match) {
			m.Release(0, 32)
			r.clear(false)
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newRig(t, setup{})
			if tc.name != "never stored" {
				r.keep(1, prompt)
			}
			r.dev.Fill(r.cache, 5)
			before := r.snapshot(r.cache)
			s := r.session("a")
			m := s.Lookup(t.Context(), prompt)
			tc.before(r, s, m)
			r.events()
			tr := r.done(r.worker.Retrieve(t.Context(), m, table(span(0, 8)...), nil))
			if tr.Tokens() != 0 || tr.Chunks() != 0 || tr.Bytes() != 0 || tr.Err() != nil {
				t.Errorf("a miss gave %d tokens, %d chunks, %v", tr.Tokens(), tr.Chunks(), tr.Err())
			}
			if tr.Success() != (tc.events == 0) {
				t.Errorf("success %v", tr.Success())
			}
			if string(before) != string(r.snapshot(r.cache)) {
				t.Error("the paged cache has changed")
			}
			list := r.events()
			if a, b, c := of[lmcache.RetrieveSubmitted](list), of[lmcache.RetrieveStarted](list), of[lmcache.RetrieveEnded](list); len(a) != tc.events || len(b) != 0 || len(c) != tc.events {
				t.Errorf("%d submitted, %d started, %d ended", len(a), len(b), len(c))
			} else if tc.events > 0 && (c[0].Success || c[0].RetrievedCount != 0 || c[0].OpID != a[0].OpID) {
				t.Errorf("ended: %+v", c[0])
			}
			r.end(s)
			r.idle()
		})
	}
}

func (r *rig) clear(force bool) {
	r.Helper()
	if _, err := r.eng.Clear(r.Context(), force); err != nil {
		r.Fatal(err)
	}
}

// TestREQ_E3_SaltsAndModelsApart: what one tenant stores, looks up, frees and
// retrieves has no effect on another tenant's, nor on another model's, objects of
// the same tokens.
func TestREQ_E3_SaltsAndModelsApart(t *testing.T) {
	r := newRig(t, setup{})
	prompt := tokens(3, 3*chunkTokens)
	second, err := r.eng.Attach(lmcache.WorkerOptions{Model: "n", Backend: r.dev, Cache: r.cache})
	if err != nil {
		t.Fatal(err)
	}
	who := []struct {
		req  lmcache.Request
		w    *lmcache.Worker
		seed uint64
	}{
		{lmcache.Request{ID: "a", Model: model, Salt: "red"}, r.worker, 10},
		{lmcache.Request{ID: "b", Model: model, Salt: "blue"}, r.worker, 11},
		{lmcache.Request{ID: "c", Model: model}, r.worker, 12},
		{lmcache.Request{ID: "d", Model: "n", Salt: "red"}, second, 13},
	}
	ids := span(0, 6)
	for i, p := range who {
		s := r.eng.Session(p.req)
		if got := r.found(s.Lookup(t.Context(), prompt)); got != 0 {
			t.Errorf("%s finds %d tokens of others", p.req.ID, got)
		}
		r.compute(r.cache, p.seed, 0, ids...)
		if tr := r.done(p.w.Store(t.Context(), s, prompt, table(ids...), nil)); tr.Chunks() != 3 {
			t.Errorf("%s stored %d chunks", p.req.ID, tr.Chunks())
		}
		r.end(s)
		if got := r.eng.Stats().Storage.L1.Objects; got != int64(3*(i+1)) {
			t.Errorf("%d objects after %d tenants", got, i+1)
		}
	}
	// All look up; each frees a part; the others still have theirs.
	matches := make([]*lmcache.Match, len(who))
	sessions := make([]*lmcache.Session, len(who))
	for i, p := range who {
		sessions[i] = r.eng.Session(p.req)
		matches[i] = sessions[i].Lookup(t.Context(), prompt)
		if got := r.found(matches[i]); got != 3*chunkTokens-1 {
			t.Errorf("%s finds %d tokens", p.req.ID, got)
		}
	}
	for i, p := range who {
		if got := r.leased(); got != int64(3*(len(who)-i)) {
			t.Errorf("%d objects leased before %s reads", got, p.req.ID)
		}
		r.wipe(r.cache, ids...)
		if tr := r.done(p.w.Retrieve(t.Context(), matches[i], table(ids...), nil)); !tr.Success() {
			t.Errorf("%s: %v", p.req.ID, tr.Err())
		}
		r.same(r.cache, p.seed, 0, ids...)
		r.end(sessions[i])
	}
	r.idle()
	if w, m := second, matches[0]; w != nil {
		if _, err := w.Retrieve(t.Context(), m, table(ids...), nil); err != nil {
			t.Errorf("a match that covers nothing: %v", err)
		}
	}
	// A worker of another model is refused, and nothing goes lost.
	s := r.eng.Session(who[0].req)
	m := s.Lookup(t.Context(), prompt)
	if _, err := second.Retrieve(t.Context(), m, table(ids...), nil); err == nil {
		t.Error("a worker of another model reads the match")
	}
	if _, err := second.Store(t.Context(), s, prompt, table(ids...), nil); err == nil {
		t.Error("a worker of another model stores for the session")
	}
	if got := r.leased(); got != 3 {
		t.Errorf("%d objects leased, want 3", got)
	}
	r.end(s)
	r.idle()
}

// TestREQ_E8_ChangedPrompt: a session whose prompt changes at one place finds and
// stores what a new session with that prompt does (REQ-E2).
func TestREQ_E8_ChangedPrompt(t *testing.T) {
	const n = 5
	for _, place := range []int{0, 1, chunkTokens - 1, chunkTokens, 2*chunkTokens + 7, n*chunkTokens - 1} {
		r := newRig(t, setup{})
		prompt := tokens(4, n*chunkTokens)
		s := r.session("a")
		r.store(s, 4, prompt, span(0, n*perChunk)...)
		changed := append([]int32(nil), prompt...)
		changed[place]++
		keep := place / chunkTokens // chunks in front of the change
		if got := r.found(s.Lookup(t.Context(), changed)); got != keep*chunkTokens {
			t.Errorf("change at %d: found %d tokens, want %d", place, got, keep*chunkTokens)
		}
		if got := r.hits(changed); got != keep {
			t.Errorf("change at %d: a new session finds %d chunks, want %d", place, got, keep)
		}
		// The rest is stored anew under its own keys, in the same session.
		ids := span(20, n*perChunk)
		r.compute(r.cache, 5, 0, ids...)
		if tr := r.done(r.worker.Store(t.Context(), s, changed, table(ids...), nil)); !tr.Success() || tr.Chunks() != n-keep {
			t.Errorf("change at %d: stored %d chunks, want %d", place, tr.Chunks(), n-keep)
		}
		to := span(40, n*perChunk)
		for _, p := range []struct {
			prompt []int32
			head   uint64
			tail   uint64
		}{{prompt, 4, 4}, {changed, 4, 5}} {
			r.wipe(r.cache, to...)
			o := r.session("b")
			m := o.Lookup(t.Context(), p.prompt)
			if got := r.found(m); got != n*chunkTokens-1 {
				t.Errorf("change at %d: found %d tokens", place, got)
			}
			r.done(r.worker.Retrieve(t.Context(), m, table(to...), nil))
			r.same(r.cache, p.head, 0, to[:keep*perChunk]...)
			r.same(r.cache, p.tail, keep*perChunk, to[keep*perChunk:]...)
			r.end(o)
		}
		r.end(s)
		r.shut()
	}
}

// TestREQ_E38_OneTokenLeft: a prompt that is all in the cache leaves its last
// token to compute; the event counts all of it, and a retrieve that nobody asked
// for the result delivers it.
func TestREQ_E38_OneTokenLeft(t *testing.T) {
	r := newRig(t, setup{})
	prompt := tokens(6, 2*chunkTokens)
	r.keep(6, prompt)
	r.events()
	for _, tc := range []struct{ length, tokens, hit int }{
		{0, 0, 0}, {1, 0, 0}, {15, 0, 0}, {16, 15, 16}, {17, 16, 16}, {31, 16, 16}, {32, 31, 32}, {33, 32, 32},
	} {
		s := r.session("a")
		m := s.Lookup(t.Context(), append(prompt[:min(tc.length, 32):32], make([]int32, max(tc.length-32, 0))...))
		tr := r.done(r.worker.Retrieve(t.Context(), m, table(span(10, 4)...), nil))
		if tr.Tokens() != tc.tokens {
			t.Errorf("length %d: %d tokens retrieved, want %d", tc.length, tr.Tokens(), tc.tokens)
		}
		list := r.events()
		ended := of[lmcache.LookupEnded](list)
		if len(ended) != 1 || ended[0].HitTokens != tc.hit {
			t.Errorf("length %d: lookup ended %+v, want %d hit tokens", tc.length, ended, tc.hit)
		}
		if n, m := of[lmcache.RetrieveSubmitted](list), of[lmcache.RetrieveEnded](list); len(n) != min(tc.hit, 1) || len(m) != len(n) {
			t.Errorf("length %d: %d submitted, %d ended", tc.length, len(n), len(m))
		}
		if got := r.found(m); got != tc.tokens {
			t.Errorf("length %d: %d tokens found, want %d", tc.length, got, tc.tokens)
		}
		r.end(s)
		if n := of[lmcache.LookupEnded](r.events()); len(n) != 0 {
			t.Errorf("length %d: the result was delivered %d times more", tc.length, len(n))
		}
	}
}

// TestTwoRanks: two workers of one model hold a slice each; a lookup finds what
// all ranks have, and gives the others' objects back.
func TestTwoRanks(t *testing.T) {
	r := newRig(t, setup{world: 2})
	dev := r.dev
	caches := []*gpu.Paged{r.cache, r.paged(64)}
	w1, err := r.eng.Attach(lmcache.WorkerOptions{Model: model, WorldSize: 2, Rank: 1, Backend: dev, Cache: caches[1]})
	if err != nil {
		t.Fatal(err)
	}
	workers := []*lmcache.Worker{r.worker, w1}
	prompt := tokens(7, 5*chunkTokens+3)
	// Rank 0 stores five chunks, rank 1 three.
	s := r.session("a")
	for rank, n := range []int{5, 3} {
		ids := span(0, n*perChunk)
		r.compute(caches[rank], uint64(20+rank), 0, ids...)
		tr := r.done(workers[rank].Store(t.Context(), s, prompt[:n*chunkTokens], table(ids...), nil))
		if tr.Chunks() != n {
			t.Errorf("rank %d stored %d chunks, want %d", rank, tr.Chunks(), n)
		}
	}
	r.end(s)
	s = r.session("b")
	m := s.Lookup(t.Context(), prompt)
	if got := r.found(m); got != 3*chunkTokens {
		t.Errorf("found %d tokens, want those of three chunks", got)
	}
	if got := r.leased(); got != 6 {
		t.Errorf("%d objects leased, want 3 of each rank", got)
	}
	ended := of[lmcache.LookupEnded](r.events())
	if e := ended[len(ended)-1]; e.FoundCount != 3 || e.HitTokens != 48 || e.RequestedTokens != 80 || e.L1HitTokens != 48 {
		t.Errorf("lookup ended %+v", e)
	} else if diff := cmp.Diff(map[string]int{"absent": 1, "after_gap": 1}, e.Misses.Map()); diff != "" {
		t.Errorf("misses in chunks (-want +got):\n%s", diff)
	}
	for rank, w := range workers {
		to := span(20, 6)
		r.wipe(caches[rank], to...)
		tr := r.done(w.Retrieve(t.Context(), m, table(to...), nil))
		if !tr.Success() || tr.Chunks() != 3 || tr.Bytes() != 3*objectBytes {
			t.Errorf("rank %d: %v, %d chunks, %d bytes", rank, tr.Success(), tr.Chunks(), tr.Bytes())
		}
		r.same(caches[rank], uint64(20+rank), 0, to...)
		if got := r.leased(); got != int64(3*(1-rank)) {
			t.Errorf("%d objects leased after rank %d", got, rank)
		}
	}
	r.end(s)
	r.idle()
}
