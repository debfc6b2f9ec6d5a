package cli

import (
	"bytes"
	"encoding/json"
	"math"
	"strconv"
	"strings"
)

// object is a JSON object that keeps the order of its keys.
type object struct{ entries []entry }

type entry struct {
	key   string
	value any
}

func (o *object) add(key string, value any) { o.entries = append(o.entries, entry{key, value}) }

// appendTo adds an element to the list under the key, which is the last one or new.
func (o *object) appendTo(key string, element *object) {
	if n := len(o.entries); n > 0 && o.entries[n-1].key == key {
		if list, ok := o.entries[n-1].value.([]*object); ok {
			o.entries[n-1].value = append(list, element)
			return
		}
	}
	o.add(key, []*object{element})
}

// MarshalJSON implements json.Marshaler.
func (o *object) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, e := range o.entries {
		if i > 0 {
			b.WriteByte(',')
		}
		key, err := marshal(e.key)
		if err != nil {
			return nil, err
		}
		value, err := marshal(jsonValue(e.value))
		if err != nil {
			return nil, err
		}
		b.Write(key)
		b.WriteByte(':')
		b.Write(value)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// number is a float as its digits.
type number string

// MarshalJSON implements json.Marshaler.
func (n number) MarshalJSON() ([]byte, error) { return []byte(n), nil }

// jsonValue rounds floats: to two decimals, or as many as a Fixed says.
func jsonValue(value any) any {
	switch v := value.(type) {
	case float64:
		return rounded(v, 2)
	case float32:
		return rounded(float64(v), 2)
	case Fixed:
		return rounded(v.Value, v.Decimals)
	}
	return value
}

// rounded writes a float with at most the given decimals and at least one, as
// in 2.0; what is not a number becomes null.
func rounded(v float64, decimals int) any {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return nil
	}
	s := strconv.FormatFloat(v, 'f', decimals, 64)
	if strings.Contains(s, ".") {
		s = strings.TrimRight(s, "0")
	} else {
		s += "."
	}
	if strings.HasSuffix(s, ".") {
		s += "0"
	}
	return number(s)
}

// marshal is json.Marshal without the escapes meant for HTML.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimRight(b.Bytes(), "\n"), nil
}

// encode writes a document with an indent of two spaces and a final line break.
// Numbers keep the digits that they were given.
func encode(v any) ([]byte, error) {
	compact, err := marshal(v)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := json.Indent(&b, compact, "", "  "); err != nil {
		return nil, err
	}
	b.WriteByte('\n')
	return b.Bytes(), nil
}
