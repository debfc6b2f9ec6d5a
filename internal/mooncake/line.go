package mooncake

import (
	"bytes"
	"encoding/json"
	"errors"
)

// line is a request as it is written. A nil pointer is a key that is missing, or null.
type line struct {
	Timestamp    *int64 // ms
	InputLength  *int64 // tokens
	OutputLength *int64 // tokens
	HashIDs      *ids
}

// UnmarshalJSON is called with a valid JSON value. Unlike encoding/json it takes keys as
// they are written: one of other case is another key, and is skipped as such. Of a key
// that is there twice the last value counts.
func (l *line) UnmarshalJSON(text []byte) error {
	text = bytes.TrimSpace(text)
	if string(text) == "null" {
		return nil
	}
	if text[0] != '{' {
		return json.Unmarshal(text, &struct{}{}) // an error of the kind of text
	}
	for text = after(text, 1); text[0] != '}'; {
		if text[0] == ',' {
			text = after(text, 1)
		}
		n := valueEnd(text)
		key := text[1 : n-1]
		if bytes.IndexByte(key, '\\') >= 0 {
			var plain string
			if err := json.Unmarshal(text[:n], &plain); err != nil {
				return err
			}
			key = []byte(plain)
		}
		text = after(text, n)
		text = after(text, 1) // the colon
		n = valueEnd(text)
		if err := l.set(string(key), text[:n]); err != nil {
			return err
		}
		text = after(text, n)
	}
	return nil
}

// set takes the value of a key.
func (l *line) set(key string, value []byte) error {
	var number **int64
	switch key {
	case "timestamp":
		number = &l.Timestamp
	case "input_length":
		number = &l.InputLength
	case "output_length":
		number = &l.OutputLength
	case "hash_ids":
		l.HashIDs = nil
		if string(value) == "null" {
			return nil
		}
		l.HashIDs = new(ids)
		return l.HashIDs.UnmarshalJSON(value)
	default:
		return nil
	}
	err := json.Unmarshal(value, number)
	if kind, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		kind.Field = key
	}
	return err
}

// after is text behind n bytes and the blanks there.
func after(text []byte, n int) []byte { return bytes.TrimLeft(text[n:], " \t\r\n") }

// valueEnd is the length of the value that valid JSON begins with.
func valueEnd(text []byte) int {
	depth, quoted := 0, false
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case quoted:
			switch c {
			case '\\':
				i++
				continue
			case '"':
				quoted = false
			default:
				continue
			}
		case c == '"':
			quoted = true
			continue
		case c == '[' || c == '{':
			depth++
			continue
		case c == ']' || c == '}':
			if depth == 0 { // of what a number or a word is in
				return i
			}
			depth--
		case depth == 0 && (c == ',' || c == ':' || c <= ' '):
			return i
		default:
			continue
		}
		if depth == 0 {
			return i + 1
		}
	}
	return len(text)
}
