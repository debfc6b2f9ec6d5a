package top

import (
	"math"
	"strconv"
)

// Number is a measured value; one that is not known is not a number, which JSON has as
// null.
type Number float64

// none is a value that is not known.
var none = Number(math.NaN())

// Known tells whether n is a number.
func (n Number) Known() bool { return !math.IsNaN(float64(n)) }

// MarshalJSON writes counts in full and other numbers with six digits.
func (n Number) MarshalJSON() ([]byte, error) {
	v := float64(n)
	switch {
	case math.IsNaN(v) || math.IsInf(v, 0):
		return []byte("null"), nil
	case v == math.Trunc(v) && math.Abs(v) < 1<<53:
		return strconv.AppendFloat(nil, v, 'f', 0, 64), nil
	}
	return strconv.AppendFloat(nil, v, 'g', 6, 64), nil
}

// ratio is a over b; not a number if b is 0.
func ratio(a, b float64) Number {
	if b == 0 {
		return none
	}
	return Number(a / b)
}

// over is a rate: nothing is known of it without time.
func over(increase, seconds float64) Number { return ratio(increase, seconds) }
