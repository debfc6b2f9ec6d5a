package kv

import (
	"fmt"
	"strings"
)

// DType is an element type by its short name ("bfloat16"). A name with the
// "torch." prefix means the same and is accepted wherever a DType is read;
// ParseDType and NewLayout reduce it to the short form.
type DType string

// The element types that an object may consist of.
const (
	Int64        DType = "int64"
	Float64      DType = "float64"
	Int32        DType = "int32"
	Float32      DType = "float32"
	Int16        DType = "int16"
	Float16      DType = "float16"
	BFloat16     DType = "bfloat16"
	Int8         DType = "int8"
	Uint8        DType = "uint8"
	Bool         DType = "bool"
	Float8E4M3FN DType = "float8_e4m3fn"
	Float8E5M2   DType = "float8_e5m2"
)

const torchPrefix = "torch."

// ParseDType reads a name with or without the "torch." prefix and returns the
// short form.
func ParseDType(name string) (DType, error) {
	if DType(name).Size() == 0 {
		return "", fmt.Errorf("kv: unknown element type %q", name)
	}
	return DType(strings.TrimPrefix(name, torchPrefix)), nil
}

// Size is the number of bytes of one element, 0 if the type is unknown.
func (d DType) Size() int {
	switch DType(strings.TrimPrefix(string(d), torchPrefix)) {
	case Int64, Float64:
		return 8
	case Int32, Float32:
		return 4
	case Int16, Float16, BFloat16:
		return 2
	case Int8, Uint8, Bool, Float8E4M3FN, Float8E5M2:
		return 1
	default:
		return 0
	}
}

// Torch is the name with the "torch." prefix, the form that is written out.
func (d DType) Torch() string {
	if strings.HasPrefix(string(d), torchPrefix) {
		return string(d)
	}
	return torchPrefix + string(d)
}
