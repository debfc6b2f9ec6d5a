package gputest

import (
	"slices"

	"github.com/lmcache-go/lmcache/gpu"
)

// objectBytes: a gather gives the bytes of the reference, for every shape and for
// lists of any length.
func objectBytes(b *bench) {
	s := b.stream(gpu.Normal)
	for _, shape := range shapes() {
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
	p, _ := b.paged(gpu.Shape{
		Format: gpu.FormatTwoNBBSNHHS, Layers: 2, Blocks: 8, BlockTokens: 8, Heads: 2, HeadSize: 4, DType: "float16",
	})
	const b0, b1 = 6, 3
	// Layer 0, [1, b1, 1, 1, 3]: in its block the element is at (1·2 + 1)·4 + 3.
	data := make([]byte, p.Groups[0].BlockBytes())
	data[2*15], data[2*15+1] = 0xAB, 0xCD
	if err := b.h.Upload(p, 0, 0, 1, b1, data); err != nil {
		b.t.Fatal(err)
	}
	dst := make([]byte, 1024)
	s.Gather(dst, p, 0, []gpu.BlockID{b0, b1})
	b.finish(s)
	if dst[670] != 0xAB || dst[671] != 0xCD {
		b.t.Fatalf("bytes 670 and 671: %x, want abcd", dst[670:672])
	}
}

// roundTrip: what was gathered from some blocks and scattered into others is
// there, for several groups.
func roundTrip(b *bench) {
	out, in := b.stream(gpu.Normal), b.stream(gpu.High)
	src, from := b.paged(shapes()...)
	dst, to := b.paged(shapes()...)
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
	p, models := b.paged(small())
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
	p, models := b.paged(small())
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
	p, models := b.paged(shapes()...)
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
	p, models := b.paged(small())
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
