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

// ParseRemoteName is the key with this name. A name that no key has in this format gives
// an error that wraps [kv.ErrNotKey]: it is somebody else's. So is another spelling of
// a key, in upper case for example: it is not what a load would ask for.
func (f Format) ParseRemoteName(name string) (kv.Key, error) {
	rest, v1 := strings.CutPrefix(name, v1Prefix)
	if v1 == f.Raw {
		return kv.Key{}, kv.ErrNotKey
	}
	k, err := kv.ParseKey(rest)
	if err == nil && f.RemoteName(k) != name {
		return kv.Key{}, kv.ErrNotKey
	}
	return k, err
}

// ModelPrefix is how the names of all keys of a model begin, in this format.
func (f Format) ModelPrefix(model string) string {
	if f.Raw {
		return model + "@"
	}
	return v1Prefix + model + "@"
}
