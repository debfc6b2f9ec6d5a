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
// every byte. It reads and writes no tensor of p and opens a stream of its own.
// An error that wraps ErrSelfTest says that bytes were wrong, and where; one
// that wraps errors.ErrUnsupported that b is no Allocator, or has no memory left
// for it, so that not all was tested. If ctx ends before the device has done its
// work, that is the error; the stream and the scratch then stay with the backend
// until it is closed. p must be valid.
func SelfTest(ctx context.Context, b Backend, p *Paged) (err error) {
	a, ok := b.(Allocator)
	if !ok {
		return fmt.Errorf("gpu: self-test of %s, which gives out no memory: %w", b.Device(), errors.ErrUnsupported)
	}
	s, err := b.NewStream(Normal)
	if err != nil {
		return fmt.Errorf("gpu: self-test: %w", err)
	}
	t := tester{mem: a, stream: s, seed: 1}
	defer func() { err = errors.Join(err, t.close()) }()
	for i := range p.Groups {
		if err := t.run(ctx, &p.Groups[i]); err != nil {
			return fmt.Errorf("group %d: %w", i, err)
		}
	}
	return nil
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

// tester is a self-test under way.
type tester struct {
	mem    Allocator
	stream Stream
	seed   uint32
	busy   bool // the device may still use the scratch

	paged  *Paged // of one group, in scratch memory
	images [][]byte
	frees  []func() error
}

// run tests one group.
func (t *tester) run(ctx context.Context, of *Group) error {
	if err := t.prepare(of); err != nil {
		return err
	}
	g := &t.paged.Groups[0]
	// The last block, nothing, the first: a block in between stays as it is.
	blocks := []BlockID{BlockID(g.Blocks - 1), NoBlock}
	if g.Blocks > 1 {
		blocks = append(blocks, 0)
	}
	want := make([]byte, g.Bytes(len(blocks)))
	t.rows(blocks, func(object, tensor []byte) { copy(object, tensor) }, want)
	got := t.pattern(int64(len(want)))
	t.stream.Gather(got, t.paged, 0, blocks)
	if err := t.wait(ctx); err != nil {
		return fmt.Errorf("gpu: self-test: gather: %w", err)
	}
	if err := differ("gather: object", got, want); err != nil {
		return err
	}
	object := t.pattern(int64(len(want)))
	t.rows(blocks, func(object, tensor []byte) { copy(tensor, object) }, object)
	t.stream.Scatter(object, t.paged, 0, blocks)
	if err := t.wait(ctx); err != nil {
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
	return t.free()
}

// prepare makes scratch tensors with a pattern in them.
func (t *tester) prepare(of *Group) error {
	g, err := of.scratch().Group(func(bytes int64) (Tensor, error) {
		l, free, err := t.mem.Alloc(bytes)
		if err == nil {
			t.frees = append(t.frees, free)
		}
		return l, err
	})
	if err != nil {
		return fmt.Errorf("gpu: self-test: %w: no scratch memory: %w", errors.ErrUnsupported, err)
	}
	t.paged, t.images = &Paged{Groups: []Group{g}}, nil
	for _, l := range g.Layers {
		image := t.pattern(l.Bytes())
		t.images = append(t.images, image)
		if err := t.mem.Upload(l, 0, image); err != nil {
			return fmt.Errorf("gpu: self-test: %w", err)
		}
	}
	return nil
}

// wait waits for what is queued.
func (t *tester) wait(ctx context.Context) error {
	e := t.stream.Record()
	err := e.Wait(ctx)
	if err != nil {
		_, done, _ := e.Done()
		t.busy = !done
	}
	return err
}

// free gives the scratch back.
func (t *tester) free() error {
	var errs []error
	for _, free := range t.frees {
		errs = append(errs, free())
	}
	t.frees = nil
	return errors.Join(errs...)
}

// close frees what the device does not use any more.
func (t *tester) close() error {
	if t.busy {
		return nil
	}
	return errors.Join(t.stream.Close(), t.free())
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
