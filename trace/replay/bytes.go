package replay

import (
	"encoding/binary"
	"hash/fnv"

	"github.com/lmcache-go/lmcache/storage/kv"
)

// pattern is the bytes of one object: 64-bit words of a sequence that begins at a
// number derived from the key.
type pattern uint64

func patternOf(k *kv.Key, seed uint64) pattern {
	h := fnv.New64a()
	canonical, err := k.AppendCanonical(nil)
	if err != nil { // a recording has valid keys only
		canonical = k.Hash.Append(nil)
	}
	h.Write(canonical)
	return pattern(h.Sum64() ^ seed*0x9e3779b97f4a7c15)
}

// word is the i-th word.
func (p pattern) word(i int) uint64 {
	x := uint64(p) + uint64(i)*0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

func (p pattern) fill(b []byte) {
	n := len(b) / 8
	for i := range n {
		binary.LittleEndian.PutUint64(b[8*i:], p.word(i))
	}
	for i := 8 * n; i < len(b); i++ {
		b[i] = byte(p.word(n) >> (8 * (i - 8*n)))
	}
}

// check is the offset of the first wrong byte; -1 if there is none.
func (p pattern) check(b []byte) int {
	n := len(b) / 8
	for i := range n {
		if binary.LittleEndian.Uint64(b[8*i:]) == p.word(i) {
			continue
		}
		for j := 8 * i; ; j++ {
			if b[j] != byte(p.word(i)>>(8*(j-8*i))) {
				return j
			}
		}
	}
	for i := 8 * n; i < len(b); i++ {
		if b[i] != byte(p.word(n)>>(8*(i-8*n))) {
			return i
		}
	}
	return -1
}
