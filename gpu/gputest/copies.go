package gputest

import (
	"slices"

	"github.com/lmcache-go/lmcache/gpu"
)

// objectBytes: a gather gives the bytes of the reference, for every shape and for
// lists of any length.
func objectBytes(b *bench) {
	s := b.stream(gpu.Normal)
	for _, shape := range b.shapes() {
		b.run(name(shape), func(b *bench) {
			p, models := b.paged(shape)
			g := &p.Groups[0]
			for n := range min(shape.Blocks, 6) + 1 {
				blocks := b.table(g, n)
				dst := b.random(g.Bytes(n))
				s.Gather(dst, p, 0, blocks)
				b.finish(s)
				b.equal("gathered", dst, models[0].Object(blocks))
			}
			b.check(p, 0, models[0])
		})
	}
}

// recordedShape: two layers of two heads of four 2-byte elements in blocks of 8
// tokens; one element is followed by hand through a chunk of two blocks.
func recordedShape(b *bench) {
	s := b.stream(gpu.Normal)
	p, err := b.h.NewPaged(b.layout.Of(gpu.Shape{Layers: 2, Blocks: 8, BlockTokens: 8, Heads: 2, HeadSize: 4, DType: "float16"}))
	if err != nil {
		b.t.Fatal(err)
	}
	const b0, b1 = 6, 3
	// Plane 1, layer 0, slot 9, head 1, d 3: of K and V it is at ((1·2 + 0)·16 + 9)·8 + 1·4 + 3.
	plane, head, d, at := 1, 1, 3, 670
	if b.layout.MLA() { // of a latent of 8 elements at (0·16 + 9)·8 + 7
		plane, head, d, at = 0, 0, 7, 158
	}
	m := NewMemory(&p.Groups[0])
	copy(m.Element(plane, 0, b1, 1, head, d), []byte{0xAB, 0xCD})
	b.upload(&p.Groups[0], m)
	dst := b.random(int64(1024) / int64(2/p.Groups[0].Planes()))
	s.Gather(dst, p, 0, []gpu.BlockID{b0, b1})
	b.finish(s)
	want := make([]byte, len(dst))
	want[at], want[at+1] = 0xAB, 0xCD
	b.equal("gathered", dst, want)
}

// sameObject: what an object holds does not depend on the layout that it comes
// from or goes to, among those with the same number of planes.
func sameObject(b *bench) {
	s := b.stream(gpu.Normal)
	var shapes []gpu.Shape
	for _, l := range Layouts() {
		if l.MLA() == b.layout.MLA() {
			other := *b
			other.layout = l
			shapes = append(shapes, other.small())
		}
	}
	p, models := b.paged(append([]gpu.Shape{b.small()}, shapes...)...)
	blocks, others := b.table(&p.Groups[0], 5), b.table(&p.Groups[0], 5)
	object := b.random(p.Groups[0].Bytes(5))
	s.Scatter(object, p, 0, blocks)
	for i := range p.Groups {
		got := b.random(int64(len(object)))
		if i > 0 { // by way of this layout
			s.Gather(got, p, 0, blocks)
			s.Scatter(got, p, i, others)
			models[i].Apply(object, others)
			b.finish(s)
			b.scramble(got)
			s.Gather(got, p, i, others)
		} else {
			models[i].Apply(object, blocks)
			s.Gather(got, p, i, blocks)
		}
		b.finish(s)
		b.equal("object of "+name(shapes[max(0, i-1)]), got, object)
		b.check(p, i, models[i])
	}
}

// roundTrip: what was gathered from some blocks and scattered into others is
// there, for several groups.
func roundTrip(b *bench) {
	out, in := b.stream(gpu.Normal), b.stream(gpu.High)
	src, from := b.paged(b.shapes()...)
	dst, to := b.paged(b.shapes()...)
	for i := range src.Groups {
		g := &src.Groups[i]
		for range 3 {
			n := 1 + b.rng.IntN(g.Blocks)
			blocks, others := b.table(g, n), b.table(g, n)
			buf := b.random(g.Bytes(n))
			out.Gather(buf, src, i, blocks)
			b.finish(out)
			in.Scatter(buf, dst, i, others)
			b.finish(in)
			to[i].Apply(from[i].Object(blocks), others)
		}
	}
	for i := range src.Groups {
		b.check(src, i, from[i])
		b.check(dst, i, to[i])
	}
}

// noBlock: a gather zero-fills, a scatter skips.
func noBlock(b *bench) {
	const no = gpu.NoBlock
	s := b.stream(gpu.Normal)
	p, models := b.paged(b.small())
	g := &p.Groups[0]
	for _, blocks := range [][]gpu.BlockID{
		{no},
		{no, no, no},
		{no, no, 4, 5},
		{4, 5, no, no},
		{4, no, 5, 6, no, no, 0},
		{0, no, 1},
	} {
		buf := b.random(g.Bytes(len(blocks)))
		s.Gather(buf, p, 0, blocks)
		b.finish(s)
		b.equal("gathered", buf, models[0].Object(blocks))

		b.scramble(buf)
		s.Scatter(buf, p, 0, blocks)
		b.finish(s)
		models[0].Apply(buf, blocks)
		b.check(p, 0, models[0])
	}
}

// repeatedBlocks: a gather may name a block more than once, also in the middle of
// blocks that follow each other.
func repeatedBlocks(b *bench) {
	s := b.stream(gpu.Normal)
	p, models := b.paged(b.small())
	g := &p.Groups[0]
	for _, blocks := range [][]gpu.BlockID{
		{3, 3},
		{3, 4, 4, 5},
		{3, 4, 5, 4, 5, 6},
		{7, 6, 7, 8, 7},
		{0, gpu.NoBlock, 0, 1, gpu.NoBlock, 1, 2},
	} {
		buf := b.random(g.Bytes(len(blocks)))
		s.Gather(buf, p, 0, blocks)
		b.finish(s)
		b.equal("gathered", buf, models[0].Object(blocks))
	}
}

// onlyNamed: a scatter changes the blocks that it names and nothing else, in no
// group; a gather changes no block and nothing beyond its buffer.
func onlyNamed(b *bench) {
	s := b.stream(gpu.Normal)
	p, models := b.paged(b.shapes()...)
	for range 4 {
		for i := range p.Groups {
			g := &p.Groups[i]
			n := 1 + b.rng.IntN(g.Blocks)
			blocks := b.table(g, n)
			size := g.Bytes(n)
			room := b.random(size + 64)
			before := slices.Clone(room)

			s.Scatter(room[32:32+size], p, i, blocks)
			b.finish(s)
			b.equal("source of a scatter", room, before)
			models[i].Apply(room[32:32+size], blocks)

			s.Gather(room[32:32+size], p, i, b.table(g, n))
			b.finish(s)
			b.equal("bytes before the buffer", room[:32], before[:32])
			b.equal("bytes behind the buffer", room[32+size:], before[32+size:])
		}
	}
	for i := range p.Groups {
		b.check(p, i, models[i])
	}
}

// listsAreCopied: the caller may reuse its list of blocks at once.
func listsAreCopied(b *bench) {
	s := b.stream(gpu.Normal)
	p, models := b.paged(b.small())
	g := &p.Groups[0]
	const copies = 50
	list := make([]gpu.BlockID, 2)
	var got, want [copies][]byte
	for i := range copies {
		copy(list, b.table(g, 2))
		got[i] = b.random(g.Bytes(2))
		want[i] = models[0].Object(list)
		s.Gather(got[i], p, 0, list)
		list[0], list[1] = 0, 0
	}
	b.finish(s)
	for i := range copies {
		b.equal("gathered", got[i], want[i])
	}
}
