package resp_test

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"github.com/lmcache-go/lmcache/internal/servertest"
	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/l2/l2test"
	"github.com/lmcache-go/lmcache/l2/resp"
	"github.com/lmcache-go/lmcache/storage/kv"
)

func BenchmarkRedis(b *testing.B) { l2test.Benchmark(b, onRedis(nil)) }

// BenchmarkBesidePlainClient moves 2 MiB objects, four calls of four at a time, and the
// same bytes with a plain pipelining client, in turns of the same run. The ratio is
// that of the medians of the turns.
func BenchmarkBesidePlainClient(b *testing.B) {
	const size, calls, batch, turns = 2 << 20, 4, 4, 9
	s := servertest.Redis(b)
	a := open(b, resp.Options{Addrs: []string{s.Addr}})
	defer func() { _ = a.Close() }()
	c := client(b, s.Addr)
	payload := make([]byte, size)
	for i := range payload {
		payload[i] = byte(i * 7)
	}
	parallel := func(f func(worker int)) time.Duration {
		begin := time.Now()
		var wg sync.WaitGroup
		for w := range calls {
			wg.Go(func() { f(w) })
		}
		wg.Wait()
		return time.Since(begin)
	}
	items := make([][]l2.Item, calls)
	keys := make([][]kv.Key, calls)
	for w := range items {
		for i := range batch {
			it := l2test.Item(b, w*batch+i, string(payload))
			items[w], keys[w] = append(items[w], it), append(keys[w], it.Key)
		}
	}
	value := append(append([]byte{}, items[0][0].Head...), payload...)
	name := func(w, i int) string { return fmt.Sprint("plain-", w, "-", i) }
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
	var sum atomic.Int64
	plain := map[string]func(int){
		"store": func(w int) {
			var cmds rueidis.Commands
			for i := range batch {
				cmds = append(cmds, c.B().Set().Key(name(w, i)).Value(rueidis.BinaryString(value)).Build())
			}
			for _, r := range c.DoMulti(b.Context(), cmds...) {
				if err := r.Error(); err != nil {
					b.Error(err)
				}
			}
		},
		"load": func(w int) { // the bytes end up in memory of the caller here too
			var cmds rueidis.Commands
			for i := range batch {
				cmds = append(cmds, c.B().Get().Key(name(w, i)).Build())
			}
			to := make([]byte, len(value))
			for _, r := range c.DoMulti(b.Context(), cmds...) {
				v, err := r.ToString()
				if err != nil {
					b.Error(err)
				}
				sum.Add(int64(copy(to, v)))
			}
		},
	}
	for _, op := range []string{"store", "load"} {
		b.Run(op, func(b *testing.B) {
			b.SetBytes(size * calls * batch)
			var took, plainly []time.Duration
			for b.Loop() {
				for range turns {
					if op == "store" {
						parallel(func(w int) {
							freed := make([]int64, batch)
							if err := a.Delete(b.Context(), keys[w], freed); err != nil {
								b.Error(err)
							}
							for i := range batch {
								if err := c.Do(b.Context(), c.B().Del().Key(name(w, i)).Build()).Error(); err != nil {
									b.Error(err)
								}
							}
						})
					}
					took = append(took, parallel(ours[op]))
					plainly = append(plainly, parallel(plain[op]))
				}
			}
			o, p := median(took), median(plainly)
			b.ReportMetric(size*calls*batch/o.Seconds()/1e9, "GB/s")
			b.ReportMetric(size*calls*batch/p.Seconds()/1e9, "plain-GB/s")
			b.ReportMetric(p.Seconds()/o.Seconds(), "of-plain")
		})
	}
}

func median(d []time.Duration) time.Duration {
	slices.Sort(d)
	return d[len(d)/2]
}
