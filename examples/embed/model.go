package main

import (
	"encoding/binary"
	"hash/fnv"

	"github.com/lmcache-go/lmcache/gpu"
	"github.com/lmcache-go/lmcache/gpu/fake"
)

const (
	modelName   = "tiny"
	layers      = 2
	blockTokens = 16
	headSize    = 8 // bytes of a token in one plane of one layer
)

// tiny stands for a language model. Each token's KV follows from the token and its
// place; the next token follows from all KV before it, so that one wrong byte in a
// block gives another answer.
type tiny struct {
	device *fake.Device
	cache  *gpu.Paged
}

// slot is the KV of the token at a place.
func (m *tiny) slot(blocks []gpu.BlockID, at, layer, plane int) []byte {
	b := m.device.Block(m.cache, 0, layer, plane, blocks[at/blockTokens])
	return b[at%blockTokens*headSize:][:headSize]
}

// compute fills the KV of the tokens from a place on.
func (m *tiny) compute(blocks []gpu.BlockID, tokens []int32, from int) {
	for at := from; at < len(tokens); at++ {
		for layer := range layers {
			for plane := range 2 {
				v := uint64(tokens[at])<<32 | uint64(at)<<8 | uint64(layer)<<4 | uint64(plane)
				binary.LittleEndian.PutUint64(m.slot(blocks, at, layer, plane), v*0x9E3779B97F4A7C15)
			}
		}
	}
}

// next is the token that follows n tokens.
func (m *tiny) next(blocks []gpu.BlockID, n int) int32 {
	h := fnv.New32a()
	for at := range n {
		for layer := range layers {
			for plane := range 2 {
				_, _ = h.Write(m.slot(blocks, at, layer, plane)) // never fails
			}
		}
	}
	return int32(h.Sum32() % 1000)
}
