package s3_test

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/lmcache-go/lmcache/internal/servertest"
	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/l2/l2test"
)

func BenchmarkS3(b *testing.B) { l2test.Benchmark(b, onServer(nil)) }

// BenchmarkBesidePlainClient moves 2 MiB objects, eight calls of one at a time, and the
// same bytes with a plain client, in turns of the same run. The ratio is that of the
// medians of the turns.
func BenchmarkBesidePlainClient(b *testing.B) {
	const size, calls, turns = 2 << 20, 8, 9
	s := servertest.S3(b, "")
	a := open(b, options(s.Addr))
	defer func() { _ = a.Close() }()
	c := client(b, s.Addr)
	payload := string(bytes.Repeat([]byte("kv state "), size/9+1)[:size])
	parallel := func(f func(worker int)) time.Duration {
		begin := time.Now()
		var wg sync.WaitGroup
		for w := range calls {
			wg.Go(func() { f(w) })
		}
		wg.Wait()
		return time.Since(begin)
	}
	n := 0
	items := make([][]l2.Item, calls)
	fresh := func() {
		for w := range items {
			n++
			items[w] = []l2.Item{l2test.Item(b, n, payload)}
		}
	}
	fresh()
	value := append(slices.Clone(items[0][0].Head), payload...)
	name := func(w int) string { return fmt.Sprint("plain-", n, "-", w) }
	ours := map[string]func(int){
		"store": func(w int) {
			if err := a.Store(b.Context(), items[w]); err != nil || items[w][0].N != size {
				b.Error(err, items[w][0].N, items[w][0].Err)
			}
		},
		"load": func(w int) {
			if err := a.Load(b.Context(), items[w]); err != nil || items[w][0].N != size {
				b.Error(err, items[w][0].N, items[w][0].Err)
			}
		},
	}
	plain := map[string]func(int){
		"store": func(w int) {
			_, err := c.PutObject(b.Context(), servertest.S3Bucket, name(w), bytes.NewReader(value), int64(len(value)), minio.PutObjectOptions{})
			if err != nil {
				b.Error(err)
			}
		},
		"load": func(w int) {
			o, err := c.GetObject(b.Context(), servertest.S3Bucket, name(w), minio.GetObjectOptions{})
			if err != nil {
				b.Error(err)
				return
			}
			defer func() { _ = o.Close() }()
			if _, err := io.ReadFull(o, make([]byte, len(value))); err != nil {
				b.Error(err)
			}
		},
	}
	parallel(ours["store"])
	parallel(plain["store"])
	for _, op := range []string{"load", "store"} {
		b.Run(op, func(b *testing.B) {
			b.SetBytes(size * calls)
			var took, plainly []time.Duration
			for b.Loop() {
				for range turns {
					if op == "store" {
						fresh()
					}
					took = append(took, parallel(ours[op]))
					plainly = append(plainly, parallel(plain[op]))
				}
			}
			slices.Sort(took)
			slices.Sort(plainly)
			o, p := took[len(took)/2].Seconds(), plainly[len(plainly)/2].Seconds()
			b.ReportMetric(size*calls/o/1e9, "GB/s")
			b.ReportMetric(size*calls/p/1e9, "plain-GB/s")
			b.ReportMetric(p/o, "of-plain")
		})
	}
}
