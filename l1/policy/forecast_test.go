package policy

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// What the forecast says of LRU is what LRU does, and its counts are those of the
// entries there are, gone ones included, while steps grow and ages pass.
func TestForecastOfLRU(t *testing.T) {
	const room, uses = 1000, 60_000
	p := NewRecencyFrequency()
	r := rand.New(rand.NewPCG(5, 8))
	popular := rand.NewZipf(r, 1.05, 20, 1<<20)
	var order []uint64 // by last use, the latest first
	hits, predicted, counted := 0, uint64(0), 0
	ids, free := map[uint64]ID{}, []ID{}
	for id := ID(room); id > 0; id-- {
		free = append(free, id)
	}
	for i := range uses {
		name := popular.Uint64()
		if i >= uses/2 { // stationary by now
			counted++
			if at := slices.Index(order[:min(room, len(order))], name); at >= 0 {
				hits++
			}
		}
		if at := slices.Index(order[:min(3*room, len(order))], name); at >= 0 {
			order = slices.Delete(order, at, at+1)
		}
		order = slices.Insert(order[:min(3*room, len(order))], 0, name)

		before := p.forecast.hits[0]
		if id, ok := ids[name]; ok {
			p.Touch(id, time.Time{})
		} else {
			if len(free) == 0 {
				for id := range p.Victims(Need{Bytes: 1}) {
					p.Remove(id)
					for n, of := range ids {
						if of == id {
							delete(ids, n)
							break
						}
					}
					free = append(free, id)
					break
				}
			}
			id := free[len(free)-1]
			free = free[:len(free)-1]
			ids[name] = id
			p.Insert(id, 1, 1, time.Time{})
			p.Recognize(id, name*0x9e3779b97f4a7c15)
		}
		if i >= uses/2 && p.forecast.hits[0] > before {
			predicted++
		}
	}
	lru, said := float64(hits)/float64(counted), float64(predicted)/float64(counted)
	t.Logf("LRU %.4f, forecast %.4f", lru, said)
	if math.Abs(lru-said) > 0.01 {
		t.Errorf("LRU has %.4f, the forecast says %.4f", lru, said)
	}
}

// Steps are merged when there are more entries; none is lost.
func TestForecastKeepsCounts(t *testing.T) {
	var f forecast
	f.init(make([]uint64, len(useClasses)))
	const n = 300_000
	for seq := uint64(1); seq <= n; seq++ {
		f.came(seq, int(seq%3))
		f.fit(uint32(seq))
	}
	if got, want := f.step, uint64(n)>>f.shift; got != want {
		t.Errorf("step %d, want %d", got, want)
	}
	var sum [3]int
	for _, row := range f.counts {
		for c := range sum {
			sum[c] += int(row[c])
		}
	}
	for c, got := range sum {
		if got != n/3 {
			t.Errorf("class %d has %d entries, want %d", c, got, n/3)
		}
	}
	for seq := uint64(1); seq <= n; seq++ {
		f.left(seq, int(seq%3))
	}
	for step, row := range f.counts {
		if row != ([len(useClasses)]int32{}) {
			t.Fatalf("step %d has %v after all have left", step, row)
		}
	}
}

// The logarithm is that of mathematics, cut off.
func TestLog2(t *testing.T) {
	for _, n := range useClasses {
		if got, want := log2(uint64(n)), uint64(math.Log2(float64(n))*one); got != want {
			t.Errorf("log2(%d) is %d, want %d", n, got, want)
		}
	}
}

func TestGhosts(t *testing.T) {
	var g ghosts
	if seq, uses := g.take(1, 5); seq != 0 || uses != 0 {
		t.Error("an empty table remembers something")
	}
	g.put(1, 1, 1) // nowhere to
	g.size(1000)
	r := rand.New(rand.NewPCG(1, 2))
	type ghost struct {
		fp, seq uint64
		uses    uint32
	}
	var all []ghost
	for i := range uint64(8000) { // half of what there is room for: few sets are full
		all = append(all, ghost{r.Uint64(), i, 1 + uint32(i%maxUses)})
		g.put(all[i].fp, all[i].seq, all[i].uses)
	}
	lost := 0
	for _, want := range all {
		seq, uses := g.take(want.fp, 8000)
		switch {
		case uses == 0:
			lost++
		case uses != want.uses || seq != want.seq/ghostUnit*ghostUnit:
			t.Fatalf("%+v is remembered as %d, %d", want, seq, uses)
		}
	}
	if lost > 400 {
		t.Errorf("%d of 8000 are lost", lost)
	}
	if _, uses := g.take(all[0].fp, 8000); uses != 0 {
		t.Error("a ghost was taken twice")
	}
	g.put(7, 10, 3)
	if _, uses := g.take(7, 10+16*1000+ghostUnit); uses != 0 {
		t.Error("a ghost of long ago is remembered")
	}
}
