package lmcache_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/lmcache-go/lmcache"
	"github.com/lmcache-go/lmcache/gpu"
	"github.com/lmcache-go/lmcache/gpu/fake"
	"github.com/lmcache-go/lmcache/l1"
)

// bed is an engine for benchmarks: no bus, no logs.
type bed struct {
	testing.TB

	dev   *fake.Device
	eng   *lmcache.Engine
	w     *lmcache.Worker
	cache *gpu.Paged
}

func newBed(tb testing.TB, chunk int, s gpu.Shape, bytes int64) *bed {
	tb.Helper()
	b := &bed{TB: tb, dev: fake.New(fake.Options{})}
	var err error
	if b.cache, err = b.dev.NewPaged(s); err != nil {
		tb.Fatal(err)
	}
	if b.eng, err = lmcache.Open(tb.Context(), lmcache.Options{ChunkTokens: chunk, L1: l1.Options{Bytes: bytes}}); err != nil {
		tb.Fatal(err)
	}
	if b.w, err = b.eng.Attach(lmcache.WorkerOptions{Model: model, Backend: b.dev, Cache: b.cache}); err != nil {
		tb.Fatal(err)
	}
	return b
}

// shut is not a clean-up: those come after the context of the benchmark has ended.
func (b *bed) shut() {
	if err := b.eng.Close(b.Context()); err != nil {
		b.Error(err)
	}
	if err := b.dev.Close(); err != nil {
		b.Error(err)
	}
}

func (b *bed) session() *lmcache.Session {
	return b.eng.Session(lmcache.Request{ID: "bench", Model: model})
}

// done waits for a transfer that must succeed.
func (b *bed) done(tr *lmcache.Transfer, err error) *lmcache.Transfer {
	if err == nil {
		err = tr.Wait(b.Context())
	}
	if err != nil || !tr.Success() {
		b.Fatalf("transfer failed: %v", err)
	}
	return tr
}

// A shape with objects of 2 MiB: 8 layers, 256 tokens in blocks of 16, 4 heads of 64.
func wideShape(chunks int) gpu.Shape {
	return gpu.Shape{Layers: 8, Blocks: chunks * 16, BlockTokens: 16, Heads: 4, HeadSize: 64, DType: "bfloat16"}
}

const wideBytes = 2 << 20

// plain copies as many pieces of the same sizes as the transfer does, in the same
// order, between memory of the same kinds.
func plain(dst, src []byte, piece int) {
	for at := 0; at < len(src); at += piece {
		copy(dst[at:at+piece], src[at:at+piece])
	}
}

// pieceBytes is one plane of one layer of a chunk whose blocks lie side by side.
const pieceBytes = wideBytes / 16

// benchTransfer runs transfers of n chunks of 2 MiB in turn with plain copies of
// the same bytes, and reports the median of the ratios of their rates.
func benchTransfer(b *testing.B, n int, load bool) {
	t := newBed(b, 256, wideShape(n), int64(2*n+2)*wideBytes)
	defer t.shut()
	t.dev.Fill(t.cache, 1)
	host, flat := make([]byte, n*wideBytes), make([]byte, n*wideBytes)
	for i := range host {
		host[i] = byte(i)
	}
	ids := span(0, n*16)
	prompt := tokens(1, n*256)
	s := t.session()
	t.done(t.w.Store(b.Context(), s, prompt, table(ids...), nil)) // also touches all memory
	m := s.Lookup(b.Context(), prompt)
	plain(flat, host, pieceBytes)
	var ours time.Duration
	var ratios []float64
	b.SetBytes(int64(n * wideBytes))
	for b.Loop() {
		began := time.Now()
		if load {
			t.done(t.w.Retrieve(b.Context(), m, table(ids...), nil))
			ours = time.Since(began)
		} else {
			b.StopTimer()
			if err := s.Close(); err != nil {
				b.Fatal(err)
			}
			if _, err := t.eng.Clear(b.Context(), true); err != nil {
				b.Fatal(err)
			}
			s = t.session()
			s.Lookup(b.Context(), prompt) // as a host does: the prompt is hashed by then
			b.StartTimer()
			began = time.Now()
			t.done(t.w.Store(b.Context(), s, prompt, table(ids...), nil))
			ours = time.Since(began)
		}
		b.StopTimer()
		began = time.Now()
		plain(flat, host, pieceBytes)
		ratios = append(ratios, float64(time.Since(began))/float64(ours))
		b.StartTimer()
	}
	slices.Sort(ratios)
	b.ReportMetric(ratios[len(ratios)/2], "x_copy")
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkStore copies chunks of 2 MiB from the device; x_copy is its rate over
// that of a plain copy of the same pieces.
func BenchmarkStore(b *testing.B) {
	for _, n := range []int{16, 64} {
		b.Run(fmt.Sprint("chunks=", n), func(b *testing.B) { benchTransfer(b, n, false) })
	}
}

// BenchmarkRetrieve is the way back.
func BenchmarkRetrieve(b *testing.B) {
	for _, n := range []int{16, 64} {
		b.Run(fmt.Sprint("chunks=", n), func(b *testing.B) { benchTransfer(b, n, true) })
	}
}

// resident is a bed with a prompt of n chunks in the cache, of 256 tokens each.
func resident(b testing.TB, n int) (*bed, []int32) {
	b.Helper()
	t := newBed(b, 256, gpu.Shape{Layers: 1, Blocks: n, BlockTokens: 256, Heads: 1, HeadSize: 2, DType: "int8"}, int64(n+16)*4096)
	prompt := tokens(1, n*256)
	s := t.session()
	t.done(t.w.Store(b.Context(), s, prompt, table(span(0, n)...), nil))
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	return t, prompt
}

// benchLookup looks resident chunks up, in a new session each time or in one that
// has hashed the prompt, and gives them back.
func benchLookup(b *testing.B, n int, cold bool) {
	t, prompt := resident(b, n)
	defer t.shut()
	s := t.session()
	s.Lookup(b.Context(), prompt)
	b.ReportAllocs()
	for b.Loop() {
		if cold {
			b.StopTimer()
			if err := s.Close(); err != nil {
				b.Fatal(err)
			}
			s = t.session()
			b.StartTimer()
		}
		got, err := s.Lookup(b.Context(), prompt).Chunks(b.Context())
		if err != nil || got != n {
			b.Fatalf("%d chunks, %v", got, err)
		}
	}
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkLookup finds resident chunks of 256 tokens; "hashed" also gives back
// what the lookup before it had leased.
func BenchmarkLookup(b *testing.B) {
	for _, n := range []int{16, 512} {
		b.Run(fmt.Sprintf("chunks=%d/cold", n), func(b *testing.B) { benchLookup(b, n, true) })
		b.Run(fmt.Sprintf("chunks=%d/hashed", n), func(b *testing.B) { benchLookup(b, n, false) })
	}
}
