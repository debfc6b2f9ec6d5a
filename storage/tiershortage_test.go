package storage_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/storage"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// small is a shelf that takes four objects, of which the tier does not know.
func small() *shelf {
	s := newShelf()
	s.item = func(op string, it *l2.Item) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if _, ok := s.objects[it.Key]; op == "store" && !ok && len(s.objects) >= 4 {
			it.Err = l2.ErrNoSpace
		}
	}
	return s
}

// What a full store refuses is stored when the eviction for it is over, one object after
// the other or many at once.
func TestStoreWaitsForTheEvictionOfAFullStore(t *testing.T) {
	const names = "abcdefghijklmnop"
	for _, n := range []int{1, 3, 8, len(names)} {
		s := small()
		w := newTierWorld(t, 64, []*shelf{s})
		for part := range slices.Chunk([]byte(names), n) {
			w.put(string(part))
			w.flush()
			w.v.Run()
		}
		st := w.m.Stats().Tiers[0]
		if len(s.has()) != 4 || st.Evicted != int64(len(names)-4) || len(st.FailuresByReason) != 0 {
			t.Errorf("%d at a time: it has %s, %d evicted, failures %v", n, s.has(), st.Evicted, st.FailuresByReason)
		}
		if n == 1 && s.has() != "mnop" {
			t.Errorf("it has %s in the end", s.has())
		}
	}
}

// If the eviction removes nothing, the object has failed, and the next one is tried.
func TestStoreFailsWithTheEvictionOfAFullStore(t *testing.T) {
	g := &glued{shelf: small(), holds: func(kv.Key) bool { return true }, limit: -1}
	v := storage.VirtualOptions{}
	w := openWorld(t, 64, &v, withTiers(&v, g.shelf), func(o *storage.Options) { o.Tiers[0].Adapter = g })
	g.w, g.since = w, w.m.Now()
	w.put("abcd")
	w.flush()
	w.put("ef")
	w.flush()
	w.after(time.Minute)
	st := w.m.Stats().Tiers[0]
	if g.has() != "abcd" || st.FailuresByReason["no_space"] != 2 || st.QueuedStores != 0 {
		t.Errorf("it has %s, failures %v, %d wait", g.has(), st.FailuresByReason, st.QueuedStores)
	}
	if n := len(g.asked); n != 2 {
		t.Errorf("asked to delete %d times for two objects", n)
	}
	g.holds = func(kv.Key) bool { return false }
	w.put("g")
	w.flush()
	if !strings.Contains(g.has(), "g") {
		t.Errorf("it has %s after the store deletes again", g.has())
	}
}
