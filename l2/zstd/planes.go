package zstd

import (
	"encoding/binary"

	"github.com/lmcache-go/lmcache/storage/kv"
)

// flat tells whether all elements of a layout have one byte, so that it is its own
// planes.
func flat(tensors []kv.Tensor) bool {
	for _, t := range tensors {
		if t.DType.Size() > 1 {
			return false
		}
	}
	return true
}

// split writes the byte planes of src, an object of these tensors, to dst of the
// same length.
func split(dst, src []byte, tensors []kv.Tensor) {
	for _, t := range tensors {
		d, s := dst[t.Offset:t.Offset+t.Size], src[t.Offset:t.Offset+t.Size]
		switch width := t.DType.Size(); width {
		case 1:
			copy(d, s)
		case 2:
			split2(d, s)
		default:
			n := len(s) / width
			for k := range width {
				plane := d[k*n : (k+1)*n]
				for i := range plane {
					plane[i] = s[i*width+k]
				}
			}
		}
	}
}

// join is the inverse of split.
func join(dst, src []byte, tensors []kv.Tensor) {
	for _, t := range tensors {
		d, s := dst[t.Offset:t.Offset+t.Size], src[t.Offset:t.Offset+t.Size]
		switch width := t.DType.Size(); width {
		case 1:
			copy(d, s)
		case 2:
			join2(d, s)
		default:
			n := len(s) / width
			for k := range width {
				for i, b := range s[k*n : (k+1)*n] {
					d[i*width+k] = b
				}
			}
		}
	}
}

const (
	bytes8  = 0x00ff00ff00ff00ff
	bytes16 = 0x0000ffff0000ffff
	bytes32 = 0x00000000ffffffff
)

// split2 is split for elements of two bytes, four at a time.
func split2(dst, src []byte) {
	n := len(src) / 2
	low, high := dst[:n], dst[n:2*n]
	i := 0
	for ; i+4 <= n; i += 4 {
		v := binary.LittleEndian.Uint64(src[2*i:])
		binary.LittleEndian.PutUint32(low[i:], narrow(v))
		binary.LittleEndian.PutUint32(high[i:], narrow(v>>8))
	}
	for ; i < n; i++ {
		low[i], high[i] = src[2*i], src[2*i+1]
	}
}

// join2 is the inverse of split2.
func join2(dst, src []byte) {
	n := len(dst) / 2
	low, high := src[:n], src[n:2*n]
	i := 0
	for ; i+4 <= n; i += 4 {
		v := widen(binary.LittleEndian.Uint32(low[i:])) | widen(binary.LittleEndian.Uint32(high[i:]))<<8
		binary.LittleEndian.PutUint64(dst[2*i:], v)
	}
	for ; i < n; i++ {
		dst[2*i], dst[2*i+1] = low[i], high[i]
	}
}

// narrow keeps bytes 0, 2, 4 and 6.
func narrow(v uint64) uint32 {
	v &= bytes8
	v = (v | v>>8) & bytes16
	return uint32(v | v>>16)
}

// widen is the inverse of narrow, with zeros between the bytes.
func widen(v uint32) uint64 {
	w := uint64(v) & bytes32
	w = (w | w<<16) & bytes16
	return (w | w<<8) & bytes8
}
