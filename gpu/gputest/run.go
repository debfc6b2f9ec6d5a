package gputest

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/lmcache-go/lmcache/gpu"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// Run runs the contract, for each Layout and each part on a device of its own.
func Run(t *testing.T, open Opener) {
	t.Helper()
	for _, l := range Layouts() {
		t.Run(l.String(), func(t *testing.T) { RunLayout(t, open, l) })
	}
}

// RunLayout runs the contract for one Layout: enough for a second configuration
// of a device whose copies do not depend on it.
func RunLayout(t *testing.T, open Opener, l Layout) {
	t.Helper()
	for _, part := range []struct {
		name string
		run  func(b *bench)
	}{
		{"ObjectBytes", objectBytes},
		{"ObjectBytesOfARecordedShape", recordedShape},
		{"SameObjectInEveryLayout", sameObject},
		{"RoundTrip", roundTrip},
		{"NoBlock", noBlock},
		{"RepeatedBlocks", repeatedBlocks},
		{"OnlyNamedBlocksChange", onlyNamed},
		{"ListsAreCopied", listsAreCopied},
		{"StreamOrder", streamOrder},
		{"EventOrder", eventOrder},
		{"EventTimes", eventTimes},
		{"EventWait", eventWait},
		{"MemoryIsUsedWhenWorkRuns", usedLate},
		{"ErrorsReachTheEvent", errorsReachTheEvent},
		{"ErrorsOfWaits", errorsOfWaits},
		{"ErrorsOfTheDevice", errorsOfTheDevice},
		{"Allocator", allocator},
		{"SelfTest", selfTest},
		{"Pin", pin},
		{"CloseStream", closeStream},
		{"CloseBackend", closeBackend},
		{"Concurrent", concurrent},
	} {
		t.Run(part.name, func(t *testing.T) {
			h := open(t)
			b := &bench{t: t, h: h, dev: h.Backend(), layout: l, src: rand.NewChaCha8([32]byte{})}
			b.rng = rand.New(b.src)
			t.Cleanup(func() {
				if err := b.dev.Close(); err != nil {
					t.Errorf("close of the backend: %v", err)
				}
			})
			part.run(b)
		})
	}
}

// bench is what the parts of the suite work on.
type bench struct {
	t      *testing.T
	h      Harness
	dev    gpu.Backend
	layout Layout
	src    *rand.ChaCha8
	rng    *rand.Rand
}

// run runs a part of a part on the same device.
func (b *bench) run(name string, part func(b *bench)) {
	b.t.Run(name, func(t *testing.T) {
		sub := *b
		sub.t = t
		part(&sub)
	})
}

const smallBlocks = 12

// small is a shape of several layers with few bytes.
func (b *bench) small() gpu.Shape { return b.smallOf(smallBlocks) }

// smallOf is small with another number of blocks.
func (b *bench) smallOf(blocks int) gpu.Shape {
	return b.layout.Of(gpu.Shape{Layers: 3, Blocks: blocks, BlockTokens: 4, Heads: 2, HeadSize: 8, DType: "bfloat16"})
}

// shapes vary each dimension and the element size.
func (b *bench) shapes() []gpu.Shape {
	var all []gpu.Shape
	for _, s := range []struct {
		layers, blocks, tokens, heads, size int
		dtype                               kv.DType
	}{
		{1, 1, 1, 1, 1, "uint8"},
		{2, 8, 8, 2, 4, "float16"},
		{3, 12, 4, 2, 8, "bfloat16"},
		{1, 40, 16, 1, 3, "float32"},
		{5, 7, 3, 3, 5, "float8_e4m3fn"},
		{2, 5, 1, 4, 2, "float64"},
	} {
		all = append(all, b.layout.Of(gpu.Shape{
			Layers: s.layers, Blocks: s.blocks, BlockTokens: s.tokens, Heads: s.heads, HeadSize: s.size, DType: s.dtype,
		}))
	}
	return all
}

func name(s gpu.Shape) string {
	return fmt.Sprintf("L%d,NB%d,BS%d,NH%d,HS%d,%s", s.Layers, s.Blocks, s.BlockTokens, s.Heads, s.HeadSize, s.DType)
}

// stream opens a stream that is closed with the test.
func (b *bench) stream(p gpu.Priority) gpu.Stream {
	b.t.Helper()
	s, err := b.dev.NewStream(p)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() {
		if err := s.Close(); err != nil {
			b.t.Errorf("close of a stream: %v", err)
		}
	})
	return s
}

// paged allocates a cache with random content and returns what it holds, by group.
func (b *bench) paged(shapes ...gpu.Shape) (*gpu.Paged, []*Memory) {
	b.t.Helper()
	p, err := b.h.NewPaged(shapes...)
	if err != nil {
		b.t.Fatal(err)
	}
	models := make([]*Memory, len(p.Groups))
	for i := range p.Groups {
		models[i] = NewMemory(&p.Groups[i])
		for j := range p.Groups[i].Layers {
			b.scramble(models[i].Tensor(j))
		}
		b.upload(&p.Groups[i], models[i])
	}
	return p, models
}

// upload makes the device's content that of the model.
func (b *bench) upload(g *gpu.Group, m *Memory) {
	b.t.Helper()
	for i, l := range g.Layers {
		if err := b.h.Upload(l, 0, m.Tensor(i)); err != nil {
			b.t.Fatal(err)
		}
	}
}

// check compares a group of the device with what it should hold, gaps included.
func (b *bench) check(p *gpu.Paged, group int, want *Memory) {
	b.t.Helper()
	for i, l := range p.Groups[group].Layers {
		got := make([]byte, l.Bytes())
		if err := b.h.Download(got, l, 0); err != nil {
			b.t.Fatal(err)
		}
		b.equal(fmt.Sprintf("group %d, tensor %d", group, i), got, want.Tensor(i))
	}
}

// random returns n random bytes.
func (b *bench) random(n int64) []byte {
	p := make([]byte, n)
	b.scramble(p)
	return p
}

// scramble fills a buffer with random bytes.
func (b *bench) scramble(p []byte) {
	if _, err := b.src.Read(p); err != nil {
		b.t.Fatal(err)
	}
}

// table returns n different blocks of a group in random order, with runs of
// blocks that follow each other among them.
func (b *bench) table(g *gpu.Group, n int) []gpu.BlockID {
	ids := make([]gpu.BlockID, g.Blocks)
	for i := range ids {
		ids[i] = gpu.BlockID(i)
	}
	for range 3 { // cut the deck, keep runs
		cut := b.rng.IntN(len(ids))
		ids = append(slices.Clone(ids[cut:]), ids[:cut]...)
		i, j := b.rng.IntN(len(ids)), b.rng.IntN(len(ids))
		ids[i], ids[j] = ids[j], ids[i]
	}
	return ids[:n]
}

// finish records an event and waits for it.
func (b *bench) finish(s gpu.Stream) {
	b.t.Helper()
	if err := s.Record().Wait(b.t.Context()); err != nil {
		b.t.Fatal(err)
	}
}

// equal compares buffers.
func (b *bench) equal(what string, got, want []byte) {
	b.t.Helper()
	if bytes.Equal(got, want) {
		return
	}
	i := 0
	for i < min(len(got), len(want)) && got[i] == want[i] {
		i++
	}
	b.t.Fatalf("%s: %d bytes, want %d, first difference at byte %d", what, len(got), len(want), i)
}
