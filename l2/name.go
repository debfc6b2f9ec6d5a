package l2

import (
	"strings"

	"github.com/lmcache-go/lmcache/storage/kv"
)

// v1Prefix keeps names of v1 apart from those of raw objects, which have a model
// name there and no "@" in it.
const v1Prefix = "@v1@"

// RemoteName is the name of a key in stores that take any text: its text form, in
// format v1 behind "@v1@".
func (f Format) RemoteName(key kv.Key) string {
	if f.Raw {
		return key.String()
	}
	return v1Prefix + key.String()
}

// ParseRemoteName reads the name of a key in this format. Everything else gives an
// error that wraps [kv.ErrNotKey]: it is somebody else's.
func (f Format) ParseRemoteName(name string) (kv.Key, error) {
	rest, v1 := strings.CutPrefix(name, v1Prefix)
	if v1 == f.Raw {
		return kv.Key{}, kv.ErrNotKey
	}
	return kv.ParseKey(rest)
}

// ModelPrefix is how the names of all keys of a model begin, in this format.
func (f Format) ModelPrefix(model string) string {
	if f.Raw {
		return model + "@"
	}
	return v1Prefix + model + "@"
}
