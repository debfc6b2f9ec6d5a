package slab

import (
	"math/rand/v2"
	"slices"
	"testing"
)

type record struct{ value, gen uint64 }

// Random calls against a map.
func TestSlabAgainstModel(t *testing.T) {
	for seed := range uint64(4) {
		r := rand.New(rand.NewPCG(seed, 0))
		var s Slab[record]
		model := map[uint32]uint64{}
		var ids []uint32
		high := uint32(0)
		grow := 60
		for step := range 30_000 {
			if step%5000 == 0 {
				grow = 20 + r.IntN(65)
			}
			if r.IntN(100) < grow || len(ids) == 0 {
				id := s.New()
				if _, used := model[id]; used || id == 0 {
					t.Fatalf("seed %d: New returned %d, which is in use", seed, id)
				}
				high = max(high, id)
				s.At(id).value = r.Uint64()
				model[id] = s.At(id).value
				ids = append(ids, id)
			} else {
				i := r.IntN(len(ids))
				id := ids[i]
				if s.At(id).value != model[id] {
					t.Fatalf("seed %d: record %d has changed", seed, id)
				}
				s.Free(id)
				delete(model, id)
				ids[i] = ids[len(ids)-1]
				ids = ids[:len(ids)-1]
				if s.Has(id) {
					t.Fatalf("seed %d: %d is in use after Free", seed, id)
				}
			}
			if s.Len() != len(model) {
				t.Fatalf("seed %d: Len is %d, want %d", seed, s.Len(), len(model))
			}
		}
		var got []uint32
		for id, p := range s.All() {
			if p != s.At(id) || p.value != model[id] || !s.Has(id) {
				t.Fatalf("seed %d: All yields another record for %d", seed, id)
			}
			got = append(got, id)
		}
		slices.Sort(ids)
		if !slices.Equal(got, ids) {
			t.Fatalf("seed %d: All yields %d ids, want the %d in use, ascending", seed, len(got), len(ids))
		}
		for _, id := range ids {
			s.Free(id)
		}
		// The ids are used again before there are new ones: they stay dense.
		for range high {
			if id := s.New(); id > high {
				t.Fatalf("seed %d: New returned %d while ids up to %d are free", seed, id, high)
			}
		}
	}
}

func TestRecordsStay(t *testing.T) {
	var s Slab[record]
	first := s.New()
	p := s.At(first)
	p.gen = 7
	for range 10 * pageLen {
		s.New()
	}
	if s.At(first) != p {
		t.Error("a record moved when the slab grew")
	}
	s.Free(first)
	if id := s.New(); id != first || s.At(id).gen != 7 {
		t.Errorf("record %d has generation %d, want record %d as it was left", id, s.At(id).gen, first)
	}
}

func TestFreeOfUnusedIDPanics(t *testing.T) {
	var s Slab[record]
	freed := s.New()
	s.New()
	s.Free(freed)
	for _, id := range []uint32{0, freed, freed + 2, 5 * pageLen, 1<<32 - 1} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("Free(%d) did not panic", id)
				}
			}()
			s.Free(id)
		}()
	}
}

func TestAllMayFreeOnTheWay(t *testing.T) {
	var s Slab[record]
	for range 3 * pageLen {
		s.New()
	}
	n := 0
	for id := range s.All() {
		s.Free(id)
		if s.Has(id + 1) { // of which it will not be told
			s.Free(id + 1)
		}
		n++
	}
	if s.Len() != 0 || n != 3*pageLen/2 {
		t.Errorf("%d records left and %d met, want 0 and %d", s.Len(), n, 3*pageLen/2)
	}
}

func TestSteadyStateAllocatesNothing(t *testing.T) {
	var s Slab[record]
	var ids [3000]uint32
	for i := range ids {
		ids[i] = s.New()
	}
	if n := testing.AllocsPerRun(10, func() {
		for i := range ids {
			s.Free(ids[i])
		}
		for i := range ids {
			ids[i] = s.New()
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestTable(t *testing.T) {
	var tab Table[record]
	if tab.Get(0) != nil || tab.Get(5000) != nil {
		t.Error("an empty table has records")
	}
	p := tab.Grow(5000)
	if *p != (record{}) {
		t.Error("a new record is not zero")
	}
	p.value = 3
	if tab.Get(0) != nil {
		t.Error("Grow made a page that nobody asked for")
	}
	tab.Grow(1 << 20)
	if tab.At(5000) != p || tab.Get(5000) != p || tab.Grow(5000) != p {
		t.Error("a record moved when the table grew")
	}
	if q := tab.Get(5001); q == nil || q.value != 0 {
		t.Error("the neighbour of a record is not there or not zero")
	}
}

// Pages are allocated in groups once a table has as many already; records of any
// id stay where they are, are zero at first, and keep apart.
func TestGroups(t *testing.T) {
	n := groupPages[record]()
	if size := n * pageLen * 16; n < 2 || size < groupBytes || size/2 >= groupBytes {
		t.Fatalf("a group has %d pages", n)
	}
	if groupPages[struct{}]() != 1 {
		t.Error("records without size have groups")
	}
	var tab Table[record]
	last := uint32(4*n*pageLen - 1) // the third group after the single pages
	tab.Grow(last).value = 1
	if tab.Get(uint32(n*pageLen)) != nil {
		t.Error("Grow made a group that nobody asked for")
	}
	var at []*record
	for id := range last + 1 {
		p := tab.Grow(id)
		if id < last && *p != (record{}) {
			t.Fatalf("record %d is not zero", id)
		}
		p.value = uint64(id)
		at = append(at, p)
	}
	for id, p := range at {
		if tab.At(uint32(id)) != p || p.value != uint64(id) {
			t.Fatalf("record %d has changed", id)
		}
	}
	part := tab.Run(last-7, 8)
	if len(part) != 8 || cap(part) != 8 || &part[7] != at[last] {
		t.Errorf("Run has %d records of room %d", len(part), cap(part))
	}
}

// Next says what New will return.
func TestNext(t *testing.T) {
	var s Slab[record]
	if s.Next(0) != 0 {
		t.Error("an empty slab has free records")
	}
	for range 5 {
		s.New()
	}
	s.Free(4)
	s.Free(2)
	var want, got []uint32
	for i := range 3 {
		want = append(want, s.Next(i))
	}
	for range 3 {
		got = append(got, s.New())
	}
	if !slices.Equal(want, []uint32{2, 4, 0}) || !slices.Equal(got, []uint32{2, 4, 6}) {
		t.Errorf("Next says %v, New returns %v", want, got)
	}
}

func BenchmarkNewFree(b *testing.B) {
	var s Slab[record]
	for range 100_000 {
		s.New()
	}
	b.ReportAllocs()
	for b.Loop() {
		s.Free(s.New())
	}
}
