package replay

import (
	"slices"
	"testing"

	"github.com/lmcache-go/lmcache/storage"
	"github.com/lmcache-go/lmcache/storage/kv"
	"github.com/lmcache-go/lmcache/trace"
)

// TestREQ_T25_ReleaseInParts: what the parts of a release name is given back at its end, which
// comes after what others did with their keys before it, and before what they do then.
func TestREQ_T25_ReleaseInParts(t *testing.T) {
	c := &crew{keys: make(map[kv.Key]*job), requests: make(map[string]*job), parts: make(map[int64][]kv.Key), sweepAt: firstSweep}
	ordered := func(call storage.Call, key byte) *job {
		call.Keys = []kv.Key{testKey(key)}
		j := &job{entry: entry{call: &trace.Call{Call: call}}}
		c.order(j)
		return j
	}
	ordered(storage.Call{Name: storage.CallFinishRead, Owner: 7, Unused: true, More: true}, 1)
	between := ordered(storage.Call{Name: storage.CallTouch}, 1)
	ordered(storage.Call{Name: storage.CallFinishRead, Owner: 7, Aborted: true}, 3) // gives nothing else back
	end := ordered(storage.Call{Name: storage.CallFinishRead, Owner: 7, Unused: true}, 2)
	behind := ordered(storage.Call{Name: storage.CallDelete}, 1)
	if !slices.Contains(end.before, between) {
		t.Error("the end of a release does not wait for a call between its parts")
	}
	if !slices.Contains(behind.before, end) {
		t.Error("a call behind a release does not wait for its end")
	}
	other := ordered(storage.Call{Name: storage.CallFinishRead, Owner: 7, Unused: true}, 2)
	if slices.Contains(other.before, behind) || len(c.parts) > 0 {
		t.Error("the next release of the owner has keys of the one before")
	}
}
