package trace

import (
	"fmt"
	"slices"

	"github.com/tinylib/msgp/msgp"
)

// A value that is more than plain data is wrapped: a map of its tag, under "__t__",
// and of its payload, under "v".
const tagKey = "__t__"

// knownTag reports whether a tag has a meaning.
func knownTag(tag string) bool {
	switch tag {
	case "ObjectKey", "MemoryLayoutDesc", "PrefetchHandle", "torch.Size", "torch.dtype", "tuple", "set",
		"PrefetchTaskSpec", "GroupedObjectKeys", "PrefetchLockMode", "TrimPolicy", "PrefetchMode",
		"AttnWindowDesc", "PrefetchRequestSpec":
		return true
	}
	return false
}

func errTag(tag []byte) error { return fmt.Errorf("trace.codecs: unknown tag '%s'", tag) }

// tag reads the tag of a wrapper and stands at its payload then; without a wrapper
// it is empty and nothing is read.
func (c *cursor) tag() ([]byte, error) {
	if msgp.NextType(c.b) != msgp.MapType {
		return nil, nil
	}
	in := *c
	n, err := in.mapLen()
	if err != nil || n != 2 {
		return nil, err
	}
	var tag []byte
	from, to := -1, 0 // the payload in c.b
	for range n {
		key, err := in.key()
		if err != nil {
			return nil, err
		}
		switch string(key) {
		case tagKey:
			if tag, err = in.text(); err != nil {
				return nil, fmt.Errorf("%s: %w", tagKey, err)
			}
		case "v":
			from = len(c.b) - len(in.b)
			if err = in.skip(); err != nil {
				return nil, err
			}
			to = len(c.b) - len(in.b)
		default:
			return nil, nil
		}
	}
	if tag == nil || from < 0 {
		return nil, nil
	}
	if !knownTag(string(tag)) {
		return nil, errTag(tag)
	}
	// The payload comes last as it is written. Where it does not, it is moved there, in
	// a copy of all that is left, which is made once.
	if end := len(c.b) - len(in.b); to < end {
		if tag = slices.Clone(tag); !c.own {
			c.b, c.own = slices.Clone(c.b), true
		}
		copy(c.b[end-(to-from):end], c.b[from:to])
		from = end - (to - from)
	}
	c.b = c.b[from:]
	return tag, nil
}

// unwrap reads the tag of a wrapper, which must be want.
func (c *cursor) unwrap(want string) error {
	tag, err := c.tag()
	if err == nil && string(tag) != want {
		err = fmt.Errorf("must be a %s, got tag '%s'", want, tag)
	}
	return err
}

// untuple takes the wrapper of a list away, if there is one.
func (c *cursor) untuple() error {
	tag, err := c.tag()
	if err != nil {
		return err
	}
	switch string(tag) {
	case "", "tuple", "set", "torch.Size":
		return nil
	}
	return fmt.Errorf("must be a list, got tag '%s'", tag)
}

// name reads a text that may be wrapped as the name of a member or an element type.
func (c *cursor) name() ([]byte, error) {
	tag, err := c.tag()
	if err != nil {
		return nil, err
	}
	switch string(tag) {
	case "", "TrimPolicy", "PrefetchMode", "PrefetchLockMode", "torch.dtype":
		return c.text()
	}
	return nil, fmt.Errorf("must be a name, got tag '%s'", tag)
}

// skipTagged skips a value of which nothing is needed, but whose tags must be known.
func (c *cursor) skipTagged() error {
	if _, err := c.tag(); err != nil {
		return err
	}
	var n int
	var err error
	switch msgp.NextType(c.b) { //nolint:exhaustive // the rest has no parts
	case msgp.MapType:
		n, err = c.mapLen()
		n *= 2
	case msgp.ArrayType:
		n, err = c.listLen()
	default:
		return c.skip()
	}
	for range n {
		if err != nil {
			return err
		}
		err = c.skipTagged()
	}
	return err
}
