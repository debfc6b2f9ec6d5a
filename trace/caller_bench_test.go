package trace_test

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/lmcache-go/lmcache/eventbus"
	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/storage"
	"github.com/lmcache-go/lmcache/trace"
)

// BenchmarkCaller_REQ_T11 is a reservation of 16 keys that is given up again,
// without a recorder and with one that writes to a disk: the difference is what
// recording costs the caller.
func BenchmarkCaller_REQ_T11(b *testing.B) {
	for _, on := range []bool{false, true} {
		name := "off"
		if on {
			name = "on"
		}
		b.Run(name, func(b *testing.B) {
			bus := eventbus.New(eventbus.Options{})
			m, err := storage.Open(b.Context(), storage.Options{Bus: bus, L1: l1.Options{Bytes: 1 << 40, NoBytes: true}})
			if err != nil {
				b.Fatal(err)
			}
			var r *trace.Recorder
			if on {
				if r, err = trace.Open(bus, trace.Options{Path: filepath.Join(b.TempDir(), "run.lct")}); err != nil {
					b.Fatal(err)
				}
			}
			c := benchCall(b)
			b.ReportAllocs()
			n := int64(0)
			begin := time.Now()
			for b.Loop() {
				l, err := m.ReserveWrite(b.Context(), c.Keys, c.Layout, storage.New, storage.WriteOptions{})
				if err != nil {
					b.Fatal(err)
				}
				l.Abort()
				n++
			}
			took := time.Since(begin)
			if on {
				if err := r.Close(); err != nil {
					b.Fatal(err)
				}
				if s := r.Stats(); s.Lost.Sum() > 0 || s.Written != n {
					b.Errorf("%d calls, stats %+v", n, s)
				} else {
					b.ReportMetric(float64(n)/took.Seconds(), "calls/s")
				}
			}
			if err := bus.Close(context.Background()); err != nil {
				b.Fatal(err)
			}
			if err := m.Close(b.Context()); err != nil {
				b.Fatal(err)
			}
		})
	}
}
