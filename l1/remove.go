package l1

import (
	"time"

	"github.com/lmcache-go/lmcache/storage/kv"
)

// removeLocked takes a resident object out of the index. Its key is noted for
// publishRemovedLocked. Buffers in use stay until their users let go. A staging
// beside it keeps the entry.
func (m *Manager) removeLocked(id uint32, e *entry) {
	b := m.mu.bufs.At(e.buf)
	rec := &m.mu.layouts[b.layout]
	if m.topics.keysEvicted.Active() {
		m.mu.removed = m.mu.removed.add(m.key(e))
	}
	m.mu.removedBytes += rec.logical
	m.mu.removedKeys++
	if e.is(flagTracked) {
		if !e.is(flagPinned) {
			m.loseLocked(e)
		}
		m.mu.policy.Remove(id)
		e.flags &^= flagTracked | flagPinned | flagBlocked | flagPending | flagHeld
	}
	m.mu.stats.Objects--
	if e.pins > 0 {
		m.mu.stats.LeasedBytes -= rec.phys
		m.mu.stats.ReadingObjects--
	}
	buf := e.buf
	e.buf = 0
	m.unholdLocked(buf, e.salt)
	if e.staged == 0 {
		m.dropEntryLocked(id, e, goneRemoved)
	}
}

// publishRemovedLocked announces what removeLocked took out since the last call.
func (m *Manager) publishRemovedLocked(cause RemoveCause, owner string, at time.Time) (keys int64, bytes int64) {
	keys, bytes = m.mu.removedKeys, m.mu.removedBytes
	if keys == 0 {
		return 0, 0
	}
	m.mu.removedKeys, m.mu.removedBytes = 0, 0
	list := m.mu.removed.take()
	if len(list) > 0 {
		m.topics.keysEvicted.PublishAt(KeysEvicted{Keys: list, Bytes: bytes, Cause: cause, Owner: owner}, at)
	}
	return keys, bytes
}

// keyLog collects key lists that events keep for ever, out of pages, so that a
// list costs no allocation of its own.
type keyLog struct {
	page []kv.Key // what has been handed out, and then the list that is growing
	from int      // where that begins
}

const keyPage = 256

func (k keyLog) add(key kv.Key) keyLog {
	if len(k.page) == cap(k.page) {
		page := make([]kv.Key, 0, max(keyPage, 2*(len(k.page)-k.from)))
		k = keyLog{page: append(page, k.page[k.from:]...)}
	}
	k.page = append(k.page, key)
	return k
}

// take is the list that has grown; a new one begins.
func (k *keyLog) take() []kv.Key {
	list := k.page[k.from:len(k.page):len(k.page)]
	k.from = len(k.page)
	return list
}

// Touch refreshes the recency of resident keys, the first one last. Unknown keys
// are ignored.
func (m *Manager) Touch(at time.Time, keys []kv.Key) {
	var n kv.Names
	for hi := len(keys); hi > 0; hi -= maxHold {
		m.touchHold(at, keys, max(0, hi-maxHold), hi, &n)
	}
}

func (m *Manager) touchHold(at time.Time, keys []kv.Key, lo, hi int, n *kv.Names) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.mu.closed {
		return
	}
	m.enterLocked(at)
	m.mu.coverLocked(hi - lo)
	var found [maxHold]bool
	some := false
	for i := hi - 1; i >= lo; i-- {
		id := m.seekLocked(&keys[i], n)
		if id == 0 || !m.mu.entries.At(id).is(flagTracked) {
			continue
		}
		m.mu.policy.Touch(id, at)
		found[i-lo], some = true, true
	}
	if some && m.topics.keysAccessed.Active() {
		list := run(keys, lo, hi, func(i int) bool { return found[i-lo] })
		m.topics.keysAccessed.PublishAt(KeysAccessed{Keys: list}, at)
	}
}

// Delete removes keys from L1 and returns one code per key: Success, KeyNotExist
// or, unless forced, KeyIsLocked for what is leased or being written. A forced
// delete also aborts stagings; readers keep their bytes until they let go.
func (m *Manager) Delete(at time.Time, keys []kv.Key, force bool) []Code {
	return m.remove(at, keys, force, CauseDelete)
}

// DropStored is a Delete, not forced, of what the store policy does not want to
// keep.
func (m *Manager) DropStored(at time.Time, keys []kv.Key) []Code {
	return m.remove(at, keys, false, CausePolicyDelete)
}

func (m *Manager) remove(at time.Time, keys []kv.Key, force bool, cause RemoveCause) []Code {
	out := make([]Code, len(keys))
	var n kv.Names
	for lo := 0; lo < len(keys); lo += maxHold {
		m.deleteHold(at, keys, out, lo, min(lo+maxHold, len(keys)), force, cause, &n)
	}
	return out
}

func (m *Manager) deleteHold(at time.Time, keys []kv.Key, out []Code, lo, hi int, force bool, cause RemoveCause, n *kv.Names) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.mu.closed {
		for i := lo; i < hi; i++ {
			out[i] = KeyNotExist
		}
		return
	}
	m.enterLocked(at)
	m.mu.coverLocked(hi - lo)
	for i := lo; i < hi; i++ {
		id := m.seekLocked(&keys[i], n)
		if id == 0 {
			out[i] = KeyNotExist
			continue
		}
		out[i] = m.discardEntryLocked(id, at, force)
	}
	m.publishRemovedLocked(cause, "", at)
}

// discardEntryLocked removes what an entry has.
func (m *Manager) discardEntryLocked(id uint32, at time.Time, force bool) Code {
	e := m.mu.entries.At(id)
	if !force && (e.pins > 0 || e.staged != 0) {
		return KeyIsLocked
	}
	e.refs++ // keeps the record
	if e.staged != 0 {
		m.loseStagingLocked(e, AbortClear, at)
	}
	if e.buf != 0 {
		m.removeLocked(id, e)
	}
	e.refs--
	m.reapEntryLocked(id, e)
	return Success
}

// Clear removes objects and returns how many. Leased and staged ones stay, unless
// forced: then everything leaves the index and stagings are aborted; buffers in
// use are freed when their users let go.
func (m *Manager) Clear(at time.Time, force bool) int {
	total := 0
	for from := uint32(1); from != 0; {
		var n int
		n, from = m.clearHold(at, from, force)
		total += n
	}
	return total
}

// maxScan is the most records that one hold of Clear looks at.
const maxScan = 4096

// clearHold clears up to maxHold of the entries from id on; next is 0 at the end.
func (m *Manager) clearHold(at time.Time, from uint32, force bool) (removed int, next uint32) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.mu.closed {
		return 0, 0
	}
	m.enterLocked(at)
	limit := m.mu.entryLimit
	handled := 0
	for id := from; id < limit; id++ {
		if handled == maxHold || id-from == maxScan {
			next = id
			break
		}
		e := m.mu.entries.At(id)
		if !e.is(flagIndexed) {
			continue
		}
		handled++
		resident := e.buf != 0
		if m.discardEntryLocked(id, at, force) == Success && resident {
			removed++
		}
	}
	m.mu.coverLocked(handled)
	m.publishRemovedLocked(CauseClear, "", at)
	return removed, next
}
