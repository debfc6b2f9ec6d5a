package lmcache_test

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lmcache-go/lmcache"
	"github.com/lmcache-go/lmcache/gpu"
	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/storage"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// explain is what the engine says of a prompt: place and reason by chunk, then the prefix.
func (r *rig) explain(prompt []int32, salt string) string {
	r.Helper()
	e, err := r.eng.Explain(r.Context(), lmcache.ExplainRequest{Model: model, Salt: salt, Tokens: prompt})
	if err != nil {
		r.Fatal(err)
	}
	var s strings.Builder
	for _, c := range e.Chunks {
		s.WriteString(c.Place.String())
		if c.Miss != storage.MissNone {
			s.WriteString("/" + c.Miss.String())
		}
		s.WriteByte(' ')
	}
	if e.Tokens != e.Prefix*chunkTokens {
		r.Errorf("%d tokens in %d chunks", e.Tokens, e.Prefix)
	}
	return fmt.Sprintf("%s= %d", s.String(), e.Prefix)
}

func (r *rig) explains(prompt []int32, salt, want string) {
	r.Helper()
	if got := r.explain(prompt, salt); got != want {
		r.Errorf("got  %s\nwant %s", got, want)
	}
}

// The chunks of a prompt are in L1, in a tier, behind a gap or nowhere, each for its
// reason.
func TestExplain(t *testing.T) {
	r := tiered(t, 0)
	prompt := r.lose(3, 6)
	s := r.session("reader")
	keys := lmcache.Keys(s, prompt, 0)
	r.explains(prompt, "", "l2 l2 l2 l2 l2 l2 = 6")
	m := s.Lookup(t.Context(), prompt[:2*chunkTokens+1])
	r.done(r.worker.Store(t.Context(), s, prompt[:2*chunkTokens], table(span(0, 2*perChunk)...), nil))
	if n := r.found(m); n != 2*chunkTokens {
		t.Fatalf("found %d tokens", n)
	}
	if _, err := r.eng.DeleteL2(t.Context(), keys[4:5], storage.AllTiers); err != nil {
		t.Fatal(err)
	}
	r.explains(prompt, "", "l1 l1 l2 l2 none/l2_miss l2/after_gap = 4")
	r.explains(prompt[:2*chunkTokens], "", "l1 l1 = 2")
	r.explains(prompt, "other", strings.Repeat("none/l2_miss ", 6)+"= 0")
	r.explains(prompt[:chunkTokens-1], "", "none/under_chunk_size = 0")
	r.explains(nil, "", "none/under_chunk_size = 0")
	e, err := r.eng.Explain(t.Context(), lmcache.ExplainRequest{Tokens: prompt}) // the only model
	if err != nil || len(e.Chunks) != 6 || e.Chunks[5].Hash != keys[5].Hash || e.Chunks[0].Hash != keys[0].Hash {
		t.Errorf("%v, %+v", err, e)
	}
	r.end(s)
}

// Without tiers L1 alone gives the reasons.
func TestExplainL1(t *testing.T) {
	r := newRig(t, setup{})
	prompt := tokens(3, 4*chunkTokens+1)
	r.explains(prompt, "", strings.Repeat("none/absent ", 4)+"= 0")
	r.keep(3, prompt)
	r.explains(prompt, "", "l1 l1 l1 l1 = 4")
	r.explains(prompt, "other", strings.Repeat("none/absent ", 4)+"= 0")
	s := r.session("keys")
	lmcache.Storage(r.eng).Delete(lmcache.Keys(s, prompt, 0)[1:2], false)
	r.end(s)
	r.explains(prompt, "", "l1 none/evicted l1/after_gap l1/after_gap = 1")
	wide, err := r.dev.NewPaged(gpu.Shape{Layers: 3, Blocks: 8, BlockTokens: blockTokens, Heads: 2, HeadSize: 4, DType: "float16"})
	if err != nil {
		t.Fatal(err)
	}
	w, err := r.eng.Attach(lmcache.WorkerOptions{Model: model, Backend: r.dev, Cache: wide})
	if err != nil {
		t.Fatal(err)
	}
	r.explains(prompt, "", "none/layout_mismatch none/evicted none/layout_mismatch none/layout_mismatch = 0")
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	r.explains(prompt, "", "l1 none/evicted l1/after_gap l1/after_gap = 1")
}

// A look leaves no trace: state, counts and events of the engine are what they were.
func TestExplainIsPure(t *testing.T) {
	r := tiered(t, 0)
	prompt := r.lose(3, 4)
	r.keep(4, tokens(4, 2*chunkTokens))
	if err := r.eng.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.events()
	stats := func() lmcache.Stats { // when no call is on its way back any more, that of the start included
		for {
			s := r.eng.Stats()
			if s.Storage.Tiers[0].ScanComplete && s.Storage.Tiers[0].InflightCalls == 0 {
				s.Loops, s.Storage.Loops = nil, nil // pass with the time
				return s
			}
			runtime.Gosched()
		}
	}
	before := stats()
	for range 50 {
		r.explains(prompt, "", "l2 l2 l2 l2 = 4")
		r.explains(tokens(4, 2*chunkTokens), "", "l1 l1 = 2")
		r.explains(tokens(5, 2*chunkTokens), "t", "none/l2_miss none/l2_miss = 0")
	}
	if diff := cmp.Diff(before, stats()); diff != "" {
		t.Errorf("stats (-before +after):\n%s", diff)
	}
	if heard := r.events(); len(heard) > 0 {
		t.Errorf("%d events, the first: %+v", len(heard), heard[0])
	}
}

// A lookup finds the prefix that was foretold, whatever is missing, with windows, states
// that cannot be rewound, and several ranks; and no chunk of it lacks what is needed.
func TestExplainForetellsLookups(t *testing.T) {
	tables := [][]lmcache.EngineGroup{
		{{}},
		{{}, {WindowTokens: 2 * chunkTokens}},
		{{WindowTokens: 3 * chunkTokens}, {WindowTokens: chunkTokens}},
		{{}, {WindowTokens: 2 * chunkTokens}, {Recurrent: true}},
		{{}, {Aux: true}},
	}
	for n, groups := range tables {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			g := newGroupRig(t, 1+n%2, 0, groups...)
			const chunks = 6
			lost := func(why storage.MissReason) bool { // L1 remembers chunks, not ranks
				return why == storage.MissEvicted || len(g.ranks) > 1 && why == storage.MissAbsent
			}
			rng := newRand(uint64(n))
			for round := range 30 {
				if _, err := g.eng.Clear(t.Context(), false); err != nil {
					t.Fatal(err)
				}
				prompt := tokens(uint64(round), chunks*chunkTokens+round%2)
				g.keepAll(1, prompt)
				s := g.session("reader")
				for range rng.IntN(6) {
					keys := lmcache.Keys(s, prompt, uint16(rng.IntN(len(groups))))
					at := rng.IntN(len(keys))
					lmcache.Storage(g.eng).Delete(keys[at:at+1], false)
				}
				e, err := g.eng.Explain(t.Context(), lmcache.ExplainRequest{Model: model, Tokens: prompt})
				if err != nil {
					t.Fatal(err)
				}
				found, err := s.Lookup(t.Context(), prompt).Chunks(t.Context())
				if err != nil || found != e.Prefix || len(e.Chunks) != chunks {
					t.Errorf("found %d of %d chunks, %v; foretold was %+v", found, chunks, err, e)
				}
				for c, x := range e.Chunks {
					full := groups[0].WindowTokens == 0
					if full && c < e.Prefix && (x.Place != storage.InL1 || x.Miss != storage.MissNone) ||
						c == e.Prefix && x.Place == storage.Nowhere && !lost(x.Miss) {
						t.Errorf("chunk %d of a prefix of %d: %+v", c, e.Prefix, x)
					}
				}
				g.end(s)
			}
		})
	}
}

// What is wrong with a request is told; an unknown model with those that there are.
func TestExplainRefuses(t *testing.T) {
	r := newRig(t, setup{})
	prompt := tokens(1, chunkTokens)
	for _, c := range []struct {
		r    lmcache.ExplainRequest
		is   error
		text string
	}{
		{lmcache.ExplainRequest{Model: "other"}, lmcache.ErrNoLayout, "; there are workers of m with world size 1"},
		{lmcache.ExplainRequest{Model: model, WorldSize: 2}, lmcache.ErrNoLayout, "; there are workers of m with world size 1"},
		{lmcache.ExplainRequest{Model: "a@b"}, nil, `"@", which is not allowed`},
		{lmcache.ExplainRequest{Model: model, Salt: "a/b"}, nil, `"/", which is not allowed`},
		{lmcache.ExplainRequest{Model: model, WorldSize: -1}, nil, "WorldSize"},
	} {
		c.r.Tokens = prompt
		_, err := r.eng.Explain(t.Context(), c.r)
		if err == nil || !strings.Contains(err.Error(), c.text) || c.is != nil && !errors.Is(err, c.is) {
			t.Errorf("%+v: %v, want %s", c.r, err, c.text)
		}
	}
	r.shut()
	if _, err := r.eng.Explain(t.Context(), lmcache.ExplainRequest{Model: model, Tokens: prompt}); !errors.Is(err, lmcache.ErrClosed) {
		t.Errorf("a closed engine: %v", err)
	}
	e, err := lmcache.Open(t.Context(), lmcache.Options{ChunkTokens: chunkTokens, L1: l1.Options{Bytes: 1 << 20}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Explain(t.Context(), lmcache.ExplainRequest{Model: model, Tokens: prompt}); !errors.Is(err, lmcache.ErrNoLayout) || !strings.HasSuffix(err.Error(), "; there is no worker at all") {
		t.Errorf("an engine without workers: %v", err)
	}
	for i := range 10 {
		if _, err := e.AttachHost(lmcache.HostOptions{Model: fmt.Sprint("m", i), Geometry: &lmcache.HostGeometry{Layers: 1, Hidden: 8, DType: kv.Float16}}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := e.Explain(t.Context(), lmcache.ExplainRequest{Model: model, Tokens: prompt}); err == nil || !strings.HasSuffix(err.Error(), "m7 with world size 1, …") {
		t.Errorf("an engine with many: %v", err)
	}
	if err := e.Close(t.Context()); err != nil {
		t.Error(err)
	}
}
