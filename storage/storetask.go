package storage

import (
	"time"

	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/storage/internal/tier"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// storeOwner is who leases what is being stored.
const storeOwner = "l2-store"

// storeTask is objects of one layout and model on their way to one tier. Its lease
// lasts until all calls have given the buffers back.
type storeTask struct {
	c       *storeControl
	tier    int
	id      int64
	entries []*storeEntry // by object of the job
	lease   l1.ReadLease
	job     tier.Job
	bytes   int64
	salts   map[string]int
}

// room is called when a tier has a free slot.
func (c *storeControl) room() {
	c.mu.Lock()
	defer c.unlock()
	if c.mu.waiting > 0 {
		c.pumpLocked(c.m.rt.Now())
	}
}

// pumpLocked gives every tier what it can take.
func (c *storeControl) pumpLocked(at time.Time) {
	for i := range c.mu.tiers {
		if len(c.mu.tiers[i].queue) == 0 {
			continue
		}
		for room := c.m.tiers[i].StoreRoom(); room > 0; {
			batch := c.batchLocked(i, room)
			if len(batch) == 0 {
				break
			}
			room -= c.beginLocked(i, batch, at)
		}
	}
}

// batchLocked takes up to n entries of one layout and model from a tier's queue, as
// far as the bytes in flight allow.
func (c *storeControl) batchLocked(i, n int) (batch []*storeEntry) {
	t := &c.mu.tiers[i]
	bytes := c.mu.inflight
	for t.skip(i); len(t.queue) > 0 && len(batch) < n; t.skip(i) {
		e := t.queue[0]
		size := e.layout.Size()
		if bytes > 0 && bytes+size > c.m.o.Store.MaxInflight {
			break
		}
		if len(batch) > 0 && (e.key.Model != batch[0].key.Model || !e.layout.Equal(batch[0].layout)) {
			break
		}
		bytes += size
		t.queue = t.queue[1:]
		batch = append(batch, e)
	}
	return batch
}

// beginLocked leases a batch and hands it to its tier. It returns how many objects
// are still there.
func (c *storeControl) beginLocked(i int, batch []*storeEntry, at time.Time) int {
	keys := make([]kv.Key, len(batch))
	for n, e := range batch {
		keys[n] = e.key
		c.doneLocked(e, i)
	}
	lease, err := c.m.l1.ReserveRead(at, keys, batch[0].layout, l1.ReadOptions{Owner: storeOwner})
	t := &storeTask{c: c, tier: i, lease: lease}
	var missing, locked []kv.Key
	for n, e := range batch {
		switch {
		case err == nil && lease.Code(n) == l1.Success:
			e.running |= 1 << i
			t.entries = append(t.entries, e)
			t.bytes += e.layout.Size()
			t.job.Objects = append(t.job.Objects, tier.Object{Key: e.key, After: e.after, Layout: e.layout, Data: c.m.tierBytes(i, lease.Buffer(n)), Sum: &e.sum})
			continue
		case err == nil && lease.Code(n) == l1.KeyNotReadable:
			locked = append(locked, e.key)
		default:
			missing = append(missing, e.key)
		}
		c.settleLocked(e)
	}
	if len(missing) > 0 {
		c.topics.readFailed.PublishAt(ReadFailed{During: DuringL2Store, Reason: ReasonNotFound, Keys: missing}, at)
	}
	if len(locked) > 0 {
		c.topics.readFailed.PublishAt(ReadFailed{During: DuringL2Store, Reason: ReasonWriteLocked, Keys: locked}, at)
	}
	c.dropLocked(i, len(missing)+len(locked), DroppedEvicted, at)
	if len(t.entries) == 0 {
		return 0
	}
	s := &c.mu.tiers[i]
	s.tasks++
	c.mu.inflight += t.bytes
	t.id = s.nextID
	s.nextID++
	if c.topics.submitted.Active() || c.topics.completed.Active() {
		t.salts = make(map[string]int)
		for _, e := range t.entries {
			t.salts[e.key.Salt]++
		}
	}
	c.topics.submitted.PublishAt(L2StoreSubmitted{
		AdapterIndex: i, TaskID: t.id, L2Name: c.m.tiers[i].Name(), KeyCount: len(t.entries), TotalBytes: t.bytes, KeyCountPerSalt: t.salts,
	}, at)
	t.job.Done, t.job.Returned = t.done, t.returned
	c.later(func() { c.m.tiers[i].Store(&t.job) })
	return len(t.entries)
}

// done takes over what became of a task.
func (t *storeTask) done(j *tier.Job) {
	c, i := t.c, t.tier
	c.mu.Lock()
	defer c.unlock()
	at := c.m.rt.Now()
	late := false
	for n := range j.Objects {
		late = late || j.Objects[n].Late > 0
	}
	if late {
		t.lease.Orphan(at) // the buffers stay until the last call has returned
	} else {
		t.lease.Finish(at, l1.CauseStore)
	}
	s := &c.mu.tiers[i]
	s.tasks--
	c.mu.inflight -= t.bytes
	c.mu.lately = at
	succeeded := 0
	drops := map[string]int{}
	var ended []*storeEntry
	for n, e := range t.entries {
		e.running &^= 1 << i
		err := j.Objects[n].Err
		waits := err == tier.ErrOpen && !s.closing && !c.mu.closed //nolint:errorlint // it is returned as it is
		switch {
		case err == nil:
			succeeded++
			e.ok |= 1 << i
		case waits && e.againLocked(i, j.Objects[n].Slow):
			if e.todo == 0 {
				c.mu.waiting++
			}
			e.todo |= 1 << i
			s.queue = append(s.queue, e)
		default:
			why := dropReason(err)
			if waits {
				why = DroppedRetries
			}
			drops[why]++
		}
		ended = append(ended, e)
	}
	c.topics.completed.PublishAt(L2StoreCompleted{
		AdapterIndex: i, TaskID: t.id, L2Name: c.m.tiers[i].Name(), SucceededCount: succeeded, FailedCount: len(t.entries) - succeeded,
		BytesKnown: true, BytesTransferred: j.Moved, Attempts: j.Attempts, StartedAt: j.Began, KeyCountPerSalt: t.salts,
	}, at)
	for _, why := range []string{DroppedNoSpace, DroppedTooLarge, DroppedRetries, DroppedShutdown} {
		c.dropLocked(i, drops[why], why, at)
	}
	for _, e := range ended {
		c.settleLocked(e)
	}
	c.trimLocked(c.m.o.Store.MaxBacklog, DroppedBacklog, at)
	c.pumpLocked(at)
}

// returned ends the lease of a task of which calls were given up.
func (t *storeTask) returned(*tier.Job) { t.lease.Finish(t.c.m.rt.Now(), l1.CauseStore) }

// dropReason is why a key is not stored, as events spell it.
func dropReason(err error) string {
	if err == tier.ErrOpen { //nolint:errorlint // it is returned as it is
		return DroppedShutdown
	}
	switch l2.ReasonOf(err) {
	case l2.ReasonNoSpace:
		return DroppedNoSpace
	case l2.ReasonTooLarge:
		return DroppedTooLarge
	case l2.ReasonClosed:
		return DroppedShutdown
	default:
		return DroppedRetries
	}
}

// tierBytes is the buffer of an object for a tier; nil if the tier is a model.
func (m *Manager) tierBytes(i int, b []byte) []byte {
	if m.o.Tiers[i].Adapter == nil {
		return nil
	}
	return b
}
