package l1

import (
	"time"

	"github.com/lmcache-go/lmcache/l1/policy"
)

// allocateLocked gives memory to the positions in need, in order, evicting for as
// many of them as can be served. The rest is out of memory.
func (m *Manager) allocateLocked(w *reservation, need []int32) {
	phys := m.mu.layouts[w.layout].phys
	n := 0
	for n < len(need) && m.placeLocked(w, int(need[n]), phys) {
		n++
	}
	if n < len(need) {
		m.evictForLocked(w, need[n:], phys)
	}
}

// placeLocked allocates for one position without evicting.
func (m *Manager) placeLocked(w *reservation, i int, phys int64) bool {
	b, ok := m.mu.arena.Alloc(phys)
	if !ok {
		return false
	}
	e := m.mu.entries.At(w.l.items[i].entry)
	w.grantLocked(i, m.newBufferLocked(b, w.layout, e.salt))
	return true
}

// demand is the search for victims that one reservation causes. There is one per
// manager; it keeps the function that the policy's sequence calls, so that a
// search allocates nothing.
type demand struct {
	m    *Manager
	w    *reservation
	need []int32
	phys int64
	take func(policy.ID) bool
}

// evictForLocked evicts until the positions in need have memory. Leased and
// staged objects, the reservation's own keys and their ancestors are safe. If
// not all can be served, it evicts only for those that can.
func (m *Manager) evictForLocked(w *reservation, need []int32, phys int64) {
	m.mu.stats.EvictionRuns++
	m.mu.tick.triggered = true
	safe := m.protectLocked(w)
	free := m.mu.arena.Capacity() - m.mu.arena.Used()
	fit := min(int64(len(need)), max(0, m.mu.stats.EvictableBytes-safe+free)/phys)
	d := &m.mu.demand
	d.w, d.need, d.phys = w, need[:fit], phys
	if fit > 0 {
		m.mu.policy.Victims(policy.Need{Bytes: fit * phys})(d.take)
		if len(d.need) > 0 && m.mu.arena.Reclaim() { // free bytes may lie between objects of other sizes
			d.place()
		}
	}
	for _, i := range need[int(fit)-len(d.need):] {
		w.denyLocked(int(i))
	}
	d.w, d.need = nil, nil
	keys, bytes := m.publishRemovedLocked(CauseEvict, w.l.owner, w.at)
	m.mu.stats.EvictedObjects += keys
	m.mu.stats.EvictedBytes += bytes
	m.mu.tick.keys += keys
	m.mu.tick.bytes += bytes
	if keys > 0 {
		m.mu.stats.LastEviction = w.at
	}
}

// victim evicts one entry and the other ranks of its chunk, and hands out the
// memory; false: the demand is met.
func (d *demand) victim(id policy.ID) bool {
	m := d.m
	e := m.mu.entries.At(id)
	f := m.mu.families.At(e.family)
	if f.mark == m.mu.mark || !evictable(e) {
		return true
	}
	if f.children > 0 {
		m.mu.stats.PrefixBreaks++
	}
	for member := f.head; member != 0; {
		o := m.mu.entries.At(member)
		next := o.sibling
		if evictable(o) {
			m.removeLocked(member, o)
		}
		member = next
	}
	d.place()
	return len(d.need) > 0
}

// place hands out what memory there is.
func (d *demand) place() {
	for len(d.need) > 0 && d.m.placeLocked(d.w, int(d.need[0]), d.phys) {
		d.need = d.need[1:]
	}
}

func evictable(e *entry) bool { return e.is(flagTracked) && !e.is(flagPinned) }

// protectLocked marks the families that a reservation may not evict: those of its
// keys and their ancestors. It returns the evictable bytes among them.
func (m *Manager) protectLocked(w *reservation) (bytes int64) {
	m.mu.mark++
	var n namer
	for i := range w.l.keys {
		var id uint32
		if j := i - w.lo; j >= 0 && j < maxHold {
			id = m.mu.scratch.fam[j]
		} else {
			id = m.peekFamilyLocked(n.family(&w.l.keys[i]))
		}
		if id == 0 {
			continue
		}
		bytes += m.markLocked(id)
		if i > 0 && sameChain(&w.l.keys[i], &w.l.keys[i-1]) {
			continue
		}
		for range maxWalk {
			if id = m.predecessorLocked(m.mu.families.At(id)); id == 0 {
				break
			}
			bytes += m.markLocked(id)
		}
	}
	return bytes
}

func (m *Manager) markLocked(id uint32) (bytes int64) {
	f := m.mu.families.At(id)
	if f.mark == m.mu.mark {
		return 0
	}
	f.mark = m.mu.mark
	for member := f.head; member != 0; {
		e := m.mu.entries.At(member)
		if evictable(e) {
			if b := m.mu.bufs.At(e.buf); b.refs == 0 {
				bytes += m.mu.layouts[b.layout].phys
			}
		}
		member = e.sibling
	}
	return bytes
}

// tick is what happened since the last EvictionLoopTick.
type tick struct {
	armed     bool
	triggered bool
	keys      int64
	bytes     int64
}

// tickPeriod is the time between two ticks.
const tickPeriod = time.Second

// armTickLocked starts the ticker, which runs only while somebody listens.
func (m *Manager) armTickLocked(now time.Time) {
	if m.mu.tick.armed || m.mu.closed || !m.topics.tick.Active() {
		return
	}
	m.mu.tick.armed = true
	m.rt.At(now.Add(tickPeriod), m.onTick)
}

func (m *Manager) onTick() {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.rt.Now()
	if m.mu.closed || !m.topics.tick.Active() {
		m.mu.tick.armed = false
		return
	}
	m.enterLocked(now)
	t := &m.mu.tick
	m.topics.tick.PublishAt(EvictionLoopTick{
		Usage: m.usageLocked(), Watermark: 1, Triggered: t.triggered, Mode: ModeExact,
		EvictedKeys: t.keys, EvictedBytes: t.bytes,
	}, now)
	*t = tick{}
	m.armTickLocked(now)
}

func (m *Manager) usageLocked() float64 {
	if c := m.mu.arena.Capacity(); c > 0 {
		return float64(m.mu.arena.Used()) / float64(c)
	}
	return 0
}
