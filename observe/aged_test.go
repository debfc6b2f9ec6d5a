package observe

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// A list of pairs, searched from end to end, must agree after every step.
func TestAgedModel(t *testing.T) {
	type pair struct{ k, v int }
	r := rand.New(rand.NewPCG(3, 4))
	for _, limit := range []int{1, 2, 7} {
		a := newAged[int, int](limit)
		var model []pair
		for step := range 5000 {
			k := r.IntN(12)
			at := slices.IndexFunc(model, func(p pair) bool { return p.k == k })
			switch r.IntN(3) {
			case 0, 1:
				if at >= 0 {
					model = slices.Delete(model, at, at+1)
				}
				pushed := len(model) == limit
				if pushed {
					model = model[1:]
				}
				model = append(model, pair{k, step})
				if got := a.put(k, step); got != pushed {
					t.Fatalf("limit %d, step %d: put pushed %v, want %v", limit, step, got, pushed)
				}
			case 2:
				if got := a.remove(k); got != (at >= 0) {
					t.Fatalf("limit %d, step %d: remove said %v", limit, step, got)
				}
				if at >= 0 {
					model = slices.Delete(model, at, at+1)
				}
			}
			k0, v0, ok := a.oldest()
			if ok != (len(model) > 0) || ok && (pair{k0, v0}) != model[0] || a.len() != len(model) || a.full() != (len(model) == limit) {
				t.Fatalf("limit %d, step %d: %d entries, oldest %d %d %v, want %v", limit, step, a.len(), k0, v0, ok, model)
			}
			for k := range 12 {
				at := slices.IndexFunc(model, func(p pair) bool { return p.k == k })
				if v := a.get(k); (v != nil) != (at >= 0) || v != nil && *v != model[at].v {
					t.Fatalf("limit %d, step %d: get %d = %v, want %v", limit, step, k, v, model)
				}
			}
		}
		if len(a.nodes) > limit+1 {
			t.Errorf("limit %d: %d nodes", limit, len(a.nodes))
		}
	}
}
