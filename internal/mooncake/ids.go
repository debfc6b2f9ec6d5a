package mooncake

import (
	"bytes"
	"errors"
	"fmt"
	"math/bits"
)

// ids reads the ids of blocks: integers from 0 to 2^64−1. encoding/json alone
// would take null for 0, and is slow for long lists of numbers.
type ids []uint64

var errList = errors.New("hash_ids: must be a list of integers")

// UnmarshalJSON is called with a valid JSON value.
func (s *ids) UnmarshalJSON(text []byte) error {
	text = bytes.TrimSpace(text)
	if len(text) < 2 || text[0] != '[' {
		return errList
	}
	list := make(ids, 0, bytes.Count(text, []byte{','})+1)
	for text = text[1:]; ; {
		text = bytes.TrimLeft(text, ", \t\r\n")
		if text[0] == ']' {
			*s = list
			return nil
		}
		n := 0
		for n < len(text) && text[n] != ',' && text[n] != ']' && text[n] > ' ' {
			n++
		}
		id, err := parseID(text[:n])
		if err != nil {
			return fmt.Errorf("hash_ids: entry %d: %w", len(list)+1, err)
		}
		list, text = append(list, id), text[n:]
	}
}

// parseID reads an unsigned integer.
func parseID(text []byte) (uint64, error) {
	n := uint64(0)
	for i, c := range text {
		switch {
		case c == '-' && i == 0:
			return 0, fmt.Errorf("must not be negative, got %.40s", text)
		case c < '0' || c > '9':
			return 0, fmt.Errorf("must be an integer, got %.40s", text)
		}
		hi, lo := bits.Mul64(n, 10)
		sum, carry := bits.Add64(lo, uint64(c-'0'), 0)
		if hi+carry > 0 {
			return 0, fmt.Errorf("must be below 2^64, got %.40s", text)
		}
		n = sum
	}
	return n, nil
}
