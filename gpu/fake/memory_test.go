package fake_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/lmcache-go/lmcache/gpu"
	"github.com/lmcache-go/lmcache/gpu/fake"
)

// TestMemoryLimit: a device gives out what it has and takes it back.
func TestMemoryLimit(t *testing.T) {
	d := newRig(t, fake.Options{MemoryBytes: 1000 + 512}).Device                                     // its own cache takes 512
	shape := gpu.Shape{Layers: 2, Blocks: 10, BlockTokens: 1, Heads: 1, HeadSize: 20, DType: "int8"} // 2 × 400 bytes
	p, err := d.NewPaged(shape)
	if err != nil {
		t.Fatal(err)
	}
	if got := d.Stats().MemoryBytes; got != 512+800 {
		t.Errorf("%d bytes in use, want 1312", got)
	}
	if _, err := d.NewPaged(shape); !errors.Is(err, fake.ErrMemory) {
		t.Errorf("second cache: %v", err)
	}
	shape.Blocks = 5 // 2 × 200: the first tensor fits, and is given back
	if _, err := d.NewPaged(shape); !errors.Is(err, fake.ErrMemory) {
		t.Errorf("third cache: %v", err)
	}
	if got := d.Stats().MemoryBytes; got != 512+800 {
		t.Errorf("%d bytes in use after refusals, want 1312", got)
	}
	d.Free(p)
	if got := d.Stats().MemoryBytes; got != 512 {
		t.Errorf("%d bytes in use after Free, want 512", got)
	}
	if _, err := d.NewPaged(shape); err != nil {
		t.Error(err)
	}
	if _, err := d.NewPaged(); err == nil {
		t.Error("a cache without groups: no error")
	}
	if _, err := d.NewPaged(shape, gpu.Shape{}); err == nil || !strings.Contains(err.Error(), "group 1") {
		t.Errorf("a cache with a bad group: %v", err)
	}
}

// TestFree: freed memory is poisoned, and whoever uses it is told.
func TestFree(t *testing.T) {
	r := newRig(t, fake.Options{OnViolation: ignore})
	s := r.stream()
	p := r.newPaged()
	view := r.Block(p, 0, 1, 1, 7)
	r.Pause()
	s.Gather(make([]byte, r.size), p, 0, []gpu.BlockID{1})
	queued := s.Record()
	r.Free(p)
	r.Resume()
	if err := queued.Wait(t.Context()); !errors.Is(err, fake.ErrFreed) {
		t.Errorf("gather from freed memory: %v", err)
	}
	s.Scatter(make([]byte, r.size), p, 0, []gpu.BlockID{1})
	if err := s.Record().Wait(t.Context()); !errors.Is(err, fake.ErrFreed) {
		t.Errorf("scatter to freed memory: %v", err)
	}
	if !bytes.Equal(view, bytes.Repeat([]byte{0xDB}, len(view))) {
		t.Errorf("freed memory holds %x", view)
	}
	if r.Block(p, 0, 0, 0, 0) != nil {
		t.Error("a view of freed memory")
	}
	r.Free(p)
	wantViolations(t, r.Device,
		"gather: fake: device memory was freed", "scatter: fake: device memory was freed", "memory that was freed", "freed twice")
	r.gather(s, 0)
	r.wait(s.Record())
}

// TestFreeWhileCopying: memory is not taken away from a copy in its middle.
func TestFreeWhileCopying(t *testing.T) {
	r := newRig(t, fake.Options{OnViolation: ignore})
	a, b := r.stream(), r.stream()
	buf := [2][]byte{make([]byte, r.size), make([]byte, r.size)}
	for range 50 {
		p := r.newPaged()
		for range 20 {
			a.Gather(buf[0], p, 0, []gpu.BlockID{1})
			b.Gather(buf[1], p, 0, []gpu.BlockID{2})
		}
		first := a.Record()
		b.Wait(first)
		r.Free(p)
		if err := first.Wait(t.Context()); err != nil && !errors.Is(err, fake.ErrFreed) {
			t.Fatal(err)
		}
	}
}

// TestFill: the pattern follows from the seed and differs from place to place.
func TestFill(t *testing.T) {
	r := newRig(t, fake.Options{})
	seen := map[string]bool{}
	for plane := range 2 {
		for layer := range 2 {
			for b := range gpu.BlockID(8) {
				seen[string(r.Block(r.paged, 0, layer, plane, b))] = true
			}
		}
	}
	if len(seen) != 32 {
		t.Errorf("%d different blocks, want 32", len(seen))
	}
	before := r.object(3)
	r.Fill(r.paged, 2)
	if bytes.Equal(before, r.object(3)) {
		t.Error("two seeds, one pattern")
	}
	r.Fill(r.paged, 1)
	if !bytes.Equal(before, r.object(3)) {
		t.Error("one seed, two patterns")
	}
}

// TestBlockWithGaps: the view of a block reaches from its first element to its last.
func TestBlockWithGaps(t *testing.T) {
	r := newRig(t, fake.Options{})
	p, err := r.NewPaged(gpu.Shape{
		Layers: 1, Blocks: 3, BlockTokens: 2, Heads: 2, HeadSize: 4, DType: "int8",
		HostStrides: gpu.Strides{Plane: 100, Block: 30, Slot: 13, Head: 6},
	})
	if err != nil {
		t.Fatal(err)
	}
	view := r.Block(p, 0, 0, 1, 2)
	if len(view) != 13+6+4 {
		t.Fatalf("view of %d bytes, want 23", len(view))
	}
	view[13+6+3] = 0x7A
	got := make([]byte, 1)
	if err := r.Download(got, p.Groups[0].Layers[0], 100+2*30+13+6+3); err != nil || got[0] != 0x7A {
		t.Errorf("the last element is %#x, error %v", got[0], err)
	}
	r.Fill(p, 1)
	if gap := view[4:6]; !bytes.Equal(gap, []byte{0, 0}) {
		t.Errorf("Fill wrote %x between the elements", gap)
	}
}

// TestAlloc: memory is counted and limited, and only the device's own is reached.
func TestAlloc(t *testing.T) {
	r := newRig(t, fake.Options{MemoryBytes: 512 + 1000}) // its own cache takes 512
	m, free, err := r.Alloc(1000)
	if err != nil {
		t.Fatal(err)
	}
	if got := r.Stats().MemoryBytes; got != 1512 {
		t.Errorf("%d bytes in use, want 1512", got)
	}
	if _, _, err := r.Alloc(1); !errors.Is(err, fake.ErrMemory) {
		t.Errorf("one byte more: %v", err)
	}
	other := newRig(t, fake.Options{})
	if err := other.Upload(m, 0, []byte{1}); !errors.Is(err, fake.ErrBounds) {
		t.Errorf("upload to another device: %v", err)
	}
	for range 2 {
		if err := free(); err != nil {
			t.Error(err)
		}
	}
	if got := r.Stats().MemoryBytes; got != 512 {
		t.Errorf("%d bytes in use after free, want 512", got)
	}
	if err := r.Download(make([]byte, 1), m, 0); !errors.Is(err, fake.ErrFreed) {
		t.Errorf("download of freed memory: %v", err)
	}
	r.Lose()
	if err := r.Upload(r.paged.Groups[0].Layers[0], 0, []byte{1}); !errors.Is(err, fake.ErrLost) {
		t.Errorf("upload to a lost device: %v", err)
	}
}

func TestPin(t *testing.T) {
	r := newRig(t, fake.Options{OnViolation: ignore})
	region := make([]byte, 1<<16)
	unpin, err := r.Pin(region)
	if err != nil {
		t.Fatal(err)
	}
	again, err := r.Pin(region)
	if err != nil {
		t.Fatal(err)
	}
	for _, overlap := range [][]byte{region[100:200], region[1<<16-1:], region[:100]} {
		if _, err := r.Pin(overlap); !errors.Is(err, fake.ErrPinned) {
			t.Errorf("pin of pinned memory: %v", err)
		}
	}
	if _, err := r.Pin(nil); err == nil {
		t.Error("pin of nothing: no error")
	}
	if got := r.Stats().PinnedBytes; got != 1<<16 {
		t.Errorf("%d bytes pinned, want 65536", got)
	}
	for range 2 {
		if err := unpin(); err != nil {
			t.Error(err)
		}
		if got := r.Stats().PinnedBytes; got != 1<<16 {
			t.Errorf("%d bytes pinned after one of two unpins, want 65536", got)
		}
	}
	if err := again(); err != nil {
		t.Error(err)
	}
	if got := r.Stats().PinnedBytes; got != 0 {
		t.Errorf("%d bytes pinned after both unpins", got)
	}
	for _, part := range [][]byte{region[:100], region[100:]} {
		if _, err := r.Pin(part); err != nil {
			t.Error(err)
		}
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	if _, err := r.Pin(region); !errors.Is(err, gpu.ErrClosed) {
		t.Errorf("pin after Close: %v", err)
	}
	wantViolations(t, r.Device, "closed with 65536 bytes of host memory pinned", "pin after close")
}

// wantViolations compares the violations of a device, by a part of each text.
func wantViolations(t *testing.T, d *fake.Device, want ...string) {
	t.Helper()
	got := d.Violations()
	if len(got) != len(want) {
		t.Errorf("violations:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		return
	}
	for i := range want {
		if !strings.Contains(got[i], want[i]) {
			t.Errorf("violation %d: %q, want %q", i, got[i], want[i])
		}
	}
}
