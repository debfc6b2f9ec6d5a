//go:build linux

package storage_test

import (
	"context"
	"runtime"
	"runtime/metrics"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lmcache-go/lmcache/storage"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// BenchmarkSaturate stores 16 keys, every key evicting, as fast as one goroutine and
// two goroutines can, in turn; x_one is the rate of two together over that of one.
// One iteration is 2048 calls of each.
func BenchmarkSaturate(b *testing.B) {
	const calls = 2048
	m, layout := filled(b, million, 2*million)
	seq := [2]uint64{1 << 40, 1 << 41}
	work := func(g, n int) {
		keys := make([]kv.Key, 0, 16)
		for range n {
			seq[g]++
			keys = prompt(keys, seq[g], 16)
			store(b, m, keys, layout)
		}
	}
	var one, two time.Duration
	for b.Loop() {
		start := time.Now()
		work(0, calls)
		one += time.Since(start)
		start = time.Now()
		var wg sync.WaitGroup
		for g := range 2 {
			wg.Go(func() { work(g, calls/2) })
		}
		wg.Wait()
		two += time.Since(start)
	}
	b.ReportMetric(float64(one)/float64(two), "x_one")
	b.ReportMetric(float64(one)/float64(b.N*calls), "ns/call")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkPause is the longest of the calls that store 16 keys, every key evicting,
// and of those that look up and release 64, with a million objects resident: alone,
// and while the garbage collector runs in a loop. cpu-ns is the most time that a call
// used of its processor, its share of the collector's work included; what max-ns is
// longer, the call did not run. gc-ns is the longest time for which the collector
// stopped everything.
func BenchmarkPause(b *testing.B) {
	for _, gc := range []bool{false, true} {
		b.Run(map[bool]string{false: "alone", true: "gc"}[gc], func(b *testing.B) {
			m, layout := filled(b, million, 2*million)
			stop, ended := make(chan struct{}), make(chan struct{})
			go func() {
				defer close(ended)
				for gc {
					select {
					case <-stop:
						return
					default:
						runtime.GC()
					}
				}
			}()
			keys := make([]kv.Key, 0, 64)
			took := make([]time.Duration, 0, 1<<20)
			seq := uint64(1 << 40)
			most := time.Duration(0)
			runtime.LockOSThread() // for its clock
			defer runtime.UnlockOSThread()
			timed := func(f func()) {
				start, used := time.Now(), threadTime()
				f()
				most = max(most, threadTime()-used)
				took = append(took, time.Since(start))
			}
			for b.Loop() {
				for i := range uint64(4) {
					keys = prompt(keys, seq+i, 16)
					timed(func() { store(b, m, keys, layout) })
				}
				keys = keys[:0]
				for i := range uint64(4) {
					keys = append(keys, prompt(nil, seq+i, 16)...)
				}
				seq += 4
				timed(func() {
					p, err := m.SubmitPrefetch(context.Background(), keys, layout, storage.PrefetchOptions{})
					if err != nil {
						b.Fatal(err)
					}
					p.Release()
				})
			}
			close(stop)
			<-ended
			report(b, took)
			b.ReportMetric(float64(slices.Max(took)), "max-ns")
			b.ReportMetric(float64(most), "cpu-ns")
			b.ReportMetric(longestStop().Seconds()*1e9, "gc-ns")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// threadTime is the processor time of this thread.
func threadTime() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t); err != nil {
		return 0
	}
	return time.Duration(t.Nano())
}

// longestStop is a bound of the longest time for which a garbage collection has
// stopped all goroutines.
func longestStop() time.Duration {
	s := []metrics.Sample{{Name: "/sched/pauses/total/gc:seconds"}}
	metrics.Read(s)
	h := s[0].Value.Float64Histogram()
	for i, n := range slices.Backward(h.Counts) {
		if n > 0 {
			return time.Duration(h.Buckets[i+1] * 1e9)
		}
	}
	return 0
}
