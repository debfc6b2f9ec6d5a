package l1_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// A look says what a lookup would, and forgets the keys: what L1 remembers of those that
// have left is not pushed out by them, however many they are.
func TestPeek(t *testing.T) {
	f := newFixture(t, l1.Options{})
	f.store(1, chunks(1, 0, 3)...)
	f.m.Delete(f.now(), chunks(1, 2, 3), false)
	w := f.reserve(l1.WriteNew, chunk(2, 0))
	keys := append(chunks(1, 0, 4), chunk(2, 0), chunk(1, 0))
	peek := func(layout kv.Layout, want ...l1.Detail) {
		t.Helper()
		got, err := f.m.Peek(keys, layout)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%v (-want +got):\n%s", err, diff)
		}
	}
	want := []l1.Detail{l1.DetailNone, l1.DetailNone, l1.DetailEvicted, l1.DetailAbsent, l1.DetailStaged, l1.DetailNone}
	before := f.m.Stats()
	peek(f.layout, want...)
	for i := range 3 * 1000 {
		if _, err := f.m.Peek(chunks(3+i, 0, 64), f.layout); err != nil {
			t.Fatal(err)
		}
	}
	peek(f.layout, want...)
	if diff := cmp.Diff(before, f.m.Stats()); diff != "" {
		t.Errorf("stats (-before +after):\n%s", diff)
	}
	const other = l1.DetailLayoutMismatch
	peek(layoutOf(t, unit/2), other, other, l1.DetailEvicted, l1.DetailAbsent, l1.DetailStaged, other)
	w.Abort(f.now(), l1.AbortOwner)
	for i := range 3 * 1000 { // a lookup does remember
		if _, err := f.m.ReserveRead(f.now(), chunks(3+i, 0, 64), f.layout, l1.ReadOptions{Look: true}); err != nil {
			t.Fatal(err)
		}
	}
	peek(f.layout, l1.DetailNone, l1.DetailNone, l1.DetailAbsent, l1.DetailAbsent, l1.DetailAbsent, l1.DetailNone)
	if _, err := f.m.Peek(nil, f.layout); err == nil {
		t.Error("no keys are no error")
	}
}

func TestPeekClosed(t *testing.T) {
	m, err := l1.New(l1.Options{Bytes: 8 * unit})
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Peek(chunks(1, 0, 1), layoutOf(t, unit)); !errors.Is(err, l1.ErrClosed) {
		t.Errorf("%v", err)
	}
}
