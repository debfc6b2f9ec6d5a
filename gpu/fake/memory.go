package fake

import (
	"errors"
	"fmt"

	"github.com/lmcache-go/lmcache/gpu"
)

// ErrMemory says that the device has not enough memory left.
var ErrMemory = errors.New("fake: out of device memory")

// poison is what freed device memory holds.
const poison = 0xDB

// tensor is device memory. Its bytes are reached by streams, under their run
// locks, and by Block.
type tensor struct {
	dev   *Device
	bytes int64
	data  []byte // nil once freed
}

// Bytes is the size of the memory, also after it was freed.
func (t *tensor) Bytes() int64 { return t.bytes }

func (t *tensor) free() {
	fill(t.data, poison)
	t.data = nil
}

func fill(b []byte, v byte) {
	for i := range b {
		b[i] = v
	}
}

// NewPaged allocates a paged cache of one group per shape. Its blocks are zero.
// It lives until Free or Close.
func (d *Device) NewPaged(shapes ...gpu.Shape) (*gpu.Paged, error) {
	p := &gpu.Paged{}
	var made []*tensor
	for i, s := range shapes {
		g, err := s.Group(func(bytes int64) (gpu.Tensor, error) {
			t, err := d.reserve(bytes)
			if err != nil {
				return nil, err
			}
			made = append(made, t)
			return t, nil
		})
		if err != nil {
			d.release(made)
			return nil, fmt.Errorf("fake: group %d: %w", i, err)
		}
		p.Groups = append(p.Groups, g)
	}
	if err := p.Validate(); err != nil {
		return nil, err
	}
	return p, nil
}

func (d *Device) reserve(bytes int64) (*tensor, error) {
	if err := d.admit(Alloc); err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.mu.closing {
		return nil, gpu.ErrClosed
	}
	if limit := d.opts.MemoryBytes; limit > 0 && bytes > limit-d.mu.used {
		return nil, fmt.Errorf("%w: %d bytes wanted, %d of %d in use", ErrMemory, bytes, d.mu.used, limit)
	}
	t := &tensor{dev: d, bytes: bytes, data: make([]byte, bytes)}
	d.mu.used += bytes
	d.mu.tensors[t] = struct{}{}
	return t, nil
}

// release frees tensors that the device still has and returns how many those were.
func (d *Device) release(ts []*tensor) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := 0
	for _, t := range ts {
		if _, ok := d.mu.tensors[t]; !ok {
			continue
		}
		n++
		delete(d.mu.tensors, t)
		d.mu.used -= t.bytes
		t.free()
	}
	return n
}

// Free poisons and frees the memory of p. Copies of p that are queued, and later
// ones, fail with ErrFreed and are violations, as is freeing twice.
func (d *Device) Free(p *gpu.Paged) {
	var ts []*tensor
	for i := range p.Groups {
		for _, l := range p.Groups[i].Layers {
			if t, ok := l.(*tensor); ok && t.dev == d {
				ts = append(ts, t)
			}
		}
	}
	if d.free(ts) < len(ts) {
		d.violate("device memory freed twice")
	}
}

// free is release when no stream is in the middle of a copy.
func (d *Device) free(ts []*tensor) int {
	streams := d.streams(nil)
	for _, s := range streams {
		s.run.Lock()
	}
	n := d.release(ts)
	for _, s := range streams {
		s.run.checked = nil
		s.run.Unlock()
	}
	return n
}

// Block is a test's view of one block in one plane (0 is K, 1 is V) of one layer:
// its slots, heads and head sizes in the order of the group's format, with the
// gaps between them where the group's strides leave any. It is the memory
// itself: to be read and written only while no copy of the block can run, thus
// under Pause, inside a kernel, or when all events have been waited for. It is
// nil, and a violation, for what does not exist or was freed.
func (d *Device) Block(p *gpu.Paged, group, layer, plane int, block gpu.BlockID) []byte {
	if group < 0 || group >= len(p.Groups) {
		d.violate("view of group %d of %d", group, len(p.Groups))
		return nil
	}
	g := &p.Groups[group]
	if layer < 0 || layer >= g.LayerCount() || plane < 0 || plane >= g.Planes() ||
		block < 0 || int(block) >= g.Blocks {
		d.violate("view of block %d, plane %d, layer %d, which group %d has not", block, plane, layer, group)
		return nil
	}
	s := g.Strides()
	t, ok := g.Layers[s.Tensor(plane, layer)].(*tensor)
	if !ok || t.dev != d {
		d.violate("view of memory that is not this device's")
		return nil
	}
	if t.data == nil {
		d.violate("view of memory that was freed")
		return nil
	}
	size := int64(g.DType.Size())
	lo := s.Element(plane, layer, int(block), 0, 0, 0) * size
	hi := (s.Element(plane, layer, int(block), g.SlotsPerBlock()-1, g.Heads-1, g.HeadSize-1) + 1) * size
	return t.data[lo:hi:hi]
}

// Fill writes a pattern into all blocks of p that follows from the seed and
// differs from place to place. It has the order of an object, so groups that
// differ in nothing but Format and strides get equal content. What lies between
// the elements stays. The rules of Block hold.
func (d *Device) Fill(p *gpu.Paged, seed uint64) {
	for i := range p.Groups {
		g := &p.Groups[i]
		strides := g.Strides()
		lie := newGrid(g, &strides)
		pattern := make([]byte, g.BlockBytes())
		for layer := range g.LayerCount() {
			for plane := range g.Planes() {
				for b := range g.Blocks {
					at := seed ^ uint64(i)<<56 ^ uint64(layer)<<40 ^ uint64(plane)<<36 ^ uint64(b)
					scramble(pattern, at)
					if view := d.Block(p, i, layer, plane, gpu.BlockID(b)); view != nil {
						lie.move(Scatter, pattern, view)
					}
				}
			}
		}
	}
}

// scramble fills b with the output of SplitMix64 from the given state.
func scramble(b []byte, state uint64) {
	for i := 0; i < len(b); i += 8 {
		state += 0x9E3779B97F4A7C15
		z := state
		z = (z ^ z>>30) * 0xBF58476D1CE4E5B9
		z = (z ^ z>>27) * 0x94D049BB133111EB
		z ^= z >> 31
		for j := i; j < min(i+8, len(b)); j++ {
			b[j] = byte(z)
			z >>= 8
		}
	}
}
