package gpu

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
)

// ErrSelfTest says that a backend has copied wrong bytes.
var ErrSelfTest = errors.New("gpu: self-test")

// Scratch memory of a self-test: so many blocks and layers show all that strides
// can do, one block and layer beside the others included.
const (
	scratchBlocks = 3
	scratchLayers = 2
)

// SelfTest copies a pattern with a backend, out of and into scratch tensors that
// lie as those of p do, but for the number of blocks and layers, and compares
// every byte. It reads and writes no tensor of p, opens a stream of its own, and
// waits for it until ctx ends. An error that wraps ErrSelfTest says that bytes
// were wrong, and where; one that wraps errors.ErrUnsupported that b is no
// Allocator, so that nothing was tested. p must be valid.
func SelfTest(ctx context.Context, b Backend, p *Paged) (err error) {
	a, ok := b.(Allocator)
	if !ok {
		return fmt.Errorf("gpu: self-test of %s, which gives out no memory: %w", b.Device(), errors.ErrUnsupported)
	}
	s, err := b.NewStream(Normal)
	if err != nil {
		return fmt.Errorf("gpu: self-test: %w", err)
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	for i := range p.Groups {
		if err := selfTest(ctx, a, s, &p.Groups[i]); err != nil {
			return fmt.Errorf("group %d: %w", i, err)
		}
	}
	return nil
}

// selfTest is the test of one group.
func selfTest(ctx context.Context, a Allocator, s Stream, g *Group) (err error) {
	var frees []func() error
	defer func() {
		for _, free := range frees {
			err = errors.Join(err, free())
		}
	}()
	scratch, err := g.scratch().Group(func(bytes int64) (Tensor, error) {
		t, free, err := a.Alloc(bytes)
		if err == nil {
			frees = append(frees, free)
		}
		return t, err
	})
	if err != nil {
		return err
	}
	t := tester{ctx: ctx, mem: a, stream: s, paged: &Paged{Groups: []Group{scratch}}, seed: 1}
	return t.run()
}

// scratch is the shape of a group with a few blocks and layers of g.
func (g *Group) scratch() Shape {
	s := Shape{
		Format: g.Format, Layers: min(g.LayerCount(), scratchLayers), Blocks: min(g.Blocks, scratchBlocks),
		BlockTokens: g.BlockTokens, Heads: g.Heads, HeadSize: g.HeadSize, DType: g.DType, HostStrides: g.HostStrides,
	}
	if s.HostStrides == (Strides{}) || s.Blocks == g.Blocks {
		return s
	}
	// The steps are those of the host. Only those that stride over all blocks
	// shrink with their number, or the scratch would be as large as the cache.
	f, _ := g.Format.format()
	steps := &s.HostStrides
	extent := int64(g.HeadSize)
	var outer []axis
	for a := planeAxis; a <= headAxis; a++ {
		switch step := *steps.along(a); {
		case a == blockAxis:
			extent += int64(s.Blocks-1) * step
		case step > int64(g.Blocks-1)*steps.Block:
			outer = append(outer, a)
		default:
			extent += int64(f.count(g, a)-1) * step
		}
	}
	slices.SortStableFunc(outer, func(a, b axis) int { return cmp.Compare(*steps.along(a), *steps.along(b)) })
	for _, a := range outer {
		*steps.along(a) = extent
		extent *= int64(f.count(g, a))
	}
	return s
}

// tester is a self-test of one group.
type tester struct {
	ctx    context.Context //nolint:containedctx // of the one call that makes the tester
	mem    Allocator
	stream Stream
	paged  *Paged
	seed   uint32
	images [][]byte // what the tensors should hold
}

func (t *tester) run() error {
	g := &t.paged.Groups[0]
	for _, l := range g.Layers {
		image := t.pattern(l.Bytes())
		t.images = append(t.images, image)
		if err := t.mem.Upload(l, 0, image); err != nil {
			return fmt.Errorf("gpu: self-test: %w", err)
		}
	}
	// The last block, nothing, the first: a block in between stays as it is.
	blocks := []BlockID{BlockID(g.Blocks - 1), NoBlock}
	if g.Blocks > 1 {
		blocks = append(blocks, 0)
	}
	want := make([]byte, g.Bytes(len(blocks)))
	t.rows(blocks, func(object, tensor []byte) { copy(object, tensor) }, want)
	got := t.pattern(int64(len(want)))
	t.stream.Gather(got, t.paged, 0, blocks)
	if err := t.stream.Record().Wait(t.ctx); err != nil {
		return fmt.Errorf("gpu: self-test: gather: %w", err)
	}
	if err := differ("gather: object", got, want); err != nil {
		return err
	}
	object := t.pattern(int64(len(want)))
	t.rows(blocks, func(object, tensor []byte) { copy(tensor, object) }, object)
	t.stream.Scatter(object, t.paged, 0, blocks)
	if err := t.stream.Record().Wait(t.ctx); err != nil {
		return fmt.Errorf("gpu: self-test: scatter: %w", err)
	}
	for i, l := range g.Layers {
		got := make([]byte, l.Bytes())
		if err := t.mem.Download(got, l, 0); err != nil {
			return fmt.Errorf("gpu: self-test: %w", err)
		}
		if err := differ(fmt.Sprintf("scatter: tensor %d", i), got, t.images[i]); err != nil {
			return err
		}
	}
	return nil
}

// rows calls f with the bytes of each head of each slot that has a block, in an
// object and in a tensor's image.
func (t *tester) rows(blocks []BlockID, f func(object, tensor []byte), object []byte) {
	g := &t.paged.Groups[0]
	strides, size := g.Strides(), int64(g.DType.Size())
	slots, row := len(blocks)*g.SlotsPerBlock(), int64(g.HeadSize)*size
	for plane := range g.Planes() {
		for layer := range g.LayerCount() {
			image := t.images[strides.Tensor(plane, layer)]
			for slot := range slots {
				block := blocks[slot/g.SlotsPerBlock()]
				if block == NoBlock {
					continue
				}
				for head := range g.Heads {
					at := g.Offset(slots, plane, layer, slot, head, 0) * size
					in := strides.Element(plane, layer, int(block), slot%g.SlotsPerBlock(), head, 0) * size
					f(object[at:][:row], image[in:][:row])
				}
			}
		}
	}
}

// pattern is n bytes that follow from the seed and the calls before (xorshift32).
func (t *tester) pattern(n int64) []byte {
	p := make([]byte, n)
	for i := range p {
		t.seed ^= t.seed << 13
		t.seed ^= t.seed >> 17
		t.seed ^= t.seed << 5
		p[i] = byte(t.seed >> 8)
	}
	return p
}

// differ is the error of the first byte that is wrong.
func differ(what string, got, want []byte) error {
	if bytes.Equal(got, want) {
		return nil
	}
	i := 0
	for got[i] == want[i] {
		i++
	}
	return fmt.Errorf("%w: %s: byte %d of %d is %#02x, want %#02x", ErrSelfTest, what, i, len(got), got[i], want[i])
}
