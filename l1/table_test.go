package l1

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// Random insertions and removals against a map, through many splits, with ids
// that share a tag and ids that share the whole fingerprint.
func TestTable(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 1))
	tab := newTable()
	want := map[uint64][]uint32{} // by tag
	fps := map[uint32]uint64{}
	var ids []uint32
	find := func(fp uint64) (got []uint32) {
		c := tab.find(fp)
		for id := c.next(); id != 0; id = c.next() {
			got = append(got, id)
		}
		slices.Sort(got)
		return got
	}
	same := func(fp uint64) {
		w := slices.Clone(want[fp>>32])
		slices.Sort(w)
		if got := find(fp); !slices.Equal(got, w) {
			t.Fatalf("%x: got %v, want %v", fp, got, w)
		}
	}
	for next := uint32(1); next < 60000; next++ {
		if grow := next < 40000; len(ids) > 0 && (!grow && rnd.IntN(3) > 0 || rnd.IntN(8) == 0) {
			i := rnd.IntN(len(ids))
			id := ids[i]
			fp := fps[id]
			tab.remove(fp, id)
			tag := want[fp>>32]
			want[fp>>32] = slices.DeleteFunc(tag, func(x uint32) bool { return x == id })
			ids[i] = ids[len(ids)-1]
			ids = ids[:len(ids)-1]
			same(fp)
			continue
		}
		fp := rnd.Uint64()
		if len(ids) > 0 && rnd.IntN(10) == 0 { // as one that is there, wholly or in its tag
			fp = fps[ids[rnd.IntN(len(ids))]] ^ uint64(rnd.IntN(2))
		}
		tab.insert(fp, next)
		fps[next] = fp
		ids = append(ids, next)
		want[fp>>32] = append(want[fp>>32], next)
		same(fp)
	}
	if tab.n != len(ids) {
		t.Errorf("%d ids, the table counts %d", len(ids), tab.n)
	}
	if tab.depth == 0 {
		t.Error("no bucket was split")
	}
	for _, id := range ids {
		same(fps[id])
	}
	for _, id := range ids {
		tab.remove(fps[id], id)
	}
	if tab.n != 0 {
		t.Errorf("%d ids are left", tab.n)
	}
}

func TestNames(t *testing.T) {
	n := newNames()
	a, b := n.ref("a"), n.ref("b")
	if a == 0 || b == 0 || a == b || n.ref("a") != a {
		t.Fatalf("ids %d and %d", a, b)
	}
	if n.unref(a); n.lookup("a") != a {
		t.Error("forgotten with a reference left")
	}
	if n.unref(a); n.lookup("a") != 0 {
		t.Error("remembered without a reference")
	}
	if c := n.ref("c"); c != a || n.lookup("c") != a || n.lookup("a") != 0 || n.lookup("b") != b {
		t.Errorf("the free id %d was not used again: %d", a, c)
	}
}
