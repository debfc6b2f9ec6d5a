package arena

import (
	"fmt"
	"testing"
)

// BenchmarkReplace frees one object and takes another of the same size, in an
// arena that is full.
func BenchmarkReplace(b *testing.B) {
	const objects = 30_000
	for _, size := range []int64{32 << 10, 2 << 20, 32 << 20} {
		b.Run(fmt.Sprint(size>>10, "KiB"), func(b *testing.B) {
			a := newArena(b, Options{Bytes: objects * size})
			live := make([]Buf, objects)
			for i := range live {
				live[i] = mustAlloc(b, a, size)
			}
			r := newRand(1, 1)
			order := r.Perm(len(live))
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				k := order[i%len(order)]
				a.Free(live[k])
				live[k], _ = a.Alloc(size)
			}
		})
	}
}

// BenchmarkFill takes and returns 10,000 objects, runs included.
func BenchmarkFill(b *testing.B) {
	a := newArena(b, Options{Bytes: 10_000 * 32 << 10})
	live := make([]Buf, 10_000)
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		for i := range live {
			live[i], _ = a.Alloc(32 << 10)
		}
		for i := range live {
			a.Free(live[i])
		}
		n += len(live)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/object")
}

// BenchmarkThrash takes and returns the only object of its size, and so its run.
func BenchmarkThrash(b *testing.B) {
	a := newArena(b, Options{Bytes: 1 << 30})
	mustAlloc(b, a, 4096)
	b.ReportAllocs()
	for b.Loop() {
		buf, _ := a.Alloc(32 << 10)
		a.Free(buf)
	}
}

// BenchmarkMixed replaces random objects of two sizes that have spans of their
// own, under pressure.
func BenchmarkMixed(b *testing.B) {
	s := &cacheSim{a: newArena(b, Options{Bytes: 200 << 30}), r: newRand(1, 2)}
	sizes := [...]int64{20 << 20, 32 << 20}
	for range 40_000 {
		s.put(sizes[s.r.IntN(2)])
	}
	b.ReportAllocs()
	for b.Loop() {
		s.put(sizes[s.r.IntN(2)])
	}
}

func BenchmarkRefused(b *testing.B) {
	a := newArena(b, Options{Bytes: 1 << 30})
	for {
		if _, ok := a.Alloc(1 << 20); !ok {
			break
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := a.Alloc(1 << 20); ok {
			b.Fatal("a full arena has room")
		}
	}
}

// BenchmarkBreakUp breaks up a run of 128 slots of which every other is free.
func BenchmarkBreakUp(b *testing.B) {
	const runs = 256
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		a := newArena(b, Options{Bytes: runs * runBytes})
		var live []Buf
		for range runs * 128 {
			live = append(live, mustAlloc(b, a, 32<<10))
		}
		for i := 0; i < len(live); i += 2 {
			a.Free(live[i])
		}
		b.StartTimer()
		a.Reclaim()
		b.StopTimer()
		if a.LargestFree() != 32<<10 {
			b.Fatalf("largest free range is %d", a.LargestFree())
		}
		b.StartTimer()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/runs, "ns/run")
}
