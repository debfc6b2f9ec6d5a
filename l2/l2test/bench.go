package l2test

import (
	"fmt"
	"testing"

	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// Benchmark measures stores, loads, lookups and deletes of an adapter, one call at a
// time, with objects of 64 KiB and 2 MiB and calls of 1 and 16 keys. MB/s are of
// payload.
func Benchmark(b *testing.B, open Opener, opts ...Option) {
	o := gather(opts)
	for _, size := range []int{64 << 10, o.large} {
		for _, n := range []int{1, 16} {
			name := fmt.Sprintf("%dKiB/%dkeys", size>>10, n)
			b.Run("Store/"+name, func(b *testing.B) { newBench(b, open(b), size, n).store() })
			b.Run("Load/"+name, func(b *testing.B) { newBench(b, open(b), size, n).load() })
		}
	}
	b.Run("Lookup/16keys", func(b *testing.B) { newBench(b, open(b), 64<<10, 16).lookup() })
	b.Run("Delete/16keys", func(b *testing.B) { newBench(b, open(b), 64<<10, 16).delete() })
}

// bench is one benchmark: the batch that it moves again and again.
type bench struct {
	b     *testing.B
	a     l2.Adapter
	items []l2.Item
	keys  []kv.Key
	size  int
	next  int
}

func newBench(b *testing.B, a l2.Adapter, size, n int) *bench {
	b.Helper()
	b.Cleanup(func() {
		if err := a.Close(); err != nil {
			b.Error(err)
		}
	})
	x := &bench{b: b, a: a, size: size, items: make([]l2.Item, n), keys: make([]kv.Key, n)}
	f := l2.FormatOf(a)
	for i := range x.items {
		data := newBuffer(b, size, roundUp(size, physical))
		fill(data.data, byte(i+1))
		head := f.HeadLen(key("bench", 0), "")
		x.items[i] = l2.Item{Head: newBuffer(b, head, head).data, Data: data.data}
	}
	return x
}

// fresh gives the batch keys that were not there before, and heads to go with them.
func (x *bench) fresh() {
	f := l2.FormatOf(x.a)
	for i := range x.items {
		k := key("bench", x.next)
		x.next++
		x.items[i].Key, x.keys[i] = k, k
		if f.Raw {
			continue
		}
		h := l2.Header{Key: k, Payload: int64(x.size), Checksum: f.Checksum}
		if err := h.Put(x.items[i].Head); err != nil {
			x.b.Fatal(err)
		}
	}
}

// must ends the benchmark with what went wrong.
func (x *bench) must(err error) {
	x.b.Helper()
	if err != nil {
		x.b.Fatal(err)
	}
	for _, it := range x.items {
		if it.Err != nil {
			x.b.Fatal(it.Err)
		}
	}
}

func (x *bench) store() {
	x.b.SetBytes(int64(x.size * len(x.items)))
	freed := make([]int64, len(x.keys))
	for x.b.Loop() {
		x.b.StopTimer()
		if x.next > 0 {
			x.must(x.a.Delete(x.b.Context(), x.keys, freed))
		}
		x.fresh()
		x.b.StartTimer()
		x.must(x.a.Store(x.b.Context(), x.items))
	}
	for _, it := range x.items {
		if it.N != int64(x.size) {
			x.b.Fatalf("%d bytes were written, not %d", it.N, x.size)
		}
	}
}

func (x *bench) load() {
	x.fresh()
	x.must(x.a.Store(x.b.Context(), x.items))
	x.b.SetBytes(int64(x.size * len(x.items)))
	for x.b.Loop() {
		x.must(x.a.Load(x.b.Context(), x.items))
	}
}

func (x *bench) lookup() {
	x.fresh()
	x.must(x.a.Store(x.b.Context(), x.items))
	found := make([]l2.Found, len(x.keys))
	for x.b.Loop() {
		x.must(x.a.Lookup(x.b.Context(), x.keys, found))
	}
}

func (x *bench) delete() {
	freed := make([]int64, len(x.keys))
	for x.b.Loop() {
		x.b.StopTimer()
		x.fresh()
		x.must(x.a.Store(x.b.Context(), x.items))
		x.b.StartTimer()
		x.must(x.a.Delete(x.b.Context(), x.keys, freed))
	}
}
