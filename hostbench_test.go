package lmcache_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/lmcache-go/lmcache"
	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// hostChunks is how many chunks a call of the benchmarks of host copies has.
const hostChunks = 16

// benchHost copies chunks of a size through the leases of a HostWorker, in turn
// with plain copies of the same bytes, and reports the median of the ratios of
// their rates.
func benchHost(b *testing.B, size int, what string) {
	layout, err := kv.RawLayout(int64(size))
	if err != nil {
		b.Fatal(err)
	}
	total := hostChunks * size
	eng, err := lmcache.Open(b.Context(), lmcache.Options{L1: l1.Options{Bytes: max(64<<20, int64(total)), Eager: true}})
	if err != nil {
		b.Fatal(err)
	}
	h, err := eng.AttachHost(lmcache.HostOptions{Model: model, Layout: layout})
	if err != nil {
		b.Fatal(err)
	}
	mine, flat := make([]byte, total), make([]byte, total)
	for i := range mine {
		mine[i] = byte(i)
	}
	plain(flat, mine, size)
	prompt := tokens(1, hostChunks*256)
	s := eng.Session(lmcache.Request{ID: "bench", Model: model})
	store := func() {
		l, err := h.PrepareStore(b.Context(), s, prompt, 0, len(prompt))
		if err != nil {
			b.Fatal(err)
		}
		n := 0
		for i, buffer := range l.All() {
			n += copy(buffer, mine[i*size:])
		}
		if err := l.Commit(); err != nil || n != total {
			b.Fatalf("%d bytes, %v", n, err)
		}
	}
	retrieve := func(m *lmcache.Match) {
		l, err := h.PrepareRetrieve(b.Context(), m, 0, len(prompt))
		if err != nil || !l.Success() {
			b.Fatalf("a miss, %v", err)
		}
		for i, buffer := range l.All() {
			copy(flat[i*size:], buffer)
		}
		l.Done()
	}
	store()
	var took, ratios []float64
	for b.Loop() { // the benchmark's own clock stops the world when it is stopped, which would cost as much as what is measured
		var m *lmcache.Match
		switch what {
		case "store":
			if _, err := eng.Clear(b.Context(), true); err != nil {
				b.Fatal(err)
			}
		case "read":
			m = s.Lookup(b.Context(), prompt)
		}
		began := time.Now()
		switch what {
		case "store":
			store()
		case "read":
			retrieve(m)
		default:
			retrieve(s.Lookup(b.Context(), prompt))
		}
		ours := time.Since(began)
		began = time.Now()
		plain(flat, mine, size)
		ratios = append(ratios, float64(time.Since(began))/float64(ours))
		took = append(took, float64(ours))
	}
	slices.Sort(ratios)
	slices.Sort(took)
	b.ReportMetric(took[len(took)/2], "p50-ns")
	b.ReportMetric(float64(total)/took[len(took)/2], "GB/s")
	b.ReportMetric(ratios[len(ratios)/2], "x_copy")
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	if err := eng.Close(b.Context()); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkHostStore reserves, fills and commits 16 chunks; x_copy is its rate over
// that of a plain copy.
func BenchmarkHostStore(b *testing.B) { benchHostSizes(b, "store") }

// BenchmarkHostRead is lent 16 chunks that a lookup has found, reads them and gives
// them back.
func BenchmarkHostRead(b *testing.B) { benchHostSizes(b, "read") }

// BenchmarkHostLookupRead is that and the lookup.
func BenchmarkHostLookupRead(b *testing.B) { benchHostSizes(b, "lookup and read") }

func benchHostSizes(b *testing.B, what string) {
	for _, kib := range []int{1, 64, 1024, 2048, 8192} {
		b.Run(fmt.Sprintf("KiB=%d", kib), func(b *testing.B) { benchHost(b, kib<<10, what) })
	}
}
