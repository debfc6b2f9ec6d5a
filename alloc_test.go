//go:build !race && !invariants

package lmcache_test

import "testing"

// TestREQ_E58_Allocations: warm verbs allocate their result and one key list: a
// lookup its match, its prefetch, and the list that the storage keeps of it; a
// transfer its job, itself and its channel, its lists, and its lease's. The
// number does not grow with the prompt.
func TestREQ_E58_Allocations(t *testing.T) {
	for _, n := range []int{16, 512} {
		b, prompt := resident(t, n)
		s := b.session()
		ids := table(span(0, n)...)
		m := s.Lookup(t.Context(), prompt)
		for _, tc := range []struct {
			name  string
			limit float64
			do    func()
		}{
			{"lookup", 4, func() {
				if got, err := s.Lookup(t.Context(), prompt).Chunks(t.Context()); err != nil || got != n {
					t.Errorf("%d chunks, %v", got, err)
				}
			}},
			{"result", 0, func() { _, _ = m.Tokens(t.Context()) }},
			{"retrieve", 12, func() {
				m := s.Lookup(t.Context(), prompt)
				b.done(b.w.Retrieve(t.Context(), m, ids, nil))
			}},
			{"known store", 2, func() { b.done(b.w.Store(t.Context(), s, prompt, ids, nil)) }},
		} {
			if got := testing.AllocsPerRun(50, tc.do); got > tc.limit {
				t.Errorf("%s of %d chunks: %v allocations, at most %v", tc.name, n, got, tc.limit)
			} else {
				t.Logf("%s of %d chunks: %v allocations", tc.name, n, got)
			}
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		b.shut()
	}
}
