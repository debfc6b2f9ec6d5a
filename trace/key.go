package trace

import (
	"bytes"
	"fmt"

	"github.com/tinylib/msgp/msgp"

	"github.com/lmcache-go/lmcache/storage/kv"
)

// Prefixes of encoded values: a map of two, the tag, and the key of the payload.
const (
	wrapKey    = "\x82\xa5__t__\xa9ObjectKey\xa1v"
	wrapLayout = "\x82\xa5__t__\xb0MemoryLayoutDesc\xa1v"
)

// minKey is the fewest bytes that a key takes: its wrapper, and three fields with a
// hash of one byte, an empty model and a small rank.
const minKey = len(wrapKey) + 1 + 11 + 3 + 11 + 1 + 8 + 1

// keyRoom is about how many bytes a key takes besides its texts.
const keyRoom = 128

// appendKeys appends a list of keys.
func appendKeys(b []byte, keys []kv.Key, args Args) []byte {
	b = msgp.AppendArrayHeader(b, uint32(len(keys)))
	for i := range keys {
		b = appendKey(b, &keys[i], args)
	}
	return b
}

func appendKey(b []byte, k *kv.Key, args Args) []byte {
	fields := byte(3)
	group := k.Group != 0 || args == Args056
	if group {
		fields++
	}
	if k.Salt != "" {
		fields++
	}
	b = append(b, wrapKey...)
	b = append(b, 0x80|fields)
	b = append(b, "\xaachunk_hash\xc4"...)
	b = append(b, byte(k.Hash.Len()))
	b = k.Hash.Append(b)
	b = append(b, "\xaamodel_name"...)
	b = appendText(b, k.Model)
	b = append(b, "\xa7kv_rank"...)
	b = msgp.AppendUint64(b, uint64(k.Rank))
	if group {
		b = append(b, "\xafobject_group_id"...)
		b = msgp.AppendUint64(b, uint64(k.Group))
	}
	if k.Salt != "" {
		b = append(b, "\xaacache_salt"...)
		b = appendText(b, k.Salt)
	}
	return b
}

// keys reads a list of keys.
func (d *decoder) keys(c *cursor) ([]kv.Key, error) {
	if err := c.untuple(); err != nil {
		return nil, err
	}
	n, err := c.listLen()
	if err != nil {
		return nil, err
	}
	keys := make([]kv.Key, 0, min(n, len(c.b)/minKey+1)) // no more than there are bytes for
	for i := range n {
		keys = append(keys, kv.Key{})
		if err := d.key1(c, &keys[i]); err != nil {
			return nil, fmt.Errorf("[%d]: %w", i, err)
		}
		if k := &keys[i]; i == 0 || k.Hash.IsZero() || k.Model != keys[i-1].Model || k.Salt != keys[i-1].Salt {
			if err := k.Validate(); err != nil {
				return nil, fmt.Errorf("[%d]: %w", i, err)
			}
		}
	}
	return keys, nil
}

// key1 reads one key.
func (d *decoder) key1(c *cursor, k *kv.Key) error {
	if bytes.HasPrefix(c.b, []byte(wrapKey)) {
		c.b = c.b[len(wrapKey):]
	} else if err := c.unwrap("ObjectKey"); err != nil {
		return err
	}
	n, err := c.mapLen()
	if err != nil {
		return err
	}
	seen := 0
	for range n {
		name, err := c.key()
		if err != nil {
			return err
		}
		bit, err := d.keyField(c, k, name)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		seen |= bit
	}
	for i, name := range []string{"chunk_hash", "model_name", "kv_rank"} {
		if seen&(1<<i) == 0 {
			return fmt.Errorf("%s: %w", name, errMissing)
		}
	}
	return nil
}

// keyField reads one field and returns the bit of a required one.
func (d *decoder) keyField(c *cursor, k *kv.Key, name []byte) (bit int, err error) {
	var v []byte
	var n int64
	switch string(name) {
	case "chunk_hash":
		if v, err = c.bytes(); err == nil {
			k.Hash, err = kv.HashOf(v)
		}
		return 1, err
	case "model_name":
		v, err = c.text()
		k.Model = d.names.of(v)
		return 2, err
	case "kv_rank":
		n, err = c.within(0, 1<<32-1)
		k.Rank = uint32(n)
		return 4, err
	case "object_group_id":
		n, err = c.within(0, 1<<16-1)
		k.Group = uint16(n)
		return 0, err
	case "cache_salt":
		if c.isNil() {
			return 0, nil
		}
		v, err = c.text()
		k.Salt = d.names.of(v)
		return 0, err
	}
	return 0, c.skip()
}

// within reads an integer from lo to hi.
func (c *cursor) within(lo, hi int64) (int64, error) {
	v, err := c.int()
	if err == nil && (v < lo || v > hi) {
		err = fmt.Errorf("must be between %d and %d, got %d", lo, hi, v)
	}
	return v, err
}
