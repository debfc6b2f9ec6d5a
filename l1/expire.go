package l1

import (
	"time"

	"github.com/lmcache-go/lmcache/storage/kv"
)

// leaseList is the open leases of one kind, by expiry.
type leaseList struct {
	head, tail *lease
	ttl        time.Duration
}

func (m *Manager) expiryLocked(k LeaseKind) *leaseList {
	if k == LeaseWrite {
		return &m.mu.writes
	}
	return &m.mu.reads
}

// enterLocked begins a hold at time at: what is due expires first, a bounded
// number of keys per hold.
func (m *Manager) enterLocked(at time.Time) {
	if at.After(m.mu.now) {
		m.mu.now = at
	}
	if !m.mu.tick.armed {
		m.armTickLocked(m.mu.now)
	}
	budget := maxHold
	for _, list := range [...]*leaseList{&m.mu.writes, &m.mu.reads} {
		for budget > 0 && list.head != nil && !m.mu.now.Before(list.head.expires) {
			budget -= m.expireLocked(list.head, budget)
		}
	}
}

// enterLeaseLocked is enterLocked for an operation on a lease, which keeps the
// record from being recycled: if it is dead, all of it expires before its owner
// goes on, maxHold keys in a hold.
func (m *Manager) enterLeaseLocked(l *lease, at time.Time) {
	m.enterLocked(at)
	for l.listed && l.dead(at) {
		m.expireLocked(l, maxHold)
		m.mu.Unlock()
		m.mu.Lock()
	}
}

// expireLocked ends the time of up to limit items of a dead lease: pins are
// dropped, stagings aborted. The owner keeps the bytes until it lets go. A lease
// that is done leaves the list. It returns the number of items handled, at least 1.
func (m *Manager) expireLocked(l *lease, limit int) int {
	if !l.listed {
		return 1
	}
	l.expired = true
	lo := l.cursor
	hi := min(lo+limit, len(l.items))
	lost, vanished := 0, 0
	for i := hi - 1; i >= lo; i-- {
		it := &l.items[i]
		if it.state != itemOpen {
			continue
		}
		lost++
		it.state = itemLost
		it.result = KeyInWrongState // told from what was lost before
		e := m.mu.entries.At(it.entry)
		if l.kind == LeaseWrite {
			m.unstageLocked(it.entry, e)
			continue
		}
		if m.unpinHoldersLocked(e, it.holders) && e.is(flagIndexed) && m.unreadLocked(it.entry, e, false) {
			vanished++
		}
		if l.promise { // nobody has seen the bytes
			m.unuseItemLocked(it)
			it.buf = 0
		}
	}
	l.cursor = hi
	if hi == len(l.items) {
		m.unlistLeaseLocked(l)
	}
	if vanished > 0 {
		m.publishRemovedLocked(CauseTempRelease, "", m.mu.now)
	}
	if lost > 0 {
		m.announceExpiryLocked(l, lo, hi)
		for i := lo; i < hi; i++ {
			if it := &l.items[i]; it.state == itemLost {
				it.result = noResult
			}
		}
	}
	return max(hi-lo, 1)
}

func (m *Manager) announceExpiryLocked(l *lease, lo, hi int) {
	keys := run(l.keys, lo, hi, func(i int) bool { return l.items[i].state == itemLost && l.items[i].result == KeyInWrongState })
	age := m.mu.now.Sub(l.began)
	m.mu.stats.LeasesExpired++
	m.warnLocked(expiryWarning(l, age, len(keys)))
	if l.kind == LeaseWrite {
		m.topics.writeAborted.PublishAt(WriteAborted{Keys: keys, Cause: AbortExpired}, m.mu.now)
		m.lapseLocked(l, keys, m.mu.now)
	}
	m.topics.leaseExpired.PublishAt(LeaseExpired{Kind: l.kind, Keys: keys, Owner: l.owner, Age: age}, m.mu.now)
}

// loseStagingLocked takes an entry's staging away from its writer.
func (m *Manager) loseStagingLocked(e *entry, cause AbortCause, at time.Time) {
	l := m.mu.leases[e.writer]
	pos := int(e.writerPos)
	it := &l.items[pos]
	it.state, it.result = itemLost, noResult
	m.unstageLocked(it.entry, e)
	if m.topics.writeAborted.Active() {
		m.topics.writeAborted.PublishAt(WriteAborted{Keys: l.keys[pos : pos+1 : pos+1], Cause: cause}, at)
	}
}

// reclaimLocked takes back the staging of a writer whose time is over.
func (m *Manager) reclaimLocked(e *entry, at time.Time) {
	l := m.mu.leases[e.writer]
	l.expired = true
	age := at.Sub(l.began)
	pos := int(e.writerPos)
	keys := []kv.Key{l.keys[pos]}
	m.loseStagingLocked(e, AbortExpired, at)
	m.lapseLocked(l, keys, at)
	m.mu.stats.LeasesExpired++
	m.warnLocked(expiryWarning(l, age, 1))
	m.topics.leaseExpired.PublishAt(LeaseExpired{Kind: l.kind, Keys: keys, Owner: l.owner, Age: age}, at)
}

// timerSlack is how late an expiry may be noticed without any call.
const timerSlack = time.Second

// armLocked sets the timer for the next lease that expires, or for warnings that
// wait. One that is set stays, unless something is due before it by more than the
// slack: a lease that ends in time costs nothing here, at the price of at most one
// wake-up after the last one.
func (m *Manager) armLocked() {
	if m.mu.closed {
		return
	}
	var due time.Time
	for _, list := range [...]*leaseList{&m.mu.writes, &m.mu.reads} {
		if list.head != nil && (due.IsZero() || list.head.expires.Before(due)) {
			due = list.head.expires
		}
	}
	if len(m.mu.warnings) > 0 {
		due = m.mu.now
	}
	if due.IsZero() {
		return
	}
	if m.mu.timer != nil && (!due.Add(timerSlack).Before(m.mu.timerDue) || !m.mu.timer.Stop()) {
		return // early enough, or firing already
	}
	m.mu.timer, m.mu.timerDue = m.rt.At(due, m.onTimer), due
}

func (m *Manager) onTimer() {
	for {
		m.mu.Lock()
		if m.mu.closed {
			m.mu.Unlock()
			return
		}
		m.enterLocked(m.rt.Now())
		warnings, lapses := m.mu.warnings, m.takeLapsesLocked()
		m.mu.warnings = nil
		more := false
		for _, list := range [...]*leaseList{&m.mu.writes, &m.mu.reads} {
			more = more || list.head != nil && list.head.dead(m.mu.now)
		}
		if !more {
			m.mu.timer = nil
			m.armLocked()
		}
		m.mu.Unlock()
		m.log(warnings)
		m.tell(lapses)
		if !more {
			return
		}
	}
}
