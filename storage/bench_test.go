package storage_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/lmcache-go/lmcache/eventbus"
	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/storage"
	"github.com/lmcache-go/lmcache/storage/kv"
)

const million = 1 << 20

// prompt makes the keys of n chunks of a prompt; seq tells prompts apart.
func prompt(dst []kv.Key, seq uint64, n int) []kv.Key {
	dst = dst[:0]
	for i := range n {
		var b [32]byte
		binary.BigEndian.PutUint64(b[:], (seq*1000003+uint64(i))*0x9e3779b97f4a7c15)
		binary.BigEndian.PutUint64(b[8:], seq)
		binary.BigEndian.PutUint64(b[16:], uint64(i))
		dst = append(dst, kv.Key{Hash: kv.Hash32(b), Model: "bench/model", Rank: 0x01000100})
	}
	return dst
}

// counting listens to everything that a metrics subscriber listens to.
type counting struct{ n int64 }

func (*counting) Name() string { return "counting" }

func (c *counting) Subscribe(s *eventbus.Subscription) {
	count[l1.ReadReserved](c, s)
	count[l1.ReadFinished](c, s)
	count[l1.WriteReserved](c, s)
	count[l1.WriteFinished](c, s)
	count[l1.WriteAborted](c, s)
	count[l1.KeysEvicted](c, s)
	count[l1.LeaseExpired](c, s)
	count[storage.AllocationFailed](c, s)
	count[storage.ReadFailed](c, s)
	count[storage.ReadPrefetched](c, s)
	count[storage.ReadPrefetchedFinished](c, s)
	count[storage.WriteReserved](c, s)
	count[storage.WriteFinished](c, s)
	count[storage.PrefetchResolved](c, s)
}

func count[E eventbus.Event](c *counting, s *eventbus.Subscription) {
	eventbus.On(s, func(E, time.Time) { c.n++ })
}

// filled is a manager of so many chunks, after that many have been stored, with a
// bus to which somebody listens.
func filled(tb testing.TB, capacity, stored int) (*storage.Manager, kv.Layout) {
	tb.Helper()
	layout := rawLayout(tb, 2<<20)
	bus := eventbus.New(eventbus.Options{})
	if _, err := bus.Subscribe(&counting{}); err != nil {
		tb.Fatal(err)
	}
	m, err := storage.Open(tb.Context(), storage.Options{
		L1: l1.Options{Bytes: int64(capacity) * layout.Size(), NoBytes: true}, Bus: bus,
	})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := m.Close(context.Background()); err != nil {
			tb.Error(err)
		}
		if err := bus.Close(context.Background()); err != nil {
			tb.Error(err)
		}
	})
	keys := make([]kv.Key, 0, 16)
	for seq := range stored / 16 {
		keys = prompt(keys, uint64(seq), 16)
		store(tb, m, keys, layout)
	}
	return m, layout
}

func store(tb testing.TB, m *storage.Manager, keys []kv.Key, layout kv.Layout) {
	w, err := m.ReserveWrite(context.Background(), keys, layout, storage.New, storage.WriteOptions{})
	if err != nil {
		tb.Fatal(err)
	}
	w.Finish()
}

// BenchmarkReserveFinish16 stores 16 new keys with a million objects resident and
// subscribers attached: with room, into memory that was used before; with every
// key evicting another, in the order in which they were stored, and prompt by
// prompt in random order.
func BenchmarkReserveFinish16(b *testing.B) {
	b.Run("room", func(b *testing.B) {
		const prompts, first = 4096, uint64(1 << 40)
		m, layout := filled(b, 2*million, million)
		keys := make([]kv.Key, 0, 16)
		drop := func() {
			for i := range prompts {
				m.Delete(prompt(keys, first+uint64(i), 16), false)
			}
		}
		for i := range prompts {
			store(b, m, prompt(keys, first+uint64(i), 16), layout)
		}
		drop()
		took := make([]time.Duration, 0, 1<<20)
		b.ReportAllocs()
		i := 0
		for b.Loop() {
			keys = prompt(keys, first+uint64(i), 16)
			start := time.Now()
			store(b, m, keys, layout)
			took = append(took, time.Since(start))
			if i++; i == prompts {
				b.StopTimer()
				drop()
				i = 0
				b.StartTimer()
			}
		}
		report(b, took)
	})
	evict := func(b *testing.B, shuffle bool) {
		m, layout := filled(b, million, 2*million+million/4)
		keys := make([]kv.Key, 0, 16)
		seq := uint64(1 << 40)
		if shuffle {
			newest := (2*million + million/4) / 16
			for _, i := range rand.New(rand.NewPCG(1, 1)).Perm(million / 16) {
				m.Touch(prompt(keys, uint64(newest-1-i), 16))
			}
		}
		took := make([]time.Duration, 0, 1<<20)
		b.ReportAllocs()
		for b.Loop() {
			seq++
			keys = prompt(keys, seq, 16)
			start := time.Now()
			store(b, m, keys, layout)
			took = append(took, time.Since(start))
		}
		report(b, took)
	}
	b.Run("evict", func(b *testing.B) { evict(b, false) })
	b.Run("evict/shuffled", func(b *testing.B) { evict(b, true) })
}

func report(b *testing.B, took []time.Duration) {
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2]), "p50-ns")
	b.ReportMetric(float64(took[len(took)*99/100]), "p99-ns")
}

// BenchmarkReserveFinish16Paced stores 16 keys at 16,000 calls a second from 8
// goroutines and from one, every key evicting. A call is timed from when it begins,
// not from when it was due. With the 8, calls meet, and the threads of the process
// wake each other: GOMAXPROCS=1 shows the calls without that.
func BenchmarkReserveFinish16Paced(b *testing.B) {
	for _, workers := range []int{8, 1} {
		b.Run(fmt.Sprintf("goroutines=%d", workers), func(b *testing.B) { paced(b, workers) })
	}
}

func paced(b *testing.B, workers int) {
	period := time.Second * time.Duration(workers) / 16000
	m, layout := filled(b, million, 2*million)
	took := make([][]time.Duration, workers)
	b.ResetTimer()
	var wg sync.WaitGroup
	for g := range workers {
		wg.Go(func() {
			keys := make([]kv.Key, 0, 16)
			next := time.Now().Add(period * time.Duration(g) / time.Duration(workers))
			for i := range b.N / workers {
				time.Sleep(time.Until(next))
				next = next.Add(period)
				keys = prompt(keys, 1<<40+uint64(g)<<32+uint64(i), 16)
				start := time.Now()
				store(b, m, keys, layout)
				took[g] = append(took[g], time.Since(start))
			}
		})
	}
	wg.Wait()
	if all := slices.Concat(took...); len(all) > 0 {
		report(b, all)
	}
}

// BenchmarkLookup finds, reads and releases resident chunks among a million.
func BenchmarkLookup(b *testing.B) {
	for _, n := range []int{16, 512} {
		b.Run(map[int]string{16: "16", 512: "512"}[n], func(b *testing.B) {
			m, layout := filled(b, 2*million, million)
			prompts := make([][]kv.Key, 64)
			for i := range prompts {
				prompts[i] = prompt(nil, 1<<41+uint64(i), n)
				store(b, m, prompts[i], layout)
			}
			took := make([]time.Duration, 0, 1<<20)
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				i++
				start := time.Now()
				p, err := m.SubmitPrefetch(context.Background(), prompts[i%len(prompts)], layout, storage.PrefetchOptions{})
				took = append(took, time.Since(start))
				if err != nil {
					b.Fatal(err)
				}
				if hits, _ := p.LookupHits(); hits != n {
					b.Fatalf("%d hits, want %d", hits, n)
				}
				p.Release()
			}
			report(b, took)
		})
	}
}

// BenchmarkMemoryPerObject is the memory outside of the arena that each of a
// million resident objects takes.
func BenchmarkMemoryPerObject(b *testing.B) {
	heap := func() uint64 {
		runtime.GC()
		var s runtime.MemStats
		runtime.ReadMemStats(&s)
		return s.HeapAlloc
	}
	before := heap()
	m, _ := filled(b, 2*million, million)
	perObject := float64(heap()-before) / million
	for b.Loop() {
		_ = m.Stats()
	}
	b.ReportMetric(perObject, "B/object")
}
