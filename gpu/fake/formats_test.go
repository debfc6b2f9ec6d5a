package fake_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/lmcache-go/lmcache/gpu"
	"github.com/lmcache-go/lmcache/gpu/fake"
	"github.com/lmcache-go/lmcache/gpu/gputest"
)

// object gathers blocks and returns their bytes.
func object(tb testing.TB, s gpu.Stream, p *gpu.Paged, group int, blocks []gpu.BlockID) []byte {
	tb.Helper()
	buf := bytes.Repeat([]byte{0xDB}, int(p.Groups[group].Bytes(len(blocks))))
	s.Gather(buf, p, group, blocks)
	if err := s.Record().Wait(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	return buf
}

// content reads all tensors of a group.
func content(tb testing.TB, d *fake.Device, g *gpu.Group) *gputest.Memory {
	tb.Helper()
	m := gputest.NewMemory(g)
	for i, l := range g.Layers {
		if err := d.Download(m.Tensor(i), l, 0); err != nil {
			tb.Fatal(err)
		}
	}
	return m
}

// TestREQ_E45_EveryFormatGivesTheObject: K/V and MLA, without gaps, with gaps and
// in another order, blocks become the same object bytes, those of the reference,
// and object bytes become the blocks again.
func TestREQ_E45_EveryFormatGivesTheObject(t *testing.T) {
	r := newRig(t, fake.Options{})
	s := r.stream()
	const no = gpu.NoBlock
	lists := [][]gpu.BlockID{{3}, {4, 5, 6}, {9, 0, 1, 7}, {2, no, 3, no, no, 8}, {no}}
	objects := map[bool]map[int][]byte{true: {}, false: {}} // by MLA and list
	for _, l := range gputest.Layouts() {
		shape := l.Of(gpu.Shape{Layers: 3, Blocks: 10, BlockTokens: 6, Heads: 2, HeadSize: 4, DType: "bfloat16"})
		p, err := r.NewPaged(shape, shape)
		if err != nil {
			t.Fatal(err)
		}
		r.Fill(p, 7)
		before := content(t, r.Device, &p.Groups[0])
		for i, blocks := range lists {
			got := object(t, s, p, 0, blocks)
			if !bytes.Equal(got, before.Object(blocks)) {
				t.Errorf("%s, blocks %v: not the bytes of the reference", l, blocks)
			}
			if first, ok := objects[l.MLA()][i]; !ok {
				objects[l.MLA()][i] = got
			} else if !bytes.Equal(got, first) {
				t.Errorf("%s, blocks %v: not the bytes of the format before", l, blocks)
			}
			// And back, into other blocks of the second group.
			others := slices.Clone(blocks)
			for j := range others {
				if others[j] != no {
					others[j] = 9 - others[j]
				}
			}
			want := content(t, r.Device, &p.Groups[1])
			want.Apply(got, others)
			s.Scatter(got, p, 1, others)
			r.wait(s.Record())
			after := content(t, r.Device, &p.Groups[1])
			for j := range p.Groups[1].Layers {
				if !bytes.Equal(after.Tensor(j), want.Tensor(j)) {
					t.Errorf("%s, blocks %v: tensor %d is not what a scatter makes of it", l, others, j)
				}
			}
			if !bytes.Equal(object(t, s, p, 1, others), got) {
				t.Errorf("%s, blocks %v: what was scattered does not come back", l, others)
			}
		}
	}
}

// TestRecordedGeometry has the worked example in full: tensors [2, 8, 8, 2, 4] with
// strides [512, 64, 8, 4, 1]; layer 0, [1, b1, 1, 1, 3] is byte 670 of an object of
// blocks b0 and b1.
func TestRecordedGeometry(t *testing.T) {
	r := newRig(t, fake.Options{})
	for _, strides := range []gpu.Strides{{}, {Plane: 512, Block: 64, Slot: 8, Head: 4}} {
		p, err := r.NewPaged(gpu.Shape{
			Format: gpu.FormatTwoNBBSNHHS, Layers: 2, Blocks: 8, BlockTokens: 8, Heads: 2, HeadSize: 4, DType: "float16", HostStrides: strides,
		})
		if err != nil {
			t.Fatal(err)
		}
		const b0, b1 = 6, 3
		if err := r.Upload(p.Groups[0].Layers[0], 2*(1*512+b1*64+1*8+1*4+3), []byte{0xAB, 0xCD}); err != nil {
			t.Fatal(err)
		}
		want := make([]byte, 1024)
		want[670], want[671] = 0xAB, 0xCD
		if got := object(t, r.stream(), p, 0, []gpu.BlockID{b0, b1}); !bytes.Equal(got, want) {
			t.Errorf("strides %+v: bytes 670 and 671 are %x, want abcd, and all others zero", strides, got[670:672])
		}
	}
}

// TestFaultsInEveryFormat: a flipped bit is one bit of the object, a swap exchanges
// its planes, a torn copy fails.
func TestFaultsInEveryFormat(t *testing.T) {
	r := newRig(t, fake.Options{})
	s := r.stream()
	for _, l := range gputest.Layouts() {
		p, err := r.NewPaged(l.Of(gpu.Shape{Layers: 2, Blocks: 6, BlockTokens: 4, Heads: 2, HeadSize: 4, DType: "float16"}))
		if err != nil {
			t.Fatal(err)
		}
		r.Fill(p, 1)
		blocks := []gpu.BlockID{1, 2, 5}
		want := object(t, s, p, 0, blocks)
		r.Fail(fake.Fault{Effect: fake.Flip})
		differ := 0
		for i, b := range object(t, s, p, 0, blocks) {
			if b != want[i] {
				differ++
			}
		}
		if differ != 1 {
			t.Errorf("%s: %d bytes differ after a flip, want 1", l, differ)
		}
		r.Fail(fake.Fault{Kind: fake.Scatter, Effect: fake.Flip})
		s.Scatter(want, p, 0, blocks)
		differ = 0
		for i, b := range object(t, s, p, 0, blocks) {
			if b != want[i] {
				differ++
			}
		}
		if differ != 1 {
			t.Errorf("%s: %d bytes differ after a flip of a scatter, want 1", l, differ)
		}
		s.Scatter(want, p, 0, blocks)
		r.Fail(fake.Fault{Kind: fake.Gather, Effect: fake.Swap})
		half := len(want) / 2
		if got := object(t, s, p, 0, blocks); !l.MLA() && !bytes.Equal(got, append(slices.Clone(want[half:]), want[:half]...)) {
			t.Errorf("%s: a swap does not exchange the planes", l)
		}
		r.Fail(fake.Fault{Effect: fake.Tear})
		s.Gather(make([]byte, len(want)), p, 0, blocks)
		if err := s.Record().Wait(t.Context()); !errors.Is(err, fake.ErrInjected) {
			t.Errorf("%s: torn copy: %v", l, err)
		}
	}
}

// FuzzCopies: a group that validates is copied within its tensors and as the
// reference says, for any list of blocks.
func FuzzCopies(f *testing.F) {
	f.Add(uint8(0), uint8(1), uint8(3), uint8(2), uint8(2), uint8(4), int64(0), int64(0), int64(0), int64(0), int64(0), []byte{1, 0, 2})
	f.Add(uint8(7), uint8(2), uint8(3), uint8(2), uint8(2), uint8(4), int64(32), int64(96), int64(300), int64(9), int64(4), []byte{1, 255, 1, 0})
	f.Fuzz(func(t *testing.T, format, layers, blocks, tokens, heads, size uint8, plane, layer, block, slot, head int64, ids []byte) {
		formats := gpu.Formats()
		shape := gpu.Shape{
			Format: formats[int(format)%len(formats)], Layers: int(layers % 4), Blocks: int(blocks % 8), BlockTokens: int(tokens % 6),
			Heads: int(heads % 4), HeadSize: int(size % 8), DType: "float16",
			HostStrides: gpu.Strides{Plane: plane, Layer: layer, Block: block, Slot: slot, Head: head},
		}
		var bytesOfAll int64
		if _, err := shape.Group(func(n int64) (gpu.Tensor, error) {
			bytesOfAll += n
			return sized(n), nil
		}); err != nil || bytesOfAll > 1<<20 || len(ids) > 50 {
			return
		}
		d := fake.New(fake.Options{Clock: fake.Virtual, OnViolation: ignore})
		defer func() {
			if err := d.Close(); err != nil {
				t.Error(err)
			}
		}()
		p, err := d.NewPaged(shape)
		if err != nil {
			t.Fatal(err)
		}
		g := &p.Groups[0]
		rng := rand.New(rand.NewPCG(1, uint64(len(ids))))
		for i, l := range g.Layers {
			image := make([]byte, l.Bytes())
			for j := range image {
				image[j] = byte(rng.Uint32())
			}
			if err := d.Upload(g.Layers[i], 0, image); err != nil {
				t.Fatal(err)
			}
		}
		list, bad := []gpu.BlockID{}, false
		seen := map[gpu.BlockID]bool{}
		for _, b := range ids {
			id := gpu.BlockID(int8(b))
			bad = bad || id < gpu.NoBlock || int(id) >= g.Blocks
			if id == gpu.NoBlock || !seen[id] { // what a block that is named twice gets is open
				list = append(list, id)
			}
			seen[id] = true
		}
		s, err := d.NewStream(gpu.Normal)
		if err != nil {
			t.Fatal(err)
		}
		model := content(t, d, g)
		got := make([]byte, g.Bytes(len(list)))
		s.Gather(got, p, 0, list)
		if err := s.Record().Wait(t.Context()); (err != nil) != bad {
			t.Fatalf("gather of %v of %d blocks: %v", list, g.Blocks, err)
		}
		if !bad && !bytes.Equal(got, model.Object(list)) {
			t.Errorf("%+v: gather of %v is not what the reference gives", shape, list)
		}
		for i := range got {
			got[i] = byte(rng.Uint32())
		}
		s.Scatter(got, p, 0, list)
		if err := s.Record().Wait(t.Context()); (err != nil) != bad {
			t.Fatalf("scatter to %v of %d blocks: %v", list, g.Blocks, err)
		}
		if !bad {
			model.Apply(got, list)
		}
		after := content(t, d, g)
		for i := range g.Layers {
			if !bytes.Equal(after.Tensor(i), model.Tensor(i)) {
				t.Errorf("%+v: tensor %d after a scatter to %v is not what the reference says", shape, i, list)
			}
		}
	})
}

// sized is a tensor that is nowhere.
type sized int64

func (s sized) Bytes() int64 { return int64(s) }
