package l1_test

import (
	"fmt"
	"testing"

	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// REQ-S21: of a key that is resident with one layout, a reader with another one gets
// layout_mismatch and no bytes: at a lookup, at a later claim, and after either has
// replaced the other.
func TestREQ_S21_ForeignLayout(t *testing.T) {
	halves, err := kv.NewLayout([][]int64{{unit / 2}}, []kv.DType{kv.Float16}) // as many bytes
	if err != nil {
		t.Fatal(err)
	}
	for name, other := range map[string]kv.Layout{
		"shorter": layoutOf(t, unit-8), "longer": layoutOf(t, 3*unit), "as long": halves,
	} {
		for _, first := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s/%v", name, first), func(t *testing.T) {
				f := newFixture(t, l1.Options{Bytes: 20 * unit})
				a, b := f.layout, other
				if !first {
					a, b = b, a
				}
				layoutsOfOneKey(f, a, b)
			})
		}
	}
}

func layoutsOfOneKey(f *fixture, a, b kv.Layout) {
	t, keys := f.t, chunks(1, 0, 2)
	with := func(l kv.Layout) *fixture { c := *f; c.layout = l; return &c }
	fa, fb := with(a), with(b)
	mismatch := func(f *fixture) {
		t.Helper()
		for _, o := range []l1.ReadOptions{{}, {Readers: 3}, {Promise: true}, {Look: true}} {
			r, err := f.m.ReserveRead(f.now(), keys, f.layout, o)
			if err != nil {
				t.Fatal(err)
			}
			f.codes(r.Code, l1.KeyNotReadable, l1.KeyNotReadable)
			if r.Detail(0) != l1.DetailLayoutMismatch || r.Holders(0) != 0 || r.Offset(0) != -1 {
				t.Fatalf("%+v: %v, %d holders, offset %d", o, r.Detail(0), r.Holders(0), r.Offset(0))
			}
			for i := range r.All() {
				t.Fatalf("%+v: position %d has a buffer", o, i)
			}
			if taken, _ := r.Take(f.now(), l1.All(2)); taken.Holders(0) != 0 || taken.Code(0) == l1.Success {
				t.Fatalf("%+v: a claim got what the lookup had not", o)
			}
		}
		if s := f.m.Stats(); s.LeasedBytes != 0 {
			t.Fatalf("%d bytes are leased by mismatches", s.LeasedBytes)
		}
	}
	fa.store(1, keys...)
	mismatch(fb)

	// A reader of the first layout beside a replacement with the second.
	w := fb.reserve(l1.WriteAll, keys...)
	fb.codes(w.Code, l1.Success, l1.Success)
	for i, buf := range w.All() {
		pattern(buf, keys[i], 2)
	}
	mismatch(fb) // what is staged is not readable
	old, err := f.m.ReserveRead(f.now(), keys, a, l1.ReadOptions{Readers: 2})
	if err != nil {
		t.Fatal(err)
	}
	late, err := f.m.ReserveRead(f.now(), keys, a, l1.ReadOptions{Promise: true})
	if err != nil {
		t.Fatal(err)
	}
	w.Finish(f.now(), l1.OriginNew)
	fa.holds(old, 1)
	taken, bad := old.Take(f.now(), l1.All(2))
	if bad != 0 {
		t.Fatalf("the reader lost %d of its holders", bad)
	}
	fa.holds(taken, 1)
	taken.Finish(f.now(), l1.CauseRead)
	old.Finish(f.now(), l1.CauseRead)
	f.advance(l1.DefaultReadTTL)

	// The lease of the second one has expired: what is there now is not what it is of.
	taken, bad = late.Take(f.now(), l1.All(2))
	fa.codes(taken.Code, l1.KeyNotReadable, l1.KeyNotReadable)
	if bad != 2 || taken.Detail(0) != l1.DetailLayoutMismatch || taken.Holders(0) != 0 {
		t.Fatalf("%d positions are bad, %v, %d holders", bad, taken.Detail(0), taken.Holders(0))
	}
	for i := range taken.All() {
		t.Fatalf("position %d has a buffer of the other layout", i)
	}
	late.Finish(f.now(), l1.CauseUnused)
	mismatch(fa)
	r := fb.read(1, keys...)
	fb.codes(r.Code, l1.Success, l1.Success)
	fb.holds(r, 2)
	r.Finish(f.now(), l1.CauseRead)
	f.check()
}
