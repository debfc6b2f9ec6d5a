package workload

import (
	"encoding/binary"

	"github.com/lmcache-go/lmcache/gpu"
	"github.com/lmcache-go/lmcache/internal/invariants"
)

// computer stands for the model: it fills blocks with the state of tokens. It is
// for one request at a time.
type computer struct {
	cache  *cache
	seed   uint64
	states []uint64 // by token
}

// fill fills the blocks of the tokens [from, to) of the prompt that was run. Blocks
// cover the prompt from token 0; from and to are at their limits.
func (c *computer) fill(from, to int, blocks []gpu.BlockID) {
	g := c.cache.group()
	size := g.BlockTokens
	for plane := range g.Planes() {
		for layer := range g.LayerCount() {
			row := uint64(plane*g.LayerCount()+layer+1) * patternQ
			for b := from / size; b < to/size; b++ {
				mem := c.cache.block(layer, plane, blocks[b])
				if invariants.Enabled {
					clear(mem) // the write of fill that the race detector sees
				}
				fill(mem, c.states[b*size:(b+1)*size], row)
			}
		}
	}
}

// run computes the states of a prompt.
func (c *computer) run(tokens []int32) {
	c.states = c.states[:0]
	state := c.seed*patternP + patternQ
	for _, t := range tokens {
		state = (state<<23 | state>>41) ^ uint64(t)
		state *= patternP
		c.states = append(c.states, state)
	}
}

// fill writes the rows of one block in one plane of one layer. The race detector would take
// many times as long to look at every single byte: its caller shows it the whole.
//
//go:norace
func fill(mem []byte, states []uint64, row uint64) {
	size := len(mem) / len(states)
	for _, state := range states {
		word := state + row
		word = (word ^ word>>32) * patternR
		word ^= word >> 29
		slot := mem[:size]
		mem = mem[size:]
		for len(slot) >= 4*wordBytes { // the loop below alone takes three times as long
			b := slot[:4*wordBytes]
			second := word + patternS
			third := second + patternS
			fourth := third + patternS
			binary.LittleEndian.PutUint64(b, word)
			binary.LittleEndian.PutUint64(b[wordBytes:], second)
			binary.LittleEndian.PutUint64(b[2*wordBytes:], third)
			binary.LittleEndian.PutUint64(b[3*wordBytes:], fourth)
			word = fourth + patternS
			slot = slot[4*wordBytes:]
		}
		for ; len(slot) >= wordBytes; slot = slot[wordBytes:] {
			binary.LittleEndian.PutUint64(slot, word)
			word += patternS
		}
		for i := range slot {
			slot[i] = byte(word)
			word >>= 8
		}
	}
}
