package l1

import (
	"github.com/lmcache-go/lmcache/l1/internal/arena"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// entry is the record of one key. It holds no pointers. It is a member of its
// family, through which it is found, while it has a resident or a staged buffer,
// and is kept for the lease items that refer to it (refs) after it has left.
//
// What a search and an eviction read comes first.
type entry struct {
	hash      kv.Hash
	flags     uint8
	group     uint16
	rank      uint32
	model     uint32 // id in names
	salt      uint32
	family    uint32
	sibling   uint32 // next member of the family
	buf       uint32 // resident buffer, 0: none
	staged    uint32 // buffer being written, 0: none
	pins      uint32 // live read holders
	refs      uint32 // lease items that refer to this record
	writer    uint32 // id of the lease that stages it
	writerPos uint32 // and its position there
	reader    uint32 // lease that took it last, by id, generation and position, to find repeated keys
	readerGen uint32
	readerPos uint32
}

const (
	flagIndexed   = 1 << iota // a member of its family
	flagTemporary             // vanishes with its last holder
	flagTracked               // known to the policy
	flagPinned                // pinned in the policy
	flagBlocked               // blocked in the policy
	flagPending               // has to be stored in an outer tier and is not yet
	flagHeld                  // blocked for that reason
)

// buffer is one piece of the arena. It is counted by the index or a staging
// (held) and by each lease item that uses it; the memory goes back when nobody
// is left. Only then: not by expiry, not by clear.
type buffer struct {
	b      arena.Buf
	layout uint32
	refs   int32
	held   bool // by the index or as staging; else it is orphaned
}

// layoutRec is an interned layout.
type layoutRec struct {
	fp      kv.Fingerprint
	logical int64
	phys    int64
	refs    int64
}

func (e *entry) is(flag uint8) bool { return e.flags&flag != 0 }

func (e *entry) matches(k *kv.Key, model, salt uint32) bool {
	return e.model == model && e.salt == salt && e.rank == k.Rank && e.group == k.Group && e.hash == k.Hash
}

// key rebuilds the key of an entry.
func (m *Manager) key(e *entry) kv.Key {
	return kv.Key{
		Hash: e.hash, Model: m.mu.models.recs[e.model].text, Salt: m.mu.salts.recs[e.salt].text,
		Rank: e.rank, Group: e.group,
	}
}

// findLocked is the id of k's entry in its family (0: none), or 0. Families have
// few members: the ranks of one chunk.
func (m *Manager) findLocked(k *kv.Key, family uint32) uint32 {
	if family == 0 {
		return 0
	}
	id := m.mu.families.At(family).head
	if id == 0 {
		return 0
	}
	model, salt := m.mu.models.lookup(k.Model), m.mu.salts.lookup(k.Salt)
	for id != 0 {
		e := m.mu.entries.At(id)
		if e.matches(k, model, salt) {
			return id
		}
		id = e.sibling
	}
	return 0
}

// seekLocked is findLocked for a key whose family is not known yet.
func (m *Manager) seekLocked(k *kv.Key, n *kv.Names) uint32 {
	return m.findLocked(k, m.peekFamilyLocked(n.Family(k)))
}

// newEntryLocked puts an entry for k into its family.
func (m *Manager) newEntryLocked(k *kv.Key, family uint32) uint32 {
	id := m.mu.entries.New()
	m.mu.entryLimit = max(m.mu.entryLimit, id+1)
	e := m.mu.entries.At(id)
	*e = entry{} // and then field by field: a composite literal is built elsewhere and copied
	e.hash, e.rank, e.group = k.Hash, k.Rank, k.Group
	e.model, e.salt = m.mu.models.ref(k.Model), m.mu.salts.ref(k.Salt)
	e.flags = flagIndexed
	m.mu.indexed++
	m.joinLocked(family, id, e)
	return id
}

// dropEntryLocked takes an entry without buffers out of the index.
func (m *Manager) dropEntryLocked(id uint32, e *entry, why goneCause) {
	m.mu.indexed--
	m.leaveLocked(id, e, why)
	e.flags &^= flagIndexed
	m.reapEntryLocked(id, e)
}

// reapEntryLocked frees the record when neither index nor lease needs it.
func (m *Manager) reapEntryLocked(id uint32, e *entry) {
	if e.is(flagIndexed) || e.refs > 0 {
		return
	}
	m.mu.models.unref(e.model)
	m.mu.salts.unref(e.salt)
	m.mu.entries.Free(id)
}

// newBufferLocked wraps arena memory as the staged buffer of an entry.
func (m *Manager) newBufferLocked(b arena.Buf, layout, salt uint32) uint32 {
	id := m.mu.bufs.New()
	rec := &m.mu.layouts[layout]
	rec.refs++
	m.mu.salts.recs[salt].bytes += rec.phys
	*m.mu.bufs.At(id) = buffer{b: b, layout: layout, held: true}
	return id
}

// unholdLocked ends the hold of index or staging on a buffer.
func (m *Manager) unholdLocked(id, salt uint32) {
	b := m.mu.bufs.At(id)
	b.held = false
	phys := m.mu.layouts[b.layout].phys
	m.mu.salts.recs[salt].bytes -= phys
	if b.refs > 0 {
		m.mu.stats.OrphanedBytes += phys
		m.freedLocked() // of the tenant's account
		return
	}
	m.freeBufferLocked(id, b)
}

// unuseLocked ends one lease item's use of a buffer.
func (m *Manager) unuseLocked(id uint32) {
	b := m.mu.bufs.At(id)
	b.refs--
	if b.refs == 0 && !b.held {
		m.mu.stats.OrphanedBytes -= m.mu.layouts[b.layout].phys
		m.freeBufferLocked(id, b)
	}
}

func (m *Manager) freeBufferLocked(id uint32, b *buffer) {
	m.mu.arena.Free(b.b)
	m.freedLocked()
	m.unrefLayoutLocked(b.layout)
	m.mu.bufs.Free(id)
}

// offsetLocked is where a buffer begins in the arena.
func (m *Manager) offsetLocked(id uint32) int64 { return m.mu.arena.Offset(m.mu.bufs.At(id).b) }

// layoutLocked is the id of an interned layout; 0 is never one.
func (m *Manager) layoutLocked(l kv.Layout) uint32 {
	fp := l.Fingerprint()
	if id, ok := m.mu.layoutIDs[fp]; ok {
		return id
	}
	rec := layoutRec{fp: fp, logical: l.Size(), phys: m.mu.arena.Physical(l.Size())}
	for id := 1; id < len(m.mu.layouts); id++ {
		if m.mu.layouts[id].refs == 0 && m.mu.layouts[id].fp == (kv.Fingerprint{}) {
			m.mu.layouts[id] = rec
			m.mu.layoutIDs[fp] = uint32(id)
			return uint32(id)
		}
	}
	m.mu.layouts = append(m.mu.layouts, rec)
	m.mu.layoutIDs[fp] = uint32(len(m.mu.layouts) - 1)
	return uint32(len(m.mu.layouts) - 1)
}

func (m *Manager) unrefLayoutLocked(id uint32) {
	rec := &m.mu.layouts[id]
	if rec.refs--; rec.refs == 0 {
		delete(m.mu.layoutIDs, rec.fp)
		*rec = layoutRec{}
	}
}
