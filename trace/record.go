package trace

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/lmcache-go/lmcache/storage"
)

// Record is one frame behind the header. What its methods return is its own; they
// must be called before the next record is read, whose bytes take the place of
// this one's.
type Record struct {
	Mono float64 // seconds since the recording began, by the monotonic clock
	Wall float64 // Unix time in seconds
	Name string  // qualified name of the call, or a name under OwnPrefix

	args, extra []byte // encoded, of checked structure; extra is nil in the plain format
	d           *decoder
}

// ErrUnknownCall is returned for the arguments of a call whose name means nothing here.
var ErrUnknownCall = errors.New("trace: a call of unknown name")

// decoder is what the records of one input share.
type decoder struct {
	names   names
	layouts layoutsRead
}

func newDecoder() *decoder {
	return &decoder{names: make(names), layouts: make(layoutsRead)}
}

// record reads the body of a frame.
func (d *decoder) record(body []byte) (Record, error) {
	r := Record{d: d}
	c := cursor{b: body}
	n, err := c.mapLen()
	if err != nil {
		return r, err
	}
	const all = 1<<5 - 1
	seen := 0
	for range n {
		key, err := c.key()
		if err != nil {
			return r, err
		}
		bit, err := d.recordField(&c, &r, key)
		if err != nil {
			return r, fmt.Errorf("%s: %w", key, err)
		}
		seen |= bit
	}
	if len(c.b) > 0 {
		return r, fmt.Errorf("%d bytes behind its end", len(c.b))
	}
	if seen != all {
		for i, key := range []string{"type", "t_mono", "t_wall", "qualname", "args"} {
			if seen&(1<<i) == 0 {
				return r, fmt.Errorf("%s: %w", key, errMissing)
			}
		}
	}
	return r, nil
}

var errTime = errors.New("it is not a finite number")

// recordField reads one field and returns the bit of a required one.
func (d *decoder) recordField(c *cursor, r *Record, key []byte) (bit int, err error) {
	var v []byte
	switch string(key) {
	case "type":
		if v, err = c.text(); err == nil && string(v) != "record" {
			err = fmt.Errorf("must be record, got %q", v)
		}
		return 1, err
	case "t_mono":
		if r.Mono, err = c.float(); err == nil && (math.IsNaN(r.Mono) || math.IsInf(r.Mono, 0)) {
			err = errTime
		}
		return 2, err
	case "t_wall":
		r.Wall, err = c.float()
		return 4, err
	case "qualname":
		v, err = c.text()
		r.Name = d.names.of(v)
		return 8, err
	case "args":
		r.args, err = c.rawMap()
		return 16, err
	case "x":
		r.extra, err = c.rawMap()
		return 0, err
	}
	return 0, c.skipValue()
}

// rawMap reads a map within the body of a frame as its bytes.
func (c *cursor) rawMap() ([]byte, error) {
	all := c.b
	if _, err := (&cursor{b: all}).mapLen(); err != nil {
		return nil, err
	}
	err := c.skipValue()
	return all[:len(all)-len(c.b)], err
}

// skipValue skips a value of the body's map.
func (c *cursor) skipValue() error {
	b, err := skip(c.b, 1)
	c.b = b
	return err
}

// Own reports whether the record is one that only the extended format has.
func (r *Record) Own() bool {
	return len(r.Name) >= len(OwnPrefix) && r.Name[:len(OwnPrefix)] == OwnPrefix
}

// Call is the arguments of the call. ErrUnknownCall says that the name means
// nothing, which holds for gaps and ends too; every other error that the arguments
// do not decode.
func (r *Record) Call() (Call, error) {
	c := Call{Call: storage.Call{Name: callName(r.Name), N: storage.NoCall, Owner: storage.NoCall}}
	if !known(c.Name) {
		return c, ErrUnknownCall
	}
	a := arguments{d: r.d, call: &c}
	if err := a.read(r.args); err != nil {
		return c, fmt.Errorf("args: %w", err)
	}
	if r.extra == nil {
		return c, nil
	}
	err := fields(r.extra, func(x *cursor, key string) error { return extraField(x, key, &c) })
	if err != nil {
		return c, fmt.Errorf("x: %w", err)
	}
	return c, nil
}

func known(call string) bool {
	switch call {
	case storage.CallReserveWrite, storage.CallFinishWrite, storage.CallSubmitPrefetch, storage.CallReadEnter,
		storage.CallReadExit, storage.CallFinishRead, storage.CallClear, storage.CallDelete, storage.CallTouch, storage.CallQuota,
		storage.CallRenew:
		return true
	}
	return false
}

// Number is the number of the call; storage.NoCall if the record has none.
func (r *Record) Number() int64 {
	n := storage.NoCall
	_ = fields(r.extra, func(x *cursor, key string) (err error) {
		if key == "n" {
			n, err = x.int()
			return err
		}
		return x.skip()
	})
	return n
}

// Outcomes are the outcomes that arrived since the record before. A plain file has none.
func (r *Record) Outcomes() (list []Outcome, err error) {
	err = fields(r.extra, func(x *cursor, key string) (err error) {
		if key != "o" {
			return x.skip()
		}
		list, err = decodeOutcomes(x)
		return err
	})
	if err != nil {
		return list, fmt.Errorf("x: %w", err)
	}
	return list, nil
}

// Gap reads a gap record; ok is false if it is none.
func (r *Record) Gap() (g Gap, ok bool, err error) {
	if r.Name != NameGap {
		return g, false, nil
	}
	err = fields(r.args, func(x *cursor, key string) (err error) {
		switch key {
		case "count":
			g.Count, err = x.int()
		case "by_op":
			g.ByCall, err = r.d.counts(x)
		default:
			err = x.skip()
		}
		return err
	})
	return g, true, err
}

// counts reads a map of numbers by name.
func (d *decoder) counts(c *cursor) (map[string]int64, error) {
	raw, err := c.raw()
	if err != nil {
		return nil, err
	}
	m := make(map[string]int64)
	err = fields(raw, func(x *cursor, key string) (err error) {
		m[key], err = x.int()
		return err
	})
	return m, err
}

// End reads the last record of a recording that was closed; ok is false if it is
// another one.
func (r *Record) End() (e End, ok bool, err error) {
	if r.Name != NameEnd {
		return e, false, nil
	}
	err = fields(r.args, func(x *cursor, key string) (err error) {
		switch key {
		case "records":
			e.Records, err = x.int()
		case "dropped":
			e.Dropped, err = x.int()
		default:
			err = x.skip()
		}
		return err
	})
	return e, true, err
}

// fields calls f for each entry of an encoded map; nil has none. Keys that are not
// texts are left out with their values.
func fields(raw []byte, f func(value *cursor, key string) error) error {
	if raw == nil {
		return nil
	}
	c := cursor{b: raw}
	n, err := c.mapLen()
	if err != nil {
		return err
	}
	for range n {
		key, err := c.key()
		if err == nil && key == nil {
			err = c.skip()
			if err == nil {
				continue
			}
		}
		if err == nil {
			err = f(&c, string(key))
		}
		if err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
	}
	return nil
}

// sortedKeys are the keys of m in order.
func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
