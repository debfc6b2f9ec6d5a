package tier

import (
	"slices"

	"github.com/lmcache-go/lmcache/storage/kv"
)

// removals is the keys that were removed while lookups were under way, in order: what
// the store has said of them to such a lookup may not be true any more. What no lookup
// needs is forgotten.
type removals struct {
	keys    []kv.Key
	before  uint64   // how many are forgotten
	lookups []uint64 // what begin gave to those under way, in order
}

// begin notes that a lookup begins, and gives what end and since ask for.
func (r *removals) begin() uint64 {
	at := r.before + uint64(len(r.keys))
	r.lookups = append(r.lookups, at)
	return at
}

// end notes that a lookup is over.
func (r *removals) end(at uint64) {
	i := slices.Index(r.lookups, at)
	r.lookups = slices.Delete(r.lookups, i, i+1)
	n := len(r.keys)
	if len(r.lookups) > 0 {
		n = int(r.lookups[0] - r.before)
	}
	r.before += uint64(n)
	clear(r.keys[:n])
	if r.keys = r.keys[n:]; len(r.keys) == 0 {
		r.keys = nil
	}
}

// add notes that a key is removed.
func (r *removals) add(k kv.Key) {
	if len(r.lookups) > 0 {
		r.keys = append(r.keys, k)
	}
}

// since is what was removed since a lookup under way began.
func (r *removals) since(at uint64) map[kv.Key]struct{} {
	keys := r.keys[at-r.before:]
	all := make(map[kv.Key]struct{}, len(keys))
	for _, k := range keys {
		all[k] = struct{}{}
	}
	return all
}
