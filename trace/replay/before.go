package replay

import (
	"slices"

	"github.com/lmcache-go/lmcache/storage"
	"github.com/lmcache-go/lmcache/trace"
)

// before are the numbers of calls that are not made as they come before the range that is
// replayed, and of those in it that use their leases, which are not there. A plain
// recording has no numbers.
type before map[int64]struct{}

func (b before) add(n int64) {
	if n != storage.NoCall {
		b[n] = struct{}{}
	}
}

// drop reports whether a call uses leases from before the range; then it belongs to them.
func (b before) drop(c *trace.Call) bool {
	if len(b) == 0 || c.N == storage.NoCall {
		return false
	}
	switch c.Name {
	case storage.CallFinishWrite, storage.CallReadEnter, storage.CallReadExit, storage.CallFinishRead, storage.CallRenew:
	default:
		return false
	}
	_, drop := b[c.Owner]
	if !drop && c.Scope > 0 {
		_, drop = b[c.Scope]
	}
	if drop {
		b.add(c.N)
	}
	return drop
}

// without are the outcomes of other calls. The list is not changed.
func (b before) without(list []trace.Outcome) []trace.Outcome {
	has := func(o trace.Outcome) bool { _, ok := b[o.N]; return ok }
	if len(b) == 0 || !slices.ContainsFunc(list, has) {
		return list
	}
	return slices.DeleteFunc(slices.Clone(list), has)
}
