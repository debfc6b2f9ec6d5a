package tier

import (
	"context"
	"fmt"

	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// maxPeeks is the most calls of Peek that have not returned: a store that answers none
// is not asked ever more.
const maxPeeks = 64

// Sight is what Peek found out about one key.
type Sight struct {
	OK  bool  // a lookup would find it
	Err error // not OK: why nobody knows, or why what is there could not be loaded; nil: it is not there
}

// Peek asks the store which of the keys it has, as a lookup does, and leaves no trace:
// nothing is pinned, used, remembered, forgotten or counted, and the breaker does not
// hear of the outcome. An object whose length is not that of the layout is not OK.
//
// The keys must not change. done is called once, not before the tier's mutex is free; it
// may be before Peek returns. Its error is why the store was not asked, or did not answer.
func (t *Tier) Peek(keys []kv.Key, layout kv.Layout, done func([]Sight, error)) {
	t.lock()
	defer t.unlock()
	fail := func(err error) { t.later(func() { done(nil, err) }) }
	switch {
	case t.mu.stopped:
		fail(l2.ErrClosed)
		return
	case t.mu.breaker.state != StateClosed:
		fail(ErrOpen)
		return
	case t.mu.peeking >= maxPeeks:
		fail(l2.ErrTimeout)
		return
	}
	t.mu.peeking++
	now := t.rt.Now()
	found := make([]l2.Found, len(keys))
	t.startLocked(&call{
		op: opLookup, keys: len(keys), silent: true, deadline: now.Add(t.s.Timeouts.Lookup),
		do: func(ctx context.Context) error { return t.adapter.Lookup(ctx, keys, found) },
		done: func(err error) {
			t.mu.peeking--
			if err != nil {
				fail(err)
				return
			}
			seen := t.seenLocked(keys, layout, found)
			t.later(func() { done(seen, nil) })
		},
		lost: func() { fail(l2.ErrTimeout) },
		back: func() { t.mu.peeking-- },
	}, now)
}

// seenLocked judges what the adapter has found.
func (t *Tier) seenLocked(keys []kv.Key, layout kv.Layout, found []l2.Found) []Sight {
	seen := make([]Sight, len(keys))
	for i := range keys {
		id := t.mu.index.find(keys[i])
		size := found[i].Size
		if size <= 0 && id != 0 {
			size = t.mu.index.at(id).size
		}
		switch s := &seen[i]; {
		case found[i].Err != nil:
			s.Err = found[i].Err
		case !found[i].OK || t.leavingLocked(keys[i], id):
		case t.serde != nil || size <= 0 || size == t.StoredSize(keys[i], layout):
			s.OK = true
		case t.format.Raw: // a load could not tell either
			s.Err = fmt.Errorf("%w: %d bytes are stored, must be %d", l2.ErrCorrupt, size, t.StoredSize(keys[i], layout))
		default:
			s.Err = fmt.Errorf("%w: %d bytes are stored, must be %d", l2.ErrLayout, size, t.StoredSize(keys[i], layout))
		}
	}
	return seen
}
