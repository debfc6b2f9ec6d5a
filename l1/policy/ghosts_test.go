package policy

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// What is remembered of entries that leave does not depend on their order.
func TestGhostsInAnyOrder(t *testing.T) {
	type gone struct {
		fp, seq uint64
		uses    uint32
	}
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		all := make([]gone, 1+r.IntN(200))
		for i := range all {
			all[i] = gone{r.Uint64(), r.Uint64N(400), 1 + uint32(r.IntN(3))}
			if i > 0 && r.IntN(4) == 0 { // one that is told from another by nothing
				all[i].fp = all[r.IntN(i)].fp
			}
		}
		remembered := func() (sets []ghostSet) {
			var g ghosts
			g.size(4) // eight sets
			for _, e := range all {
				g.put(e.fp, e.seq, e.uses)
			}
			for i := range g.n {
				set := *g.sets.Grow(i)
				slices.Sort(set[:])
				sets = append(sets, set)
			}
			return sets
		}
		want := remembered()
		for range 5 {
			r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
			if got := remembered(); !slices.Equal(got, want) {
				t.Fatalf("seed %d: %v in one order, %v in another", seed, want, got)
			}
		}
	}
}
