package export_test

import (
	"context"
	"encoding/binary"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/lmcache-go/lmcache"
	"github.com/lmcache-go/lmcache/eventbus"
	"github.com/lmcache-go/lmcache/gpu"
	"github.com/lmcache-go/lmcache/gpu/fake"
	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/observe"
	"github.com/lmcache-go/lmcache/storage"
	"github.com/lmcache-go/lmcache/storage/kv"
)

const million = 1 << 20

// chunks makes the keys of 16 chunks of a prompt; seq tells prompts apart.
func chunks(dst []kv.Key, seq uint64) []kv.Key {
	dst = dst[:0]
	for i := range uint64(16) {
		var b [32]byte
		binary.BigEndian.PutUint64(b[:], (seq*1000003+i)*0x9e3779b97f4a7c15)
		binary.BigEndian.PutUint64(b[8:], seq)
		binary.BigEndian.PutUint64(b[16:], i)
		dst = append(dst, kv.Key{Hash: kv.Hash32(b), Model: "bench/model", Rank: 0x01000100})
	}
	return dst
}

// BenchmarkReserveFinish16 stores 16 new keys with a million objects resident and
// the default set of metrics attached: with room, with every key evicting another,
// and that at 16,000 calls a second from 8 goroutines.
func BenchmarkReserveFinish16(b *testing.B) {
	b.Run("room", func(b *testing.B) { benchStore(b, 2*million, million, 0) })
	b.Run("evict", func(b *testing.B) { benchStore(b, million, 2*million+million/4, 0) })
	b.Run("paced", func(b *testing.B) { benchStore(b, million, 2*million+million/4, 8) })
}

// benchStore stores as fast as one goroutine can, or paced from several.
func benchStore(b *testing.B, capacity, stored, workers int) {
	layout, err := kv.RawLayout(2 << 20)
	if err != nil {
		b.Fatal(err)
	}
	r := newRig(b, eventbus.Options{}, observe.Options{}, observe.Sources{})
	m, err := storage.Open(b.Context(), storage.Options{L1: l1.Options{Bytes: int64(capacity) * layout.Size(), NoBytes: true}, Bus: r.bus})
	if err != nil {
		b.Fatal(err)
	}
	defer func() {
		if err := m.Close(b.Context()); err != nil {
			b.Error(err)
		}
	}()
	store := func(keys []kv.Key) time.Duration {
		start := time.Now()
		w, err := m.ReserveWrite(b.Context(), keys, layout, storage.New, storage.WriteOptions{})
		if err != nil {
			b.Error(err)
		}
		w.Finish()
		return time.Since(start)
	}
	keys := make([]kv.Key, 0, 16)
	seq := uint64(0)
	for ; seq < uint64(stored/16); seq++ {
		keys = chunks(keys, seq)
		store(keys)
	}
	took := make([][]time.Duration, workers+1)
	b.ResetTimer()
	if workers == 0 {
		for b.Loop() {
			seq++
			keys = chunks(keys, seq)
			took[0] = append(took[0], store(keys))
		}
	}
	var wg sync.WaitGroup
	for g := range workers {
		wg.Go(func() {
			period := time.Second * time.Duration(workers) / 16000
			keys := make([]kv.Key, 0, 16)
			next := time.Now().Add(period * time.Duration(g) / time.Duration(workers))
			for i := range b.N / workers {
				time.Sleep(time.Until(next))
				next = next.Add(period)
				keys = chunks(keys, 1<<40+uint64(g)<<32+uint64(i))
				took[g] = append(took[g], store(keys))
			}
		})
	}
	wg.Wait()
	all := slices.Concat(took...)
	if len(all) == 0 {
		return
	}
	slices.Sort(all)
	b.ReportMetric(float64(all[len(all)/2]), "p50-ns")
	b.ReportMetric(float64(all[len(all)*99/100]), "p99-ns")
	b.ReportMetric(float64(r.bus.Stats().Dropped), "dropped")
}

// side is one of two engines that are compared.
type side struct {
	eng   *lmcache.Engine
	w     *lmcache.Worker
	close func()
}

// newSide opens an engine over a fake device with objects of 2 MiB.
func newSide(b *testing.B, bus *eventbus.Bus, n int) *side {
	b.Helper()
	dev := fake.New(fake.Options{})
	cache, err := dev.NewPaged(gpu.Shape{Layers: 8, Blocks: n * 16, BlockTokens: 16, Heads: 4, HeadSize: 64, DType: "bfloat16"})
	if err != nil {
		b.Fatal(err)
	}
	eng, err := lmcache.Open(b.Context(), lmcache.Options{L1: l1.Options{Bytes: int64(2*n+2) << 21}, Bus: bus})
	if err != nil {
		b.Fatal(err)
	}
	w, err := eng.Attach(lmcache.WorkerOptions{Model: "m", Backend: dev, Cache: cache})
	if err != nil {
		b.Fatal(err)
	}
	return &side{eng, w, func() {
		if err := eng.Close(context.WithoutCancel(b.Context())); err != nil {
			b.Error(err)
		}
		if err := dev.Close(); err != nil {
			b.Error(err)
		}
	}}
}

// BenchmarkMetricsCost compares an engine with the default metrics attached to one
// without a bus, call by call: how much longer the median of a store of 16 objects
// of 2 MiB, and of a lookup of that prompt in a new session, takes (REQ-P8: less
// than 3 %, and less than 10 % with all in the sample).
func BenchmarkMetricsCost(b *testing.B) {
	b.Run("default", func(b *testing.B) { benchCost(b, 0, 3) })
	b.Run("all in the sample", func(b *testing.B) { benchCost(b, 1, 10) })
}

func benchCost(b *testing.B, rate, bar float64) {
	const n = 16
	r := newRig(b, eventbus.Options{}, observe.Options{SampleRate: rate}, observe.Sources{})
	sides := [2]*side{newSide(b, nil, n), newSide(b, r.bus, n)}
	defer sides[0].close()
	defer sides[1].close()
	blocks := make([]gpu.BlockID, n*16)
	for i := range blocks {
		blocks[i] = gpu.BlockID(i)
	}
	tokens := make([]int32, n*256)
	for i := range tokens {
		tokens[i] = int32(i)
	}
	var stores, lookups [2][]time.Duration
	turn := func(i int) {
		e := sides[i]
		if _, err := e.eng.Clear(b.Context(), true); err != nil {
			b.Fatal(err)
		}
		s := e.eng.Session(lmcache.Request{ID: "store", Model: "m"})
		start := time.Now()
		tr, err := e.w.Store(b.Context(), s, tokens, [][]gpu.BlockID{blocks}, nil)
		if err == nil {
			err = tr.Wait(b.Context())
		}
		stores[i] = append(stores[i], time.Since(start))
		if err != nil {
			b.Fatal(err)
		}
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
		for range 8 {
			s := e.eng.Session(lmcache.Request{ID: "lookup", Model: "m"})
			start := time.Now()
			got, err := s.Lookup(b.Context(), tokens).Chunks(b.Context())
			lookups[i] = append(lookups[i], time.Since(start))
			if err != nil || got != n {
				b.Fatalf("%d chunks, %v", got, err)
			}
			if err := s.Close(); err != nil {
				b.Fatal(err)
			}
		}
	}
	for k := 0; b.Loop(); k++ {
		turn(k % 2)
		turn(1 - k%2)
	}
	for _, of := range []struct {
		name string
		took [2][]time.Duration
	}{{"store", stores}, {"lookup", lookups}} {
		without, with := median(of.took[0]), median(of.took[1])
		b.ReportMetric(float64(without), of.name+"-p50-ns")
		b.ReportMetric(100*(float64(with)/float64(without)-1), of.name+"-cost-%")
	}
	b.ReportMetric(bar, "bar-%")
	b.ReportMetric(0, "ns/op")
}

func median(took []time.Duration) time.Duration {
	slices.Sort(took)
	return took[len(took)/2]
}
