package storage_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/lmcache-go/lmcache/storage"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// residentPrefetch is a manager with 16 resident objects, and one prefetch of them.
func residentPrefetch(tb testing.TB, tiers bool) func() {
	tb.Helper()
	layout, err := kv.RawLayout(objectBytes)
	if err != nil {
		tb.Fatal(err)
	}
	o := storage.Options{L1: l1Bytes(64)}
	if tiers {
		withTiers(&storage.VirtualOptions{}, newShelf(), newShelf())(&o)
	}
	m, err := storage.Open(tb.Context(), o)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = m.Close(tb.Context()) })
	list := keys("abcdefghijklmnop")
	l, err := m.ReserveWrite(tb.Context(), list, layout, storage.New, storage.WriteOptions{})
	if err != nil {
		tb.Fatal(err)
	}
	l.Finish()
	if err := m.Flush(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	return func() {
		p, err := m.SubmitPrefetch(tb.Context(), list, layout, storage.PrefetchOptions{})
		if err != nil {
			tb.Fatal(err)
		}
		if r, known := p.Status(); !known || r.Prefix != len(list) {
			tb.Fatal("it is not all there")
		}
		p.Release()
	}
}

// BenchmarkPrefetchResident is a prefetch and release of 16 objects that L1 has,
// without tiers and with two, in turns: the medians of rounds of 100, and that of the
// differences of the two rounds of a turn.
func BenchmarkPrefetchResident(b *testing.B) {
	without, with := residentPrefetch(b, false), residentPrefetch(b, true)
	const calls = 100
	var took [3][]float64 // ns of a call: without, with, difference
	for b.Loop() {
		var pair [2]float64
		for i, f := range []func(){without, with} {
			began := time.Now()
			for range calls {
				f()
			}
			pair[i] = float64(time.Since(began).Nanoseconds()) / calls
			took[i] = append(took[i], pair[i])
		}
		took[2] = append(took[2], pair[1]-pair[0])
	}
	for i, name := range []string{"ns/without", "ns/with", "ns/more"} {
		slices.Sort(took[i])
		b.ReportMetric(took[i][len(took[i])/2], name)
	}
	b.ReportMetric(0, "ns/op")
}

// BenchmarkStoreLeaves is how long it takes from the end of a write to the call of the
// adapter, when nothing else is to be done.
func BenchmarkStoreLeaves(b *testing.B) {
	layout, err := kv.RawLayout(objectBytes)
	if err != nil {
		b.Fatal(err)
	}
	s := newShelf()
	left := make(chan time.Time, 1)
	s.before = func(_ context.Context, op string, _ []storage.Key) error {
		if op == "store" {
			left <- time.Now()
		}
		return nil
	}
	o := storage.Options{L1: l1Bytes(64)}
	withTiers(&storage.VirtualOptions{}, s)(&o)
	m, err := storage.Open(b.Context(), o)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = m.Close(context.Background()) })
	var took []time.Duration
	seq := uint64(0)
	var list []kv.Key
	for b.Loop() {
		seq++
		list = prompt(list, seq, 1)
		l, err := m.ReserveWrite(b.Context(), list, layout, storage.New, storage.WriteOptions{})
		if err != nil {
			b.Fatal(err)
		}
		began := time.Now()
		l.Finish()
		took = append(took, (<-left).Sub(began))
		if err := m.Flush(b.Context()); err != nil {
			b.Fatal(err)
		}
		m.Delete(list, false)
		s.lose(list[0])
	}
	report(b, took)
	b.ReportMetric(0, "ns/op")
}

// With tiers attached, a prefetch of what L1 has allocates what it does without.
func TestPrefetchOfResidentAllocates(t *testing.T) {
	without := testing.AllocsPerRun(100, residentPrefetch(t, false))
	with := testing.AllocsPerRun(100, residentPrefetch(t, true))
	if with > without {
		t.Errorf("%s more allocations", fmt.Sprint(with-without))
	}
}
