package workload

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"slices"

	"github.com/lmcache-go/lmcache/gpu"
)

// checker knows what the object of a chunk must be and compares the device's
// blocks with it. It is for one request at a time.
type checker struct {
	cache  *cache
	seed   uint64
	object []byte   // that is expected
	keys   []uint64 // states of the chunk's tokens
}

// difference is the first wrong byte of a chunk.
type difference struct {
	chunk  int
	offset int // in the object
	got    byte
	want   byte
}

// check compares the first chunks of a prompt, of size tokens each, with the
// blocks that cover the prompt from token 0, and reports each chunk that differs.
func (c *checker) check(tokens []int32, chunks, size int, blocks []gpu.BlockID, report func(difference)) {
	before := c.seed*patternP + patternQ
	perChunk := size / c.cache.group().BlockTokens
	for chunk := range chunks {
		before = c.expect(tokens[chunk*size:(chunk+1)*size], before)
		if d, differs := c.compare(blocks[chunk*perChunk : (chunk+1)*perChunk]); differs {
			d.chunk = chunk
			report(d)
		}
	}
}

// expect builds the object of a chunk whose tokens come after a prefix with the
// state before, element (plane, layer, slot, h) at
// ((plane·layers + layer)·slots + slot)·hidden + h. It returns the state after it.
func (c *checker) expect(tokens []int32, before uint64) (after uint64) {
	g := c.cache.group()
	slots, layers := len(tokens), g.LayerCount()
	width := g.Hidden() * g.DType.Size()
	c.keys = c.keys[:0]
	for slot := range slots {
		before = patternP * (uint64(tokens[slot]) ^ bits.RotateLeft64(before, 23))
		c.keys = append(c.keys, before)
	}
	c.object = slices.Grow(c.object[:0], g.Planes()*layers*slots*width)[:g.Planes()*layers*slots*width]
	whole := width / wordBytes * wordBytes
	for at := range g.Planes() * layers { // at = plane·layers + layer
		stir := patternQ * uint64(at+1)
		for slot, x := range c.keys {
			x += stir
			y := patternR * (x ^ x>>32)
			key := y ^ y>>29
			row := c.object[(at*slots+slot)*width:][:width]
			for n := 0; n < whole; n += wordBytes {
				binary.LittleEndian.PutUint64(row[n:], key+patternS*uint64(n/wordBytes))
			}
			for n := whole; n < width; n++ {
				row[n] = byte((key + patternS*uint64(n/wordBytes)) >> (n % wordBytes * 8))
			}
		}
	}
	return before
}

// compare looks for the first byte of the object that the blocks hold differently.
func (c *checker) compare(blocks []gpu.BlockID) (_ difference, differs bool) {
	g := c.cache.group()
	piece := int(g.BlockBytes())
	for at := 0; at < len(c.object); at += piece {
		n := at / piece // (plane·layers + layer)·blocks + block
		block, n := n%len(blocks), n/len(blocks)
		layer, plane := n%g.LayerCount(), n/g.LayerCount()
		got, want := c.cache.block(layer, plane, blocks[block]), c.object[at:at+piece]
		if bytes.Equal(got, want) {
			continue
		}
		for i := range want {
			if got[i] != want[i] {
				return difference{offset: at + i, got: got[i], want: want[i]}, true
			}
		}
	}
	return difference{}, false
}
