package fake_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/lmcache-go/lmcache/gpu"
	"github.com/lmcache-go/lmcache/gpu/fake"
)

// objects is a working set well beyond the caches: objects of 2 MiB, each of four
// scattered blocks of 16 tokens in 32 planes, so of 128 pieces of 16 KiB.
type objects struct {
	dev    *fake.Device
	paged  *gpu.Paged
	bufs   [][]byte
	blocks [][]gpu.BlockID
}

const (
	objectBytes  = 2 << 20
	objectBlocks = 4
)

func newObjects(tb testing.TB, shape gpu.Shape) *objects {
	tb.Helper()
	w := &objects{dev: fake.New(fake.Options{})}
	tb.Cleanup(func() {
		if err := w.dev.Close(); err != nil {
			tb.Error(err)
		}
	})
	var err error
	w.paged, err = w.dev.NewPaged(shape)
	if err != nil {
		tb.Fatal(err)
	}
	w.dev.Fill(w.paged, 1)
	ids := rand.New(rand.NewPCG(1, 1)).Perm(256)
	for i := range 64 {
		w.bufs = append(w.bufs, make([]byte, objectBytes))
		var blocks []gpu.BlockID
		for _, id := range ids[i*objectBlocks:][:objectBlocks] {
			blocks = append(blocks, gpu.BlockID(id))
		}
		w.blocks = append(w.blocks, blocks)
	}
	return w
}

// objectShape is the shape of objects in a format, and one with gaps between the
// slots.
func objectShape(f gpu.Format, padded bool) gpu.Shape {
	s := gpu.Shape{Format: f, Layers: 16, Blocks: 256, BlockTokens: 16, Heads: 4, HeadSize: 128, DType: "bfloat16"}
	if f == gpu.FormatNBBSHS || f == gpu.FormatNBBSOneHS {
		s.Layers, s.Heads, s.HeadSize = 32, 1, 512
	}
	if padded {
		s.HostStrides = gpu.Strides{Plane: 256 * 16 * 640, Block: 16 * 640, Slot: 640, Head: 128}
	}
	return s
}

// plain copies what a Gather or Scatter of object i copies, with nothing around
// the copying but the loop.
func (w *objects) plain(kind fake.Kind, views [][][]byte, i int) {
	g := &w.paged.Groups[0]
	n := int(g.BlockBytes())
	buf := w.bufs[i]
	for _, plane := range views {
		for _, b := range w.blocks[i] {
			if kind == fake.Gather {
				copy(buf[:n], plane[b][:n])
			} else {
				copy(plane[b][:n], buf[:n])
			}
			buf = buf[n:]
		}
	}
}

// views returns the blocks of each plane of each layer, in object order.
func (w *objects) views() [][][]byte {
	g := &w.paged.Groups[0]
	var views [][][]byte
	for plane := range g.Planes() {
		for layer := range g.LayerCount() {
			var blocks [][]byte
			for b := range g.Blocks {
				blocks = append(blocks, w.dev.Block(w.paged, 0, layer, plane, gpu.BlockID(b)))
			}
			views = append(views, blocks)
		}
	}
	return views
}

// benchmarkCopies runs rounds of copies with one event behind them, in turn with
// plain copies of the same pieces. x_copy is the speed as a part of theirs.
func benchmarkCopies(b *testing.B, shape gpu.Shape, kind fake.Kind, perEvent int) {
	b.Helper()
	w := newObjects(b, shape)
	s, err := w.dev.NewStream(gpu.Normal)
	if err != nil {
		b.Fatal(err)
	}
	views := w.views()
	var streamed, plain time.Duration
	next := 0
	b.SetBytes(int64(perEvent) * objectBytes)
	b.ReportAllocs()
	for b.Loop() {
		start := time.Now()
		for i := range perEvent {
			at := (next + i) % len(w.bufs)
			if kind == fake.Gather {
				s.Gather(w.bufs[at], w.paged, 0, w.blocks[at])
			} else {
				s.Scatter(w.bufs[at], w.paged, 0, w.blocks[at])
			}
		}
		if err := s.Record().Wait(b.Context()); err != nil {
			b.Fatal(err)
		}
		streamed += time.Since(start)
		b.StopTimer()
		next = (next + perEvent) % len(w.bufs)
		start = time.Now()
		for i := range perEvent {
			w.plain(kind, views, (next+i)%len(w.bufs))
		}
		plain += time.Since(start)
		next = (next + perEvent) % len(w.bufs)
		b.StartTimer()
	}
	b.ReportMetric(float64(plain)/float64(streamed), "x_copy")
}

func BenchmarkGather(b *testing.B) {
	shape := objectShape(gpu.FormatTwoNBBSNHHS, false)
	b.Run("1", func(b *testing.B) { benchmarkCopies(b, shape, fake.Gather, 1) })
	b.Run("16", func(b *testing.B) { benchmarkCopies(b, shape, fake.Gather, 16) })
}

func BenchmarkScatter(b *testing.B) {
	shape := objectShape(gpu.FormatTwoNBBSNHHS, false)
	b.Run("1", func(b *testing.B) { benchmarkCopies(b, shape, fake.Scatter, 1) })
	b.Run("16", func(b *testing.B) { benchmarkCopies(b, shape, fake.Scatter, 16) })
}

// BenchmarkFormats is the same for each format. Heads before tokens means rows of
// 256 bytes, gaps between slots rows of 1 KiB, all else blocks of 16 KiB.
func BenchmarkFormats(b *testing.B) {
	for _, kind := range []fake.Kind{fake.Gather, fake.Scatter} {
		for _, f := range gpu.Formats() {
			b.Run(kind.String()+"/"+string(f), func(b *testing.B) { benchmarkCopies(b, objectShape(f, false), kind, 4) })
		}
		b.Run(kind.String()+"/padded", func(b *testing.B) {
			benchmarkCopies(b, objectShape(gpu.FormatTwoNBBSNHHS, true), kind, 4)
		})
	}
}

// BenchmarkQueue is the cost of one copy of two blocks of 1 KiB to the caller and
// the device together, without waiting for each.
func BenchmarkQueue(b *testing.B) {
	d := fake.New(fake.Options{})
	b.Cleanup(func() {
		if err := d.Close(); err != nil {
			b.Error(err)
		}
	})
	p, err := d.NewPaged(gpu.Shape{Layers: 1, Blocks: 8, BlockTokens: 4, Heads: 1, HeadSize: 64, DType: "float16"})
	if err != nil {
		b.Fatal(err)
	}
	s, err := d.NewStream(gpu.Normal)
	if err != nil {
		b.Fatal(err)
	}
	g := &p.Groups[0]
	buf, blocks := make([]byte, g.Bytes(2)), []gpu.BlockID{5, 2}
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		s.Gather(buf, p, 0, blocks)
		if n++; n%256 == 0 {
			if err := s.Record().Wait(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	}
}
