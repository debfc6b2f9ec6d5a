package l1_test

import (
	"slices"
	"testing"
	"time"

	"github.com/lmcache-go/lmcache/l1"
)

// BenchmarkReady is the time until a manager of 4 GiB can be used, and until its
// first 2 GiB are written while it grows (REQ-P7: ready in 2 s).
func BenchmarkReady(b *testing.B) {
	for _, kind := range []string{"private", "shared"} {
		b.Run(kind, func(b *testing.B) {
			o := l1.Options{Bytes: 4 << 30, InitBytes: 64 << 20}
			if kind == "shared" {
				o.ShmName = "bench_ready"
			}
			layout := layoutOf(b, 2<<20)
			var ready, written time.Duration
			for b.Loop() {
				began := time.Now()
				m, err := l1.New(o)
				if err != nil {
					b.Fatal(err)
				}
				ready += time.Since(began)
				for i := range 16 {
					w, err := m.ReserveWrite(time.Now(), chunks(1, i*64, i*64+64), layout, l1.WriteNew, l1.WriteOptions{})
					if err != nil || w.Code(63) != l1.Success {
						b.Fatal(err, w.Code(63))
					}
					for _, buf := range w.All() {
						clear(buf)
					}
					w.Finish(time.Now(), l1.OriginNew)
				}
				written += time.Since(began)
				if err := m.Close(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(ready.Seconds()*1e3/float64(b.N), "ms/ready")
			b.ReportMetric(written.Seconds()*1e3/float64(b.N), "ms/2GiB-written")
		})
	}
}

// BenchmarkPrefault compares eager memory with the rate at which this machine can
// touch new memory at all, in turns (bar: 80 %).
func BenchmarkPrefault(b *testing.B) {
	const size = 1 << 30
	for _, kind := range []string{"private", "shared"} {
		b.Run(kind, func(b *testing.B) {
			o := l1.Options{Bytes: size, Eager: true}
			if kind == "shared" {
				o.ShmName = "bench_prefault"
			}
			var raw, ours []time.Duration
			for b.Loop() {
				raw = append(raw, rawTouch(b, size, kind == "shared"))
				began := time.Now()
				m, err := l1.New(o)
				if err != nil {
					b.Fatal(err)
				}
				ours = append(ours, time.Since(began))
				if err := m.Close(); err != nil {
					b.Fatal(err)
				}
			}
			slices.Sort(raw)
			slices.Sort(ours)
			r, p := raw[len(raw)/2], ours[len(ours)/2]
			b.ReportMetric(size/r.Seconds()/1e9, "GB/s-raw")
			b.ReportMetric(size/p.Seconds()/1e9, "GB/s")
			b.ReportMetric(100*r.Seconds()/p.Seconds(), "%-of-raw")
		})
	}
}
