package l1

// family is the set of entries that differ in rank only: the ranks of one chunk.
// Families are linked to their predecessor in the prompt; a family that has a
// successor with members is blocked, so that eviction takes leaves first.
//
// A family without members is absent. Absent ones keep their link and the reason
// for which they went, in a bounded list of which the oldest is dropped. They are
// known by a 64-bit fingerprint: a collision may change an order of eviction or a
// reported reason, never data.
type family struct {
	fp        uint64
	parent    uint32
	parentGen uint32 // link is live while it equals the parent's gen
	gen       uint32 // raised when the record is dropped
	head      uint32 // first member
	members   uint32
	children  uint32 // successors that have members
	prev      uint32 // in the list of absent families
	next      uint32
	gone      goneCause
	isParent  bool // was ever linked to
}

// goneCause says why a family has no members.
type goneCause uint8

const (
	goneNever   goneCause = iota // never had one
	goneRemoved                  // evicted, deleted, cleared
	goneAborted                  // its writer gave up
)

// minAbsent is the least number of absent families that are remembered; beyond
// it, one for each entry.
const minAbsent = 1 << 16

// maxWalk bounds the walk along a chain.
const maxWalk = 1 << 14

// familyLocked finds or makes the family of a fingerprint; found is where it was
// found before, or 0.
func (m *Manager) familyLocked(fp uint64, found uint32) uint32 {
	if found == 0 || m.mu.families.At(found).fp != fp {
		found = m.peekFamilyLocked(fp)
	}
	if id := found; id != 0 {
		if f := m.mu.families.At(id); f.members == 0 { // named again: the last to be dropped
			m.unlistLocked(f)
			m.absentLocked(id, f)
		}
		return id
	}
	id := m.mu.families.New()
	f := m.mu.families.At(id)
	*f = family{fp: fp, gen: f.gen}
	m.mu.index.insert(fp, id)
	m.absentLocked(id, f)
	return id
}

// peekFamilyLocked finds the family of a fingerprint, or 0.
func (m *Manager) peekFamilyLocked(fp uint64) uint32 {
	c := m.mu.index.find(fp)
	for id := c.next(); id != 0; id = c.next() {
		if m.mu.families.At(id).fp == fp {
			return id
		}
	}
	return 0
}

// absentLocked appends a family to the list of absent ones and drops the oldest
// when there are too many.
func (m *Manager) absentLocked(id uint32, f *family) {
	l := &m.mu.absent
	f.prev, f.next = l.tail, 0
	if l.tail != 0 {
		m.mu.families.At(l.tail).next = id
	} else {
		l.head = id
	}
	l.tail = id
	l.n++
	for range 2 { // two for one, so that a shrunken bound is reached again
		if l.n <= max(minAbsent, m.mu.indexed) || l.head == id {
			return
		}
		oldest := l.head
		o := m.mu.families.At(oldest)
		m.unlistLocked(o)
		m.mu.index.remove(o.fp, oldest)
		*o = family{gen: o.gen + 1}
		m.mu.families.Free(oldest)
	}
}

func (m *Manager) unlistLocked(f *family) {
	l := &m.mu.absent
	if f.prev != 0 {
		m.mu.families.At(f.prev).next = f.next
	} else {
		l.head = f.next
	}
	if f.next != 0 {
		m.mu.families.At(f.next).prev = f.prev
	} else {
		l.tail = f.prev
	}
	f.prev, f.next = 0, 0
	l.n--
}

// predecessorLocked is the live predecessor of f, or 0.
func (m *Manager) predecessorLocked(f *family) uint32 {
	if f.parent != 0 && m.mu.families.At(f.parent).gen == f.parentGen {
		return f.parent
	}
	return 0
}

// joinLocked makes an entry a member of its family.
func (m *Manager) joinLocked(id, member uint32, e *entry) {
	f := m.mu.families.At(id)
	e.family, e.sibling = id, f.head
	f.head = member
	if f.members++; f.members == 1 {
		m.unlistLocked(f)
		if p := m.predecessorLocked(f); p != 0 {
			m.addChildLocked(p)
		}
	}
}

// leaveLocked takes an entry out of its family.
func (m *Manager) leaveLocked(member uint32, e *entry, why goneCause) {
	f := m.mu.families.At(e.family)
	at := &f.head
	for *at != member {
		at = &m.mu.entries.At(*at).sibling
	}
	*at = e.sibling
	if f.members--; f.members > 0 {
		return
	}
	if why == goneRemoved || f.gone == goneNever {
		f.gone = why
	}
	p := m.predecessorLocked(f)
	m.absentLocked(e.family, f)
	if p != 0 {
		m.dropChildLocked(p)
	}
}

func (m *Manager) addChildLocked(id uint32) {
	f := m.mu.families.At(id)
	if f.children++; f.children > 1 {
		return
	}
	for id := f.head; id != 0; {
		e := m.mu.entries.At(id)
		if e.is(flagTracked) && !e.is(flagBlocked) {
			e.flags |= flagBlocked
			m.mu.policy.Block(id)
		}
		id = e.sibling
	}
}

func (m *Manager) dropChildLocked(id uint32) {
	f := m.mu.families.At(id)
	if f.children--; f.children > 0 {
		return
	}
	for id := f.head; id != 0; {
		e := m.mu.entries.At(id)
		m.unblockLocked(id, e)
		id = e.sibling
	}
}

// linkLocked makes pred the predecessor of succ. The first link of a family
// stays; one that would close a cycle is ignored.
func (m *Manager) linkLocked(pred, succ uint32) {
	if pred == succ {
		return
	}
	s := m.mu.families.At(succ)
	if m.predecessorLocked(s) != 0 {
		return
	}
	if s.isParent { // only then can it be an ancestor of pred
		steps := 0
		for id := pred; id != 0; id = m.predecessorLocked(m.mu.families.At(id)) {
			if steps++; id == succ || steps > maxWalk {
				return
			}
		}
	}
	p := m.mu.families.At(pred)
	p.isParent = true
	s.parent, s.parentGen = pred, p.gen
	if s.members > 0 {
		m.addChildLocked(pred)
	}
}
