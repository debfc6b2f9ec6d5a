package l1

import (
	"github.com/lmcache-go/lmcache/l1/policy"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// With a million objects resident, most records that a call needs are not in the
// processor's cache. The passes here read those of a whole hold, one kind after the
// other, so that the processor waits for many of them at a time. But for the
// families that prepareLocked finds, they only read, and nothing depends on them.
//
// The records of victims are not among them: those of a prompt lie side by side,
// and a pass over them took longer than it saved.

// scratch is the working memory of one hold.
type scratch struct {
	fp   [maxHold]uint64 // fingerprint of each key's family
	fam  [maxHold]uint32 // the family of each key
	need [maxHold]int32  // positions that need memory
	ids  [maxHold]policy.ID
	warm uint32 // keeps the reads
}

// prepareLocked finds the families of keys (0: none yet), and returns how many
// keys have none or one without members.
func (m *Manager) prepareLocked(keys []kv.Key, n *kv.Names) (fresh int) {
	s := &m.mu.scratch
	warm := uint32(0)
	if a := &m.mu.absent; a.n >= max(minAbsent, m.mu.indexed) { // new families will push out old ones
		id := a.head
		for range keys {
			f := m.mu.families.At(id)
			warm += m.mu.index.touch(f.fp)
			id = f.next
		}
	}
	for i := range keys {
		s.fp[i] = n.Family(&keys[i])
	}
	for _, fp := range s.fp[:len(keys)] {
		warm += m.mu.index.touch(fp)
	}
	for i := range keys {
		id := m.peekFamilyLocked(s.fp[i])
		s.fam[i] = id
		if id != 0 {
			warm += m.mu.families.At(id).head
		}
	}
	for i := range keys {
		head := uint32(0)
		if id := s.fam[i]; id != 0 {
			head = m.mu.families.At(id).head
		}
		if head == 0 {
			fresh++
			continue
		}
		warm += uint32(m.mu.entries.At(head).flags)
	}
	s.warm = warm
	return fresh
}

// foreseeNewLocked reads the records that the next n new keys will get.
func (m *Manager) foreseeNewLocked(n int) {
	s := &m.mu.scratch
	warm := uint32(0)
	ids := s.ids[:0]
	for i := range n {
		if id := m.mu.entries.Next(i); id != 0 {
			e := m.mu.entries.At(id)
			warm += uint32(e.flags) + e.readerPos
			ids = append(ids, id)
		}
		if id := m.mu.bufs.Next(i); id != 0 {
			warm += m.mu.bufs.At(id).layout
		}
		if id := m.mu.families.Next(i); id != 0 {
			warm += m.mu.families.At(id).members
		}
	}
	m.mu.policy.visit(ids)
	s.warm = warm
}
