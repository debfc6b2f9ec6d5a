package lmcache_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/lmcache-go/lmcache"
	"github.com/lmcache-go/lmcache/gpu/fake"
)

// name identifies a prefix of a prompt.
func name(prompt []int32, chunks int) string { return fmt.Sprint(prompt[:chunks*chunkTokens]) }

// modelSession is what a session must know and hold.
type modelSession struct {
	s     *lmcache.Session
	m     *lmcache.Match
	seed  uint64
	n     int // chunks of the match
	asked []int32
	held  map[string]bool // objects with a holder of the match
	turn  map[*lmcache.Worker]bool
	taken map[int]bool // chunks whose holder was claimed or freed
	clear int          // forced clears before the lookup
	known map[*lmcache.Worker]modelKnown
}

type modelKnown struct {
	n    int
	name string
}

// modelEngine is the engine as its users see it, with plain maps.
type modelEngine struct {
	r       *rig
	rng     *rand.Rand
	workers []*lmcache.Worker
	prompts map[uint64][]int32
	present map[string]bool
	clears  int
	open    []*modelSession
	next    int
}

// TestREQ_E16_RandomOps: random lookups, polls, frees, retrieves, stores, clears and
// ends find, hold and deliver exactly what a plain map says, and leave nothing
// behind (REQ-E2, REQ-E25).
func TestREQ_E16_RandomOps(t *testing.T) {
	for seed := range uint64(40) {
		r := newRig(t, setup{blocks: 32, dev: fake.Options{Seed: seed}})
		w, err := r.eng.Attach(lmcache.WorkerOptions{Model: model, Backend: r.dev, Cache: r.cache})
		if err != nil {
			t.Fatal(err)
		}
		m := &modelEngine{
			r: r, rng: newRand(seed), workers: []*lmcache.Worker{r.worker, w},
			present: make(map[string]bool), prompts: make(map[uint64][]int32),
		}
		// Prompts that are each other's beginnings, and others.
		long := tokens(1, 6*chunkTokens+5)
		m.prompts[1] = long
		m.prompts[2] = tokens(2, 5*chunkTokens)
		m.prompts[3] = tokens(3, 2*chunkTokens+1)
		for range 80 {
			m.step()
			if t.Failed() {
				t.Fatalf("seed %d", seed)
			}
		}
		for len(m.open) > 0 {
			m.end(0)
		}
		r.idle()
		oneEnd(t, r.events())
		r.shut()
	}
}

func (m *modelEngine) step() {
	if len(m.open) == 0 || len(m.open) < 4 && m.rng.IntN(8) == 0 {
		m.next++
		m.open = append(m.open, &modelSession{
			s: m.r.session(fmt.Sprint("s", m.next)), known: make(map[*lmcache.Worker]modelKnown),
		})
	}
	i := m.rng.IntN(len(m.open))
	s := m.open[i]
	switch m.rng.IntN(12) {
	case 0, 1, 2:
		m.lookup(s)
	case 3:
		m.poll(s)
	case 4:
		m.free(s)
	case 5, 6, 7:
		m.retrieve(s)
	case 8, 9:
		m.store(s)
	case 10:
		m.clear(m.rng.IntN(4) == 0)
	case 11:
		m.end(i)
	}
	held := make(map[string]bool)
	for _, s := range m.open {
		for k := range s.held {
			held[k] = true
		}
	}
	if got := m.r.leased(); got != int64(len(held)) {
		m.r.Errorf("%d objects leased, want %d", got, len(held))
	}
	if got := m.r.eng.Stats().Storage.L1; got.Objects != int64(len(m.present)) || got.WritingObjects != 0 {
		m.r.Errorf("%d objects, want %d; %d staged", got.Objects, len(m.present), got.WritingObjects)
	}
	if err := m.r.eng.Check(); err != nil {
		m.r.Error(err)
	}
}

func (m *modelEngine) prompt() (uint64, []int32) {
	seed := uint64(1 + m.rng.IntN(len(m.prompts)))
	p := m.prompts[seed]
	return seed, p[:m.rng.IntN(len(p)+1)]
}

func (m *modelEngine) lookup(s *modelSession) {
	s.seed, s.asked = m.prompt()
	s.m = s.s.Lookup(m.r.Context(), s.asked)
	s.held, s.turn, s.taken, s.clear = make(map[string]bool), make(map[*lmcache.Worker]bool), make(map[int]bool), m.clears
	for s.n = 0; (s.n+1)*chunkTokens <= len(s.asked) && m.present[name(s.asked, s.n+1)]; s.n++ {
		s.held[name(s.asked, s.n+1)] = true
	}
}

func (m *modelEngine) poll(s *modelSession) {
	if s.m == nil {
		return
	}
	want := max(min(s.n*chunkTokens, len(s.asked)-1), 0)
	if got := m.r.found(s.m); got != want {
		m.r.Errorf("found %d tokens, want %d", got, want)
	}
	if got, known := s.m.Planned(); !known || got != want {
		m.r.Errorf("planned %d tokens, want %d", got, want)
	}
}

func (m *modelEngine) free(s *modelSession) {
	if s.m == nil {
		return
	}
	from, to := m.rng.IntN(120)-10, m.rng.IntN(120)-10
	s.m.Release(from, to)
	full := len(s.asked) / chunkTokens
	for c := range full {
		if c*chunkTokens >= from && (c+1)*chunkTokens <= to {
			delete(s.held, name(s.asked, c+1))
			s.taken[c] = true
		}
	}
}

func (m *modelEngine) retrieve(s *modelSession) {
	if s.m == nil {
		return
	}
	w := m.workers[m.rng.IntN(2)]
	to := span(16, 12)
	m.r.wipe(m.r.cache, to...)
	tr := m.r.done(w.Retrieve(m.r.Context(), s.m, table(to...), nil))
	want := true
	for c := range s.n {
		mine := !s.turn[w] && !s.taken[c] // a holder of the lookup; else a fresh one
		if mine {
			s.taken[c] = true
			delete(s.held, name(s.asked, c+1))
		}
		if !mine || s.clear != m.clears {
			want = want && m.present[name(s.asked, c+1)]
		}
	}
	s.turn[w] = true
	if tr.Success() != want || tr.Err() != nil {
		m.r.Errorf("retrieve of %d chunks: %v, want %v", s.n, tr.Success(), want)
		return
	}
	if want {
		m.r.same(m.r.cache, s.seed, 0, to[:s.n*perChunk]...)
		m.learn(s, w, s.asked, s.n)
	} else if tr.Chunks() != 0 || tr.Tokens() != 0 {
		m.r.Errorf("a miss delivered %d chunks", tr.Chunks())
	}
}

// learn notes what the session knows to be stored.
func (m *modelEngine) learn(s *modelSession, w *lmcache.Worker, prompt []int32, n int) {
	if n == 0 {
		return
	}
	if k := s.known[w]; k.n >= n && k.n*chunkTokens <= len(prompt) && name(prompt, k.n) == k.name {
		return
	}
	s.known[w] = modelKnown{n, name(prompt, n)}
}

func (m *modelEngine) store(s *modelSession) {
	w := m.workers[m.rng.IntN(2)]
	seed, prompt := m.prompt()
	full := len(prompt) / chunkTokens
	ids := span(0, full*perChunk)
	m.r.compute(m.r.cache, seed, 0, ids...)
	tr := m.r.done(w.Store(m.r.Context(), s.s, prompt, table(ids...), nil))
	from := 0
	if k := s.known[w]; k.n <= full && k.n > 0 && name(prompt, k.n) == k.name {
		from = k.n
	}
	stored, ours := 0, true
	for c := from; c < full; c++ {
		if m.present[name(prompt, c+1)] {
			ours = false
			continue
		}
		m.present[name(prompt, c+1)] = true
		stored++
		if ours {
			m.learn(s, w, prompt, c+1)
		}
	}
	if !tr.Success() || tr.Err() != nil || tr.Chunks() != stored || tr.Tokens() != full*chunkTokens {
		m.r.Errorf("store: %v, %d chunks, want %d; %d tokens", tr.Success(), tr.Chunks(), stored, tr.Tokens())
	}
	m.r.wipe(m.r.cache, ids...)
}

func (m *modelEngine) clear(force bool) {
	m.r.clear(force)
	if force {
		m.clears++
		clear(m.present)
		for _, s := range m.open {
			s.held = nil
		}
		return
	}
	for k := range m.present {
		held := false
		for _, s := range m.open {
			held = held || s.held[k]
		}
		if !held {
			delete(m.present, k)
		}
	}
}

func (m *modelEngine) end(i int) {
	m.r.end(m.open[i].s)
	m.open = append(m.open[:i], m.open[i+1:]...)
}
