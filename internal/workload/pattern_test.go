package workload

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/lmcache-go/lmcache/gpu"
	"github.com/lmcache-go/lmcache/gpu/fake"
)

// byteOf is byte n of the row of token i in a plane of a layer, spelt out from the
// package comment, one byte at a time.
func byteOf(seed uint64, tokens []int32, layers, plane, layer, i, n int) byte {
	state := seed*patternP + patternQ
	for _, t := range tokens[:i+1] {
		hi, lo := state>>41, state<<23
		state = ((hi | lo) ^ uint64(uint32(t))) * patternP
	}
	x := state + uint64(plane*layers+layer+1)*patternQ
	y := (x ^ (x >> 32)) * patternR
	key := y ^ (y >> 29)
	var word [8]byte
	binary.LittleEndian.PutUint64(word[:], key+uint64(n/8)*patternS)
	return word[n%8]
}

func newTestCache(t testing.TB, bytesPerToken, chunkTokens, blocks int) *cache {
	t.Helper()
	dev := fake.New(fake.Options{})
	t.Cleanup(func() {
		if err := dev.Close(); err != nil {
			t.Error(err)
		}
		if v := dev.Violations(); len(v) > 0 {
			t.Error(v)
		}
	})
	s := shape(bytesPerToken, chunkTokens)
	s.Blocks = blocks
	c, err := newCache(dev, s)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func randomTokens(seed uint64, n int) []int32 {
	rng := rand.New(rand.NewPCG(seed, 7))
	tokens := make([]int32, n)
	for i := range tokens {
		tokens[i] = rng.Int32()
	}
	return tokens
}

// TestPattern: both the bytes that the computer writes and those that the checker
// expects are the ones of the package comment, for rows of all kinds of widths.
func TestPattern(t *testing.T) {
	const chunkTokens, chunks, seed = 6, 3, 42
	for _, bytesPerToken := range []int{2, 4, 6, 14, 16, 18, 30, 48, 64, 82, 96, 128, 1024} {
		c := newTestCache(t, bytesPerToken, chunkTokens, 2*chunks)
		g := c.group()
		tokens := randomTokens(uint64(bytesPerToken), chunks*chunkTokens)
		blocks := c.pool.take(nil, chunks*chunkTokens/g.BlockTokens)
		computer := computer{cache: c, seed: seed}
		computer.run(tokens)
		computer.fill(0, len(tokens), blocks)

		width := g.Hidden() * g.DType.Size()
		if got := 2 * g.LayerCount() * width; got != bytesPerToken {
			t.Fatalf("%d bytes per token of %d", got, bytesPerToken)
		}
		checker := checker{cache: c, seed: seed}
		before := checker.seed*patternP + patternQ
		for chunk := range chunks {
			before = checker.expect(tokens[chunk*chunkTokens:(chunk+1)*chunkTokens], before)
			var want []byte
			for plane := range 2 {
				for layer := range g.LayerCount() {
					for slot := range chunkTokens {
						i := chunk*chunkTokens + slot
						mem := c.block(layer, plane, blocks[i/g.BlockTokens])[i%g.BlockTokens*width:]
						for n := range width {
							b := byteOf(seed, tokens, g.LayerCount(), plane, layer, i, n)
							want = append(want, b)
							if mem[n] != b {
								t.Fatalf("%d bytes per token: K/V %d, layer %d, token %d, byte %d: computed %#x, want %#x",
									bytesPerToken, plane, layer, i, n, mem[n], b)
							}
						}
					}
				}
			}
			if !bytes.Equal(checker.object, want) {
				t.Fatalf("%d bytes per token, chunk %d: expected %x, want %x", bytesPerToken, chunk, checker.object, want)
			}
		}
		checker.check(tokens, chunks, chunkTokens, blocks, func(d difference) {
			t.Errorf("%d bytes per token: %+v", bytesPerToken, d)
		})
	}
}

// TestCheckFinds: whatever is wrong with the blocks of a chunk is found, in that
// chunk only.
func TestCheckFinds(t *testing.T) {
	const bytesPerToken, chunkTokens, chunks = 64, 6, 4
	c := newTestCache(t, bytesPerToken, chunkTokens, 20)
	g := c.group()
	perChunk := chunkTokens / g.BlockTokens
	tokens := randomTokens(1, chunks*chunkTokens)
	other := append(randomTokens(2, 1), tokens[1:]...) // differs in the first token
	blocks, elsewhere := c.pool.take(nil, chunks*perChunk), c.pool.take(nil, chunks*perChunk)
	fill := func(seed uint64, tokens []int32, blocks []gpu.BlockID) {
		computer := computer{cache: c, seed: seed}
		computer.run(tokens)
		computer.fill(0, len(tokens), blocks)
	}
	swap := func(a, b []byte) {
		for i := range a {
			a[i], b[i] = b[i], a[i]
		}
	}
	// spoil does something to chunk 2 and says at which offset it begins to be wrong.
	type fault struct {
		name   string
		spoil  func()
		offset int // -1: does not matter
	}
	faults := []fault{
		{"wiped", func() { c.wipe(blocks[2*perChunk : 3*perChunk]) }, -1},
		{"K and V exchanged", func() { swap(c.block(0, 0, blocks[2]), c.block(0, 1, blocks[2])) }, 0},
		{"layers exchanged", func() { swap(c.block(0, 0, blocks[2]), c.block(1, 0, blocks[2])) }, 0},
		{"rows exchanged", func() {
			b := c.block(1, 1, blocks[2])
			width := len(b) / g.BlockTokens
			swap(b[2*width:3*width], b[3*width:4*width])
		}, -1},
		{"of another prompt with the same tokens in this chunk", func() {
			fill(1, other, elsewhere)
			copyBlock(c, blocks[2], elsewhere[2])
		}, 0},
		{"of another seed", func() {
			fill(2, tokens, elsewhere)
			copyBlock(c, blocks[2], elsewhere[2])
		}, 0},
		{"of the chunk before", func() { copyBlock(c, blocks[2], blocks[1]) }, 0},
	}
	size := int(g.BlockBytes())
	for offset := range bytesPerToken * chunkTokens {
		faults = append(faults, fault{fmt.Sprintf("a flipped bit of byte %d", offset), func() {
			plane, layer := offset/size/g.LayerCount(), offset/size%g.LayerCount()
			c.block(layer, plane, blocks[2])[offset%size] ^= 1 << (offset % 8)
		}, offset})
	}
	checker := checker{cache: c, seed: 1}
	for _, f := range faults {
		fill(1, tokens, blocks)
		f.spoil()
		var found []difference
		checker.check(tokens, chunks, chunkTokens, blocks, func(d difference) { found = append(found, d) })
		if len(found) != 1 || found[0].chunk != 2 {
			t.Errorf("%s: found %+v, want one in chunk 2", f.name, found)
			continue
		}
		if f.offset >= 0 && found[0].offset != f.offset || found[0].got == found[0].want {
			t.Errorf("%s: found %+v, want offset %d", f.name, found, f.offset)
		}
	}
}

func copyBlock(c *cache, dst, src gpu.BlockID) {
	for plane := range 2 {
		for layer := range c.group().LayerCount() {
			copy(c.block(layer, plane, dst), c.block(layer, plane, src))
		}
	}
}

func TestShape(t *testing.T) {
	for _, tc := range []struct {
		bytesPerToken, chunkTokens               int
		layers, blockTokens, heads, size, dbytes int
	}{
		{2, 512, 1, 64, 1, 1, 1},
		{4, 512, 1, 64, 1, 1, 2},
		{6, 512, 1, 64, 1, 3, 1},
		{64, 512, 2, 64, 2, 4, 2},
		{1024, 512, 4, 64, 2, 32, 2},
		{1 << 20, 256, 4, 64, 2, 32768, 2},
		{1000, 100, 1, 50, 2, 125, 2},
		{64, 61, 2, 61, 2, 4, 2},
		{64, 67, 2, 1, 2, 4, 2}, // a prime that is too large for a block
		{64, 1, 2, 1, 2, 4, 2},
	} {
		s := shape(tc.bytesPerToken, tc.chunkTokens)
		got := []int{s.Layers, s.BlockTokens, s.Heads, s.HeadSize, s.DType.Size()}
		want := []int{tc.layers, tc.blockTokens, tc.heads, tc.size, tc.dbytes}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%d bytes per token, chunks of %d: %v, want %v", tc.bytesPerToken, tc.chunkTokens, got, want)
		}
	}
	for n := 2; n < 5000; n += 2 {
		s := shape(n, 512)
		if got := 2 * s.Layers * s.Heads * s.HeadSize * s.DType.Size(); got != n {
			t.Errorf("%d bytes per token give %d", n, got)
		}
	}
}

func BenchmarkFill(b *testing.B) {
	for _, width := range []int{16, 128} {
		b.Run(fmt.Sprintf("row of %d bytes", width), func(b *testing.B) {
			mem, states := make([]byte, width*maxBlockTokens), make([]uint64, maxBlockTokens)
			b.SetBytes(int64(len(mem)))
			for b.Loop() {
				fill(mem, states, patternQ)
			}
		})
	}
}

func BenchmarkCheck(b *testing.B) {
	for _, bytesPerToken := range []int{64, 1024} {
		b.Run(fmt.Sprintf("%d bytes per token", bytesPerToken), func(b *testing.B) {
			const chunkTokens, chunks = 512, 8
			c := newTestCache(b, bytesPerToken, chunkTokens, chunks*chunkTokens/maxBlockTokens)
			tokens := randomTokens(1, chunks*chunkTokens)
			blocks := c.pool.take(nil, chunks*chunkTokens/maxBlockTokens)
			computer := computer{cache: c, seed: 1}
			computer.run(tokens)
			computer.fill(0, len(tokens), blocks)
			checker := checker{cache: c, seed: 1}
			b.SetBytes(chunks * chunkTokens * int64(bytesPerToken))
			for b.Loop() {
				checker.check(tokens, chunks, chunkTokens, blocks, func(d difference) { b.Error(d) })
			}
		})
	}
}
