package l2

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Limits of the JSON of one adapter.
const (
	maxConfigBytes = 1 << 20
	maxConfigDepth = 16
)

// object is a JSON object with the order of its keys.
type object struct {
	values map[string]any
	order  []string
}

// parseObject reads one JSON object. Unlike encoding/json alone it reports keys that
// are there twice, and errors show no values.
func parseObject(text string) (object, error) {
	if len(text) > maxConfigBytes {
		return object{}, fmt.Errorf("the JSON has %d bytes, the limit is %d", len(text), maxConfigBytes)
	}
	dec := json.NewDecoder(strings.NewReader(text))
	dec.UseNumber()
	v, err := parseValue(dec, 0)
	if err != nil {
		return object{}, jsonError(err, dec.InputOffset())
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return object{}, fmt.Errorf("invalid JSON: something follows the object at byte %d", dec.InputOffset())
	}
	o, ok := v.(object)
	if _, list := v.([]any); list {
		return object{}, errors.New("must be a JSON object, got a list: give the flag once for each")
	}
	if !ok {
		return object{}, fmt.Errorf("must be a JSON object, got %s", kindOf(v))
	}
	return o, nil
}

var errConfig = errors.New("invalid JSON")

func jsonError(err error, offset int64) error {
	switch {
	case errors.Is(err, errConfig):
		return err
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("%w: it ends too early, at byte %d", errConfig, offset)
	}
	if e, ok := errors.AsType[*json.SyntaxError](err); ok {
		offset = e.Offset
	}
	return fmt.Errorf("%w near byte %d", errConfig, offset)
}

func parseValue(dec *json.Decoder, depth int) (any, error) {
	if depth > maxConfigDepth {
		return nil, fmt.Errorf("%w: more than %d levels", errConfig, maxConfigDepth)
	}
	token, err := dec.Token()
	if err != nil {
		return nil, err
	}
	switch token {
	case json.Delim('{'):
		return parseMembers(dec, depth)
	case json.Delim('['):
		list := []any{}
		for dec.More() {
			v, err := parseValue(dec, depth+1)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		_, err := dec.Token()
		return list, err
	}
	return token, nil
}

func parseMembers(dec *json.Decoder, depth int) (any, error) {
	o := object{values: map[string]any{}}
	for dec.More() {
		token, err := dec.Token()
		if err != nil {
			return nil, err
		}
		key, ok := token.(string)
		if !ok {
			return nil, fmt.Errorf("%w: a key is not a text", errConfig)
		}
		if _, twice := o.values[key]; twice {
			return nil, fmt.Errorf("%w: key %s is there twice", errConfig, quoted(key))
		}
		v, err := parseValue(dec, depth+1)
		if err != nil {
			return nil, err
		}
		o.values[key] = v
		o.order = append(o.order, key)
	}
	_, err := dec.Token()
	return o, err
}
