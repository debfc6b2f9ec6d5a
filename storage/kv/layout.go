package kv

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"math/bits"
	"slices"
	"strconv"
)

// Fingerprint identifies a Layout: the first 16 bytes of SHA-256 over its text
// form. It is a comparable value; the zero Fingerprint belongs to no Layout.
type Fingerprint [16]byte

// String is the lower-case hexadecimal form.
func (f Fingerprint) String() string { return hex.EncodeToString(f[:]) }

// Layout says what the bytes of an object are: one or more tensors back to
// back. It is immutable and may be shared by goroutines; the zero Layout is not
// valid. All objects of one call share one Layout. Two layouts made apart are
// compared with Equal or by Fingerprint, not with ==.
type Layout struct {
	l *layout
}

type layout struct {
	tensors     []Tensor
	size        int64
	fingerprint Fingerprint
}

// Tensor is one of the tensors of an object.
type Tensor struct {
	DType  DType   // short name
	Shape  []int64 // not negative; empty for a single element
	Offset int64   // of its first byte in the object
	Size   int64   // in bytes
}

// NewLayout makes a Layout of tensors back to back; shapes and dtypes run in
// parallel and are copied. Lists that are empty or differ in length, an unknown
// element type, a negative dimension and a size that is zero or does not fit
// 63 bits are errors, reported together.
func NewLayout(shapes [][]int64, dtypes []DType) (Layout, error) {
	if len(shapes) != len(dtypes) {
		return Layout{}, fmt.Errorf("kv: layout: %d shapes for %d element types", len(shapes), len(dtypes))
	}
	if len(shapes) == 0 {
		return Layout{}, errors.New("kv: layout: no tensors")
	}
	l := &layout{tensors: make([]Tensor, len(shapes))}
	var errs []error
	for i, shape := range shapes {
		t := Tensor{Shape: slices.Clone(shape), Offset: l.size}
		var err error
		if t.DType, err = ParseDType(string(dtypes[i])); err != nil {
			errs = append(errs, fmt.Errorf("kv: layout: tensor %d: unknown element type %q", i, dtypes[i]))
			continue
		}
		if t.Size, err = tensorSize(shape, t.DType); err != nil {
			errs = append(errs, fmt.Errorf("kv: layout: tensor %d: %w", i, err))
			continue
		}
		if t.Size > math.MaxInt64-l.size {
			errs = append(errs, fmt.Errorf("kv: layout: tensor %d: the object does not fit 63 bits of bytes", i))
			continue
		}
		l.size += t.Size
		l.tensors[i] = t
	}
	if len(errs) == 0 && l.size == 0 {
		errs = append(errs, errors.New("kv: layout: the object has no bytes"))
	}
	if len(errs) > 0 {
		return Layout{}, errors.Join(errs...)
	}
	sum := sha256.Sum256(l.appendText(nil))
	copy(l.fingerprint[:], sum[:])
	return Layout{l}, nil
}

// RawLayout is the layout of objects of n opaque bytes: one uint8 tensor [n].
func RawLayout(n int64) (Layout, error) {
	return NewLayout([][]int64{{n}}, []DType{Uint8})
}

// tensorSize is product(shape) × the element size.
func tensorSize(shape []int64, d DType) (int64, error) {
	size, over, empty := uint64(d.Size()), false, false
	for _, n := range shape {
		if n < 0 {
			return 0, fmt.Errorf("shape %v has a negative dimension", shape)
		}
		empty = empty || n == 0
		hi, lo := bits.Mul64(size, uint64(n))
		over = over || hi != 0 || lo > math.MaxInt64
		size = lo
	}
	switch {
	case empty:
		return 0, nil
	case over:
		return 0, fmt.Errorf("shape %v does not fit 63 bits of bytes", shape)
	}
	return int64(size), nil
}

func (l *layout) appendText(b []byte) []byte {
	for i, t := range l.tensors {
		if i > 0 {
			b = append(b, ';')
		}
		b = append(append(b, t.DType.Torch()...), '[')
		for j, n := range t.Shape {
			if j > 0 {
				b = append(b, ',')
			}
			b = strconv.AppendInt(b, n, 10)
		}
		b = append(b, ']')
	}
	return b
}

// Size is the logical size of an object in bytes; 0 for the zero Layout.
func (l Layout) Size() int64 {
	if l.l == nil {
		return 0
	}
	return l.l.size
}

// Fingerprint identifies the layout; the zero Layout has the zero Fingerprint.
func (l Layout) Fingerprint() Fingerprint {
	if l.l == nil {
		return Fingerprint{}
	}
	return l.l.fingerprint
}

// IsZero reports whether l is the zero Layout.
func (l Layout) IsZero() bool { return l.l == nil }

// Equal reports whether both layouts describe the same tensors in the same
// order, which is when their fingerprints are equal.
func (l Layout) Equal(o Layout) bool {
	return l.l == o.l || l.Fingerprint() == o.Fingerprint()
}

// String is the text form that the fingerprint is taken of:
// "torch.bfloat16[2,32,256,1024]", tensors joined by ";". The zero Layout gives
// the empty text.
func (l Layout) String() string {
	if l.l == nil {
		return ""
	}
	return string(l.l.appendText(nil))
}

// Tensors are the tensors of an object in order; the caller owns the copy.
func (l Layout) Tensors() []Tensor {
	if l.l == nil {
		return nil
	}
	ts := slices.Clone(l.l.tensors)
	for i := range ts {
		ts[i].Shape = slices.Clone(ts[i].Shape)
	}
	return ts
}

// Shapes are the shapes of the tensors in order; the caller owns the copy.
func (l Layout) Shapes() [][]int64 {
	if l.l == nil {
		return nil
	}
	shapes := make([][]int64, len(l.l.tensors))
	for i, t := range l.l.tensors {
		shapes[i] = slices.Clone(t.Shape)
	}
	return shapes
}

// DTypes are the element types of the tensors in order, by short name; the
// caller owns the copy.
func (l Layout) DTypes() []DType {
	if l.l == nil {
		return nil
	}
	ds := make([]DType, len(l.l.tensors))
	for i, t := range l.l.tensors {
		ds[i] = t.DType
	}
	return ds
}
