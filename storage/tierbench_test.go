package storage_test

import (
	"fmt"
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
// without tiers and with two, in turns.
func BenchmarkPrefetchResident(b *testing.B) {
	without, with := residentPrefetch(b, false), residentPrefetch(b, true)
	var took [2]time.Duration
	for b.Loop() {
		for i, f := range []func(){without, with} {
			began := time.Now()
			for range 100 {
				f()
			}
			took[i] += time.Since(began)
		}
	}
	n := float64(b.N * 100)
	b.ReportMetric(float64(took[0].Nanoseconds())/n, "ns/without")
	b.ReportMetric(float64(took[1].Nanoseconds())/n, "ns/with")
	b.ReportMetric(float64((took[1]-took[0]).Nanoseconds())/n, "ns/more")
}

// With tiers attached, a prefetch of what L1 has allocates what it does without.
func TestPrefetchOfResidentAllocates(t *testing.T) {
	without := testing.AllocsPerRun(100, residentPrefetch(t, false))
	with := testing.AllocsPerRun(100, residentPrefetch(t, true))
	if with > without {
		t.Errorf("%s more allocations", fmt.Sprint(with-without))
	}
}
