package l1

import (
	"errors"
	"fmt"
)

// Check verifies the sums and links of the whole manager and changes nothing. It
// walks all records under the mutex: for tests and diagnosis.
func (m *Manager) Check() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf("l1: check: "+format, args...)) }
	if err := m.mu.arena.Check(); err != nil {
		errs = append(errs, err)
	}
	var got Stats
	uses := make(map[uint32]int32)
	held := make(map[uint32]bool)
	indexed := 0
	for id, e := range m.mu.entries.All() {
		if !e.is(flagIndexed) {
			if e.refs == 0 {
				bad("entry %d is neither indexed nor referred to", id)
			}
			continue
		}
		indexed++
		if e.buf == 0 && e.staged == 0 {
			bad("entry %d is indexed without a buffer", id)
		}
		k := m.key(e)
		if m.findLocked(&k, e.family) != id {
			bad("entry %d is not found under its key", id)
		}
		if e.staged != 0 {
			held[e.staged] = true
			got.WritingObjects++
			got.StagedBytes += m.physLocked(e.staged)
		}
		if e.buf != 0 {
			held[e.buf] = true
			m.checkResidentLocked(id, e, &got, bad)
		}
	}
	if indexed != m.mu.indexed {
		bad("%d entries are indexed, counted %d", indexed, m.mu.indexed)
	}
	for _, l := range m.mu.leases[1:] {
		open := 0
		for i := range l.items {
			if it := &l.items[i]; l.open > 0 && (it.state == itemOpen || it.state == itemLost) {
				open++
				if it.buf != 0 {
					uses[it.buf]++
				}
			}
		}
		if open != l.open {
			bad("lease %d has %d open items and counts %d", l.id, open, l.open)
		}
	}
	var used int64
	for id, b := range m.mu.bufs.All() {
		used += m.physLocked(id)
		if b.refs != uses[id] {
			bad("buffer %d is used by %d lease items and counts %d", id, uses[id], b.refs)
		}
		if b.held != held[id] {
			bad("buffer %d: held %v, want %v", id, b.held, held[id])
		}
		if !b.held {
			got.OrphanedBytes += m.physLocked(id)
			if b.refs == 0 {
				bad("buffer %d belongs to nobody", id)
			}
		}
	}
	if used != m.mu.arena.Used() {
		bad("live buffers have %d bytes, the arena counts %d", used, m.mu.arena.Used())
	}
	if m.mu.arena.Used() > m.mu.arena.Capacity() {
		bad("used %d bytes of %d", m.mu.arena.Used(), m.mu.arena.Capacity())
	}
	m.checkFamiliesLocked(bad)
	m.checkSumsLocked(got, bad)
	m.checkTenantsLocked(bad)
	m.checkPolicyLocked(bad)
	return errors.Join(errs...)
}

func (m *Manager) checkSumsLocked(got Stats, bad func(string, ...any)) {
	for _, sum := range []struct {
		what      string
		got, want int64
	}{
		{"resident objects", m.mu.stats.Objects, got.Objects},
		{"objects being written", m.mu.stats.WritingObjects, got.WritingObjects},
		{"leased objects", m.mu.stats.ReadingObjects, got.ReadingObjects},
		{"staged bytes", m.mu.stats.StagedBytes, got.StagedBytes},
		{"leased bytes", m.mu.stats.LeasedBytes, got.LeasedBytes},
		{"orphaned bytes", m.mu.stats.OrphanedBytes, got.OrphanedBytes},
		{"evictable bytes", m.mu.stats.EvictableBytes, got.EvictableBytes},
	} {
		if sum.got != sum.want {
			bad("%s: kept %d, there are %d", sum.what, sum.got, sum.want)
		}
	}
}

func (m *Manager) physLocked(buf uint32) int64 {
	return m.mu.layouts[m.mu.bufs.At(buf).layout].phys
}

func (m *Manager) checkResidentLocked(id uint32, e *entry, got *Stats, bad func(string, ...any)) {
	got.Objects++
	if !e.is(flagTracked) {
		bad("entry %d is resident and not tracked", id)
	}
	if pinned := e.pins > 0 || e.staged != 0; pinned != e.is(flagPinned) {
		bad("entry %d: pinned %v, want %v", id, e.is(flagPinned), pinned)
	}
	if e.is(flagTemporary) && e.pins == 0 {
		bad("temporary entry %d has no holder", id)
	}
	if blocked := e.is(flagHeld) || m.mu.families.At(e.family).children > 0; blocked != e.is(flagBlocked) {
		bad("entry %d: blocked %v, want %v", id, e.is(flagBlocked), blocked)
	}
	if e.pins > 0 {
		got.ReadingObjects++
		got.LeasedBytes += m.physLocked(e.buf)
	}
	if evictable(e) && m.mu.bufs.At(e.buf).refs == 0 {
		got.EvictableBytes += m.physLocked(e.buf)
	}
}

func (m *Manager) checkFamiliesLocked(bad func(string, ...any)) {
	children := make(map[uint32]uint32)
	absent := 0
	for id, f := range m.mu.families.All() {
		n := uint32(0)
		for member := f.head; member != 0; member = m.mu.entries.At(member).sibling {
			n++
			if m.mu.entries.At(member).family != id {
				bad("entry %d is in the list of family %d and names %d", member, id, m.mu.entries.At(member).family)
			}
		}
		if n != f.members {
			bad("family %d has %d members and counts %d", id, n, f.members)
		}
		if n == 0 {
			absent++
			continue
		}
		if p := m.predecessorLocked(f); p != 0 {
			children[p]++
		}
	}
	for id, f := range m.mu.families.All() {
		if f.children != children[id] {
			bad("family %d has %d successors and counts %d", id, children[id], f.children)
		}
	}
	if absent != m.mu.absent.n {
		bad("%d families are absent, the list has %d", absent, m.mu.absent.n)
	}
	if m.mu.families.Len() != m.mu.index.n {
		bad("%d families, the index has %d", m.mu.families.Len(), m.mu.index.n)
	}
}
