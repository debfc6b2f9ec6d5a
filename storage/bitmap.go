package storage

import (
	"math/bits"
	"slices"
)

// Bitmap is a set of positions [0, Len). The zero value is empty. It is not
// changed after it was handed out.
type Bitmap struct {
	words []uint64
	n     int
}

// NewBitmap returns a bitmap of n positions, none of them set.
func NewBitmap(n int) Bitmap { return Bitmap{words: make([]uint64, (n+63)/64), n: n} }

// Len is the number of positions.
func (b Bitmap) Len() int { return b.n }

// Has reports whether position i is set.
func (b Bitmap) Has(i int) bool {
	return i >= 0 && i < b.n && b.words[i/64]&(1<<(i%64)) != 0
}

// Set sets position i.
func (b Bitmap) Set(i int) { b.words[i/64] |= 1 << (i % 64) }

// SetPrefix sets the positions [0, n).
func (b Bitmap) SetPrefix(n int) {
	for w := range n / 64 {
		b.words[w] = ^uint64(0)
	}
	if n%64 > 0 {
		b.words[n/64] |= 1<<(n%64) - 1
	}
}

// or adds the positions of another bitmap of the same length.
func (b Bitmap) or(o Bitmap) Bitmap {
	for i, w := range o.words {
		b.words[i] |= w
	}
	return b
}

// Count is the number of positions that are set.
func (b Bitmap) Count() int {
	n := 0
	for _, w := range b.words {
		n += bits.OnesCount64(w)
	}
	return n
}

// last is the position behind the last one that is set.
func (b Bitmap) last() int {
	for i, w := range slices.Backward(b.words) {
		if w != 0 {
			return i*64 + 64 - bits.LeadingZeros64(w)
		}
	}
	return 0
}

// Prefix is the number of leading positions that are set.
func (b Bitmap) Prefix() int {
	for i, w := range b.words {
		if w != ^uint64(0) {
			return min(i*64+bits.TrailingZeros64(^w), b.n)
		}
	}
	return b.n
}

// AppendBytes appends the positions as bytes, position 0 as the lowest bit of the
// first one: (Len+7)/8 of them.
func (b Bitmap) AppendBytes(dst []byte) []byte {
	for i := range (b.n + 7) / 8 {
		dst = append(dst, byte(b.words[i/8]>>(i%8*8)))
	}
	return dst
}

// BitmapOf reads the first n positions of what AppendBytes writes. Bytes that are
// missing have no position set; n must not be negative.
func BitmapOf(bytes []byte, n int) Bitmap {
	b := NewBitmap(n)
	for i := range min(n, 8*len(bytes)) {
		if bytes[i/8]&(1<<(i%8)) != 0 {
			b.Set(i)
		}
	}
	return b
}
