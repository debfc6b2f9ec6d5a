package mooncake

import "slices"

// Tokens appends the tokens of r's prompt to dst and returns it. They depend on
// nothing but the ids and the places in their blocks: the same ids give the same
// tokens, in every request. Blocks of different ids below 2^31 differ in every
// token; other blocks differ within their first three tokens. All tokens are at
// least 0 and below 2^31. blockTokens is that of Read.
func Tokens(dst []int32, r Request, blockTokens int) []int32 {
	n := len(dst)
	dst = slices.Grow(dst, r.InputLength)[:n+r.InputLength]
	for _, id := range r.HashIDs {
		end := min(n+blockTokens, len(dst))
		block(dst[n:end], id)
		n = end
	}
	return dst
}

const (
	tokenBits = 31
	tokenMask = 1<<tokenBits - 1
	spread    = 0x2545F491 // odd, so multiplying permutes the numbers below 2^31
	stride    = 0x3C6EF372 // between neighbouring tokens of a block
)

// block fills dst with the tokens of one block: token p is
// spread·low + stride·p + part mod 2^31, where low is the id's lowest 31 bits and
// part is 0, its next 31 bits, or the rest, by p mod 3.
func block(dst []int32, id uint64) {
	a := uint32(id&tokenMask) * spread
	b := a + uint32(id>>tokenBits&tokenMask)
	c := a + uint32(id>>(2*tokenBits))
	for ; len(dst) >= 3; dst = dst[3:] {
		dst[0] = int32(a & tokenMask)
		dst[1] = int32((b + stride) & tokenMask)
		dst[2] = int32((c + 2*stride) & tokenMask)
		a, b, c = a+3*stride, b+3*stride, c+3*stride
	}
	rest := [...]uint32{a, b + stride}
	for i := range dst {
		dst[i] = int32(rest[i] & tokenMask)
	}
}
