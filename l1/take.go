package l1

import (
	"time"

	"github.com/lmcache-go/lmcache/storage/kv"
)

// Take moves one holder of each selected position into a lease of its own, over
// the selected keys in order, and reports how many of them could not be had.
// Nothing is released or announced. A position whose lease has expired is leased
// again if the object is still there; one that was never leased, or whose holders
// have all been taken, is KeyNotReadable. If the lease itself has ended, taken is
// the zero value and bad is 0.
func (r ReadLease) Take(at time.Time, s Select) (taken ReadLease, bad int) {
	l := r.l
	if l == nil {
		return ReadLease{}, 0
	}
	m := l.m
	m.mu.Lock()
	live, keys, layout, owner := l.gen.Load() == r.gen, l.keys, l.layout, l.owner
	if live {
		l.busy++
	}
	m.mu.Unlock()
	if !live {
		return ReadLease{}, 0
	}
	s = s.clip(len(keys))
	t := m.newLease(LeaseRead, s.Pick(keys), layout, owner, at)
	tk := taking{m: m, from: l, to: t, s: s}
	m.mu.Lock()
	defer m.mu.Unlock()
	for j := 0; j < len(t.keys); j += maxHold {
		if j > 0 {
			m.mu.Unlock()
			m.mu.Lock()
		}
		m.enterLeaseLocked(l, at)
		end := min(j+maxHold, len(t.keys))
		m.mu.coverLocked(end - j)
		for i := j; i < end; i++ {
			if !tk.position(s.Lo+i*s.Stride, i) {
				bad++
			}
		}
	}
	m.doneLocked(l)
	gen := t.gen.Load()
	if t.open > 0 {
		m.listLocked(t, at)
	} else {
		m.discardLocked(t)
	}
	return ReadLease{t, gen}, bad
}

// Pick is the selected keys in order: a part of keys itself where they are
// consecutive.
func (s Select) Pick(keys []kv.Key) []kv.Key {
	s = s.clip(len(keys))
	if s.Lo >= s.Hi {
		return nil
	}
	if s.Stride == 1 {
		return keys[s.Lo:s.Hi:s.Hi]
	}
	out := make([]kv.Key, 0, s.Len(len(keys)))
	for i := s.Lo; i < s.Hi; i += s.Stride {
		out = append(out, keys[i])
	}
	return out
}

// Has reports whether s selects position i of n.
func (s Select) Has(i, n int) bool { return s.clip(n).has(i) }

// has is Has of a clipped selection.
func (s Select) has(i int) bool {
	return i >= s.Lo && i < s.Hi && (i-s.Lo)%s.Stride == 0
}

// taking is one Take while it runs.
type taking struct {
	m        *Manager
	from, to *lease
	s        Select
	names    kv.Names
}

// position moves a holder of from's position i to position j of the new lease.
func (t *taking) position(i, j int) bool {
	m, it, to := t.m, &t.from.items[i], &t.to.items[j]
	if it.state == itemRepeat {
		first := int(it.entry)
		if t.s.has(first) { // reads what the first position of the key reads
			t.repeat(to, (first-t.s.Lo)/t.s.Stride)
			return to.code == Success
		}
		for p := first + 1; p < i; p++ { // the first selected one of them takes the holder
			if o := &t.from.items[p]; t.s.has(p) && o.state == itemRepeat && int(o.entry) == first {
				t.repeat(to, (p-t.s.Lo)/t.s.Stride)
				return to.code == Success
			}
		}
		i, it = first, &t.from.items[first]
	}
	switch {
	case it.state == itemOpen && it.holders > 0:
		e := m.mu.entries.At(it.entry)
		e.refs++
		m.mu.bufs.At(it.buf).refs++
		*to = item{off: it.off, entry: it.entry, buf: it.buf, holders: 1, state: itemOpen}
		t.to.open++
		if it.holders--; it.holders == 0 {
			m.unuseLocked(it.buf)
			m.settleLocked(t.from, it)
		}
		return true
	case it.state == itemLost && it.holders > 0 && m.mu.closed:
		to.code, to.detail = KeyNotExist, DetailAbsent
		return false
	case it.state == itemLost && it.holders > 0: // expired: lease it again if it is still there
		id := t.find(i)
		if to.code, to.detail = m.readableLocked(id, 0, t.from.layout.Fingerprint()); to.code != Success {
			return false
		}
		m.leaseLocked(t.to, to, id, m.mu.entries.At(id), 1)
		if it.holders--; it.holders == 0 {
			m.unuseItemLocked(it)
			m.settleLocked(t.from, it)
		}
		return true
	}
	// Never leased, or all holders taken. It may be resident all the same.
	to.code, to.detail = m.readableLocked(t.find(i), 0, t.from.layout.Fingerprint())
	if to.code == Success {
		to.code, to.detail = KeyNotReadable, DetailNotLeased
	}
	return false
}

// repeat lets to report what the new lease has at position pos.
func (t *taking) repeat(to *item, pos int) {
	*to = t.to.items[pos]
	if to.state == itemOpen {
		*to = item{off: to.off, entry: uint32(pos), state: itemRepeat}
	}
}

func (t *taking) find(i int) uint32 {
	return t.m.seekLocked(&t.from.keys[i], &t.names)
}
