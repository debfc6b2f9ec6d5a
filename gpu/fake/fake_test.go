package fake_test

import (
	"slices"
	"testing"

	"github.com/lmcache-go/lmcache/gpu"
	"github.com/lmcache-go/lmcache/gpu/fake"
)

// rig is a device with one small paged cache, and what tests do with both.
type rig struct {
	*fake.Device

	tb    testing.TB
	paged *gpu.Paged
	size  int // bytes of an object of one block
}

// newRig opens a device that is closed with the test. Unless the test has a hook
// of its own, a violation fails it.
func newRig(tb testing.TB, o fake.Options) *rig {
	tb.Helper()
	if o.OnViolation == nil {
		o.OnViolation = func(text string) { tb.Error(text) }
	}
	r := &rig{tb: tb, Device: fake.New(o)}
	tb.Cleanup(func() {
		if err := r.Close(); err != nil {
			tb.Error(err)
		}
	})
	r.paged = r.newPaged()
	r.size = int(r.paged.Groups[0].Bytes(1))
	return r
}

// ignore is a hook for tests that provoke violations and read Violations.
func ignore(string) {}

func (r *rig) newPaged() *gpu.Paged {
	r.tb.Helper()
	p, err := r.NewPaged(gpu.Shape{Layers: 2, Blocks: 8, BlockTokens: 2, Heads: 1, HeadSize: 4, DType: "float16"})
	if err != nil {
		r.tb.Fatal(err)
	}
	r.Fill(p, 1)
	return p
}

func (r *rig) stream() *fake.Stream {
	r.tb.Helper()
	s, err := r.OpenStream(gpu.Normal)
	if err != nil {
		r.tb.Fatal(err)
	}
	return s
}

// gather queues a copy of blocks into a new buffer.
func (r *rig) gather(s gpu.Stream, blocks ...gpu.BlockID) []byte {
	buf := make([]byte, r.size*len(blocks))
	s.Gather(buf, r.paged, 0, blocks)
	return buf
}

// scatter queues a copy of a buffer full of v into blocks.
func (r *rig) scatter(s gpu.Stream, v byte, blocks ...gpu.BlockID) {
	s.Scatter(slices.Repeat([]byte{v}, r.size*len(blocks)), r.paged, 0, blocks)
}

// wait waits for an event and wants no error.
func (r *rig) wait(e gpu.Event) {
	r.tb.Helper()
	if err := e.Wait(r.tb.Context()); err != nil {
		r.tb.Fatal(err)
	}
}

// object returns the object bytes of a block as they are in device memory.
func (r *rig) object(block gpu.BlockID) []byte {
	var all []byte
	for plane := range 2 {
		for layer := range 2 {
			all = append(all, r.Block(r.paged, 0, layer, plane, block)...)
		}
	}
	return all
}

// pending fails the test if the event is done.
func (r *rig) pending(e gpu.Event) {
	r.tb.Helper()
	if _, done, err := e.Done(); done {
		r.tb.Fatalf("event is done, error %v", err)
	}
}

// reached fails the test if the event is not done or has an error.
func (r *rig) reached(e gpu.Event) {
	r.tb.Helper()
	if _, done, err := e.Done(); !done || err != nil {
		r.tb.Fatalf("Done: %v, %v", done, err)
	}
}
