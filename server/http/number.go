package httpserver

import (
	"bytes"
	"encoding/json"
)

// decimal is a number that is never written as a whole one, so that clients that tell
// the two apart print it alike: 2.0, not 2.
type decimal float64

// MarshalJSON writes the number.
func (d decimal) MarshalJSON() ([]byte, error) {
	b, err := json.Marshal(float64(d))
	if err == nil && !bytes.ContainsAny(b, ".e") {
		b = append(b, ".0"...)
	}
	return b, err
}

// gib is bytes per GB, as LMCache counts them.
const gib = 1 << 30

func inGB(bytes int64) decimal { return decimal(float64(bytes) / gib) }
