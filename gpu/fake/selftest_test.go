package fake_test

import (
	"context"
	"errors"
	"testing"

	"github.com/lmcache-go/lmcache/gpu"
	"github.com/lmcache-go/lmcache/gpu/fake"
	"github.com/lmcache-go/lmcache/gpu/gputest"
)

// TestREQ_E60_SelfTest: a device that copies right passes in every layout, one that
// exchanges K and V or gets a bit wrong does not, whichever copy it is; memory is
// given back, and the host's is not touched.
func TestREQ_E60_SelfTest(t *testing.T) {
	r := newRig(t, fake.Options{})
	for _, l := range gputest.Layouts() {
		p, err := r.NewPaged(l.Of(gpu.Shape{Layers: 5, Blocks: 9, BlockTokens: 4, Heads: 2, HeadSize: 4, DType: "float16"}))
		if err != nil {
			t.Fatal(err)
		}
		r.Fill(p, 1)
		before, used := content(t, r.Device, &p.Groups[0]), r.Stats()
		if err := gpu.SelfTest(t.Context(), r.Device, p); err != nil {
			t.Errorf("%s: %v", l, err)
		}
		for _, f := range []fake.Fault{
			{Kind: fake.Gather, Effect: fake.Swap},
			{Kind: fake.Scatter, Effect: fake.Swap},
			{Kind: fake.Gather, Effect: fake.Flip},
			{Kind: fake.Scatter, Effect: fake.Flip},
		} {
			if f.Effect == fake.Swap && l.MLA() {
				continue // there is nothing to exchange
			}
			r.Fail(f)
			if err := gpu.SelfTest(t.Context(), r.Device, p); !errors.Is(err, gpu.ErrSelfTest) {
				t.Errorf("%s: wrong %s (effect %d): %v", l, f.Kind, f.Effect, err)
			}
		}
		for _, f := range []fake.Fault{{Kind: fake.Alloc}, {Kind: fake.Open}, {Kind: fake.Gather, Effect: fake.Tear}, {Kind: fake.Scatter}} {
			r.Fail(f)
			if err := gpu.SelfTest(t.Context(), r.Device, p); !errors.Is(err, fake.ErrInjected) || errors.Is(err, gpu.ErrSelfTest) {
				t.Errorf("%s: refused %s: %v", l, f.Kind, err)
			}
		}
		after := content(t, r.Device, &p.Groups[0])
		for i := range p.Groups[0].Layers {
			if string(before.Tensor(i)) != string(after.Tensor(i)) {
				t.Errorf("%s: the cache was changed", l)
			}
		}
		if got := r.Stats(); got.MemoryBytes != used.MemoryBytes || got.Streams != used.Streams {
			t.Errorf("%s: %d bytes and %d streams in use, before it were %d and %d", l, got.MemoryBytes, got.Streams, used.MemoryBytes, used.Streams)
		}
		r.Free(p)
	}
}

// TestSelfTestIsSmall: the scratch does not grow with the cache.
func TestSelfTestIsSmall(t *testing.T) {
	for _, l := range gputest.Layouts() {
		shape := l.Of(gpu.Shape{Layers: 40, Blocks: 5000, BlockTokens: 4, Heads: 2, HeadSize: 4, DType: "float16"})
		g, err := shape.Group(func(n int64) (gpu.Tensor, error) { return sized(n), nil })
		if err != nil {
			t.Fatal(err)
		}
		d := fake.New(fake.Options{MemoryBytes: 2 << 20})
		if err := gpu.SelfTest(t.Context(), d, &gpu.Paged{Groups: []gpu.Group{g}}); err != nil {
			t.Errorf("%s: %v", l, err)
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestSelfTestEnds: it waits no longer than its context, and says so if the backend
// gives out no memory.
func TestSelfTestEnds(t *testing.T) {
	r := newRig(t, fake.Options{})
	if err := gpu.SelfTest(t.Context(), struct{ gpu.Backend }{r.Device}, r.paged); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("a backend without memory: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r.Hang()
	if err := gpu.SelfTest(ctx, r.Device, r.paged); !errors.Is(err, context.Canceled) {
		t.Errorf("a device that hangs: %v", err)
	}
	r.Release()
	if err := gpu.SelfTest(t.Context(), r.Device, r.paged); err != nil {
		t.Errorf("after that: %v", err)
	}
}
