package kv_test

import (
	"testing"

	"github.com/lmcache-go/lmcache/storage/kv"
)

// The prompt of the benchmarks: 512 chunks of 256 tokens.
const (
	benchChunk  = 256
	benchChunks = 512
)

func benchTokens() []int32 {
	return tokens(benchChunk*benchChunks, func(i int) uint32 { return uint32(i*7919) % 131072 })
}

// BenchmarkHashCold hashes the whole prompt into a slice with room.
func BenchmarkHashCold(b *testing.B) {
	for _, name := range kv.Algorithms() {
		b.Run(name, func(b *testing.B) {
			h := newHasher(b, name, "")
			ts := benchTokens()
			dst := make([]kv.Hash, 0, benchChunks)
			b.SetBytes(4 * int64(len(ts)))
			b.ReportAllocs()
			for b.Loop() {
				dst = h.AppendChain(dst[:0], h.Seed(), ts, benchChunk)
			}
		})
	}
}

// BenchmarkChainCold is the first call of a session: hash, keep the tokens.
func BenchmarkChainCold(b *testing.B) {
	h := newHasher(b, "", "")
	ts := benchTokens()
	b.SetBytes(4 * int64(len(ts)))
	b.ReportAllocs()
	for b.Loop() {
		if c := (kv.Chain{}).Extend(h, benchChunk, ts); c.Len() != benchChunks {
			b.Fatal(c.Len())
		}
	}
}

// BenchmarkChainWarm is a call whose prompt is hashed already.
func BenchmarkChainWarm(b *testing.B) {
	h := newHasher(b, "", "")
	ts := benchTokens()
	c := kv.Chain{}.Extend(h, benchChunk, ts)
	b.SetBytes(4 * int64(len(ts)))
	b.ReportAllocs()
	for b.Loop() {
		c = c.Extend(h, benchChunk, ts)
	}
}

// BenchmarkChainGrow adds one chunk to a prompt of 511.
func BenchmarkChainGrow(b *testing.B) {
	h := newHasher(b, "", "")
	ts := benchTokens()
	n := len(ts)
	var c kv.Chain
	b.ReportAllocs()
	for b.Loop() {
		if n == len(ts) {
			b.StopTimer()
			n = len(ts) - benchChunk*benchChunks/8
			c = kv.Chain{}.Extend(h, benchChunk, ts[:n])
			b.StartTimer()
		}
		n += benchChunk
		c = c.Extend(h, benchChunk, ts[:n])
	}
}

// BenchmarkExpand makes the keys of the prompt for one and for eight ranks.
func BenchmarkExpand(b *testing.B) {
	h := newHasher(b, "", "")
	hashes := h.AppendChain(nil, h.Seed(), benchTokens(), benchChunk)
	for name, world := range map[string]int{"ranks=1": 1, "ranks=8": 8} {
		b.Run(name, func(b *testing.B) {
			r := kv.Request{Model: "meta-llama/Llama-3.1-8B-Instruct", Salt: "tenant-1", World: world, Worker: kv.AllWorkers}
			dst := make([]kv.Key, 0, world*len(hashes))
			b.ReportAllocs()
			for b.Loop() {
				var err error
				if dst, err = r.AppendKeys(dst[:0], 0, hashes); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(dst)), "ns/key")
		})
	}
}
