package lmcache

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/lmcache-go/lmcache/storage/kv"
)

// converter writes one element of a floating point type as another one, rounded to
// the nearest, ties to even; nil: the types are equal. Types that are not both
// floating point are not converted.
func converter(from, to kv.DType) (func(dst, src []byte), error) {
	if from == to {
		return nil, nil //nolint:nilnil // nothing to do
	}
	read, write := reader(from), writer(to)
	if read == nil || write == nil {
		return nil, fmt.Errorf("lmcache: tensor: %s is not converted to %s", from, to)
	}
	return func(dst, src []byte) { write(dst, read(src)) }, nil
}

// reader reads elements of a floating point type, each of whose values is a float64;
// nil: it is none.
func reader(d kv.DType) func(src []byte) float64 {
	le := binary.LittleEndian
	switch d {
	case kv.Float64:
		return func(src []byte) float64 { return math.Float64frombits(le.Uint64(src)) }
	case kv.Float32:
		return func(src []byte) float64 { return float64(math.Float32frombits(le.Uint32(src))) }
	}
	f, ok := smallFloatOf(d)
	switch {
	case !ok:
		return nil
	case d.Size() == 1:
		return func(src []byte) float64 { return f.decode(uint32(src[0])) }
	default:
		return func(src []byte) float64 { return f.decode(uint32(le.Uint16(src))) }
	}
}

// writer writes elements of a floating point type; nil: it is none.
func writer(d kv.DType) func(dst []byte, v float64) {
	le := binary.LittleEndian
	switch d {
	case kv.Float64:
		return func(dst []byte, v float64) { le.PutUint64(dst, math.Float64bits(v)) }
	case kv.Float32:
		return func(dst []byte, v float64) { le.PutUint32(dst, math.Float32bits(float32(v))) }
	}
	f, ok := smallFloatOf(d)
	switch {
	case !ok:
		return nil
	case d.Size() == 1:
		return func(dst []byte, v float64) { dst[0] = byte(f.encode(v)) }
	default:
		return func(dst []byte, v float64) { le.PutUint16(dst, uint16(f.encode(v))) }
	}
}

// smallFloat is a binary floating point format: a sign, an exponent and a mantissa
// of so many bits.
type smallFloat struct {
	exponent, mantissa int
	finite             bool // no infinity; the one NaN has all bits set
}

func smallFloatOf(d kv.DType) (f smallFloat, ok bool) {
	switch d {
	case kv.Float16:
		return smallFloat{5, 10, false}, true
	case kv.BFloat16:
		return smallFloat{8, 7, false}, true
	case kv.Float8E5M2:
		return smallFloat{5, 2, false}, true
	case kv.Float8E4M3FN:
		return smallFloat{4, 3, true}, true
	default:
		return smallFloat{}, false
	}
}

// least is the exponent of the smallest normal number.
func (f smallFloat) least() int { return 2 - 1<<(f.exponent-1) }

// infinity is the bits of the first number that is too large: infinity, or the NaN of
// a finite format.
func (f smallFloat) infinity() uint32 {
	if f.finite {
		return 1<<(f.exponent+f.mantissa) - 1
	}
	return (1<<f.exponent - 1) << f.mantissa
}

func (f smallFloat) decode(bits uint32) float64 {
	sign := 1.0
	if bits>>(f.exponent+f.mantissa)&1 == 1 {
		sign = -1
	}
	abs := bits & (1<<(f.exponent+f.mantissa) - 1)
	switch {
	case abs == f.infinity() && !f.finite:
		return math.Inf(int(sign))
	case abs >= f.infinity():
		return math.NaN()
	}
	e, m := int(abs>>f.mantissa), float64(abs&(1<<f.mantissa-1))
	if e == 0 {
		return sign * math.Ldexp(m, f.least()-f.mantissa)
	}
	return sign * math.Ldexp(m+float64(uint32(1)<<f.mantissa), f.least()+e-1-f.mantissa)
}

func (f smallFloat) encode(v float64) uint32 {
	sign := uint32(0)
	if math.Signbit(v) {
		sign, v = 1<<(f.exponent+f.mantissa), -v
	}
	switch {
	case v == 0:
		return sign
	case math.IsNaN(v):
		return sign | f.infinity() | 1<<(f.mantissa-1)
	case math.IsInf(v, 1):
		return sign | f.infinity()
	}
	_, e := math.Frexp(v) // v = fraction × 2^e, fraction from 1/2 to 1
	e = max(e-1, f.least())
	// A mantissa that rounds up to the next power of two carries into the exponent.
	n := uint64(math.RoundToEven(math.Ldexp(v, f.mantissa-e))) + uint64(e-f.least())<<f.mantissa
	return sign | uint32(min(n, uint64(f.infinity())))
}
