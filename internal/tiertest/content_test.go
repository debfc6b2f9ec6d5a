package tiertest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/lmcache-go/lmcache/storage/kv"
)

// seedOf is a number that belongs to a key with a layout.
func seedOf(k kv.Key, l kv.Layout) uint64 {
	fp := l.Fingerprint()
	b := k.Hash.Append(fp[:])
	h := uint64(14695981039346656037)
	for _, c := range append(append(b, k.Salt...), byte(k.Rank), byte(k.Group)) {
		h = (h ^ uint64(c)) * 1099511628211
	}
	return h
}

// fill writes the bytes that an object of this key and layout has. No two objects have
// the same. Some shrink well, some as the values of a cache do, some not at all.
func fill(b []byte, k kv.Key, l kv.Layout) {
	c := content{seed: seedOf(k, l)}
	var block [blockSize]byte
	for at := 0; at < len(b); at += blockSize {
		c.next(&block)
		copy(b[at:], block[:])
	}
}

const blockSize = 4096

// content gives the bytes of an object, block by block.
type content struct {
	seed uint64
	at   uint64 // of the next block, in words
}

// next is the next block. The race detector need not see it: nobody else has the block,
// whose bytes it sees on their way into the buffer.
//
//go:norace
func (c *content) next(b *[blockSize]byte) {
	kind := c.seed % 4
	for i := 0; i < blockSize; i += 8 {
		c.at++
		w := c.seed + c.at*0x9e3779b97f4a7c15 // splitmix64
		w = (w ^ w>>30) * 0xbf58476d1ce4e5b9
		w = (w ^ w>>27) * 0x94d049bb133111eb
		w ^= w >> 31
		switch kind {
		case 0: // 16-bit floats between 1 and 2 in size
			w = w&0x80ff80ff80ff80ff | 0x3f003f003f003f00
		case 1: // long runs
			w = (c.seed ^ (c.at-1)>>6) * 0x0101010101010101
		default:
		}
		binary.LittleEndian.PutUint64(b[i:], w)
	}
}

// differs says where b is not what the object has; empty: nowhere. scratch is used
// for comparison.
func differs(b []byte, k kv.Key, l kv.Layout, scratch *[]byte) string {
	if int64(len(b)) != l.Size() {
		return fmt.Sprintf("%v has %d bytes, want %d", k, len(b), l.Size())
	}
	if cap(*scratch) < len(b) {
		*scratch = make([]byte, len(b))
	}
	want := (*scratch)[:len(b)]
	fill(want, k, l)
	if bytes.Equal(b, want) {
		return ""
	}
	for i := range b {
		if b[i] != want[i] {
			return fmt.Sprintf("%v of %d bytes: byte %d is %#x, want %#x", k, len(b), i, b[i], want[i])
		}
	}
	return ""
}

// numbered is the key of a number.
func numbered(model, salt string, n uint64) kv.Key {
	var h [32]byte
	binary.BigEndian.PutUint64(h[:], n*0x9e3779b97f4a7c15)
	binary.BigEndian.PutUint64(h[8:], n)
	return kv.Key{Hash: kv.Hash32(h), Model: model, Salt: salt, Rank: 0x01000100}
}

func rawLayout(t testing.TB, n int64) kv.Layout {
	t.Helper()
	l, err := kv.RawLayout(n)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// newLayout is tensors of these element types, one after the other, of n elements each.
func newLayout(t testing.TB, n int64, types ...kv.DType) kv.Layout {
	t.Helper()
	shapes := make([][]int64, len(types))
	for i := range shapes {
		shapes[i] = []int64{n}
	}
	l, err := kv.NewLayout(shapes, types)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// one chooses one of a list.
func one[T any](rng *rand.Rand, list ...T) T { return list[rng.IntN(len(list))] }

// The bytes of an object are nobody else's, and a difference is seen wherever it is.
func TestContent(t *testing.T) {
	var scratch []byte
	layouts := []kv.Layout{rawLayout(t, 64), newLayout(t, 32, kv.BFloat16), newLayout(t, 8, kv.Float32, kv.Float32), rawLayout(t, 1001)}
	for n := range uint64(200) {
		l := layouts[n%uint64(len(layouts))]
		for _, salt := range []string{"", "t"} {
			k := numbered("m", salt, n)
			b := make([]byte, l.Size())
			fill(b, k, l)
			if d := differs(b, k, l, &scratch); d != "" {
				t.Fatal(d)
			}
			if differs(b, numbered("m", salt, n+1), l, &scratch) == "" || differs(b, numbered("m", salt+"u", n), l, &scratch) == "" {
				t.Fatalf("object %d has the bytes of another", n)
			}
			b[int(n)%len(b)] ^= 1
			if differs(b, k, l, &scratch) == "" {
				t.Fatalf("object %d: a flipped bit is not seen", n)
			}
		}
	}
	k := numbered("m", "", 5)
	b := make([]byte, 64)
	fill(b, k, layouts[0])
	for _, l := range layouts[1:3] {
		if differs(b, k, l, &scratch) == "" {
			t.Errorf("layout %v has the bytes of another of the same size", l)
		}
	}
}
