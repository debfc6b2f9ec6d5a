package cli

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Bytes is the value of a flag that is a size. A plain number is in the unit
// of the flag's tag ("GiB"; without one, bytes); a number may also carry its
// own unit: 512MiB, 64GiB, 1.5TiB.
type Bytes int64

// unitSize is the number of bytes in a unit of size.
func unitSize(unit string) (float64, bool) {
	switch strings.ToLower(unit) {
	case "", "b":
		return 1, true
	case "kib":
		return 1 << 10, true
	case "mib":
		return 1 << 20, true
	case "gib":
		return 1 << 30, true
	case "tib":
		return 1 << 40, true
	}
	return 0, false
}

// parseBytes reads a size; plain numbers are in the given unit.
func parseBytes(text, unit string) (Bytes, error) {
	text = strings.TrimSpace(text)
	digits := strings.TrimRight(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
	suffix := text[len(digits):]
	if strings.EqualFold(suffix, "inf") || strings.EqualFold(suffix, "nan") || digits == "" {
		return 0, fmt.Errorf("must be a size such as 64GiB or a number, got %s", quote(text))
	}
	if suffix == "" {
		suffix = unit
	}
	scale, ok := unitSize(suffix)
	if !ok {
		return 0, fmt.Errorf("unknown unit %s in %s (KiB, MiB, GiB and TiB are known)", quote(suffix), quote(text))
	}
	v, err := strconv.ParseFloat(strings.TrimSpace(digits), 64)
	if err != nil || math.IsNaN(v) {
		return 0, fmt.Errorf("must be a size such as 64GiB or a number, got %s", quote(text))
	}
	if v *= scale; math.Abs(v) >= 1<<62 {
		return 0, fmt.Errorf("is too large: %s", quote(text))
	}
	return Bytes(math.Round(v)), nil
}

// ParseBytes reads a size as a flag with this unit does.
func ParseBytes(text, unit string) (Bytes, error) { return parseBytes(text, unit) }

// String writes b in the largest unit that it reaches, with at most two decimals.
func (b Bytes) String() string {
	for _, unit := range []string{"TiB", "GiB", "MiB", "KiB"} {
		if scale, _ := unitSize(unit); math.Abs(float64(b)) >= scale {
			return strconv.FormatFloat(math.Round(float64(b)/scale*100)/100, 'f', -1, 64) + " " + unit
		}
	}
	return strconv.FormatInt(int64(b), 10) + " bytes"
}
