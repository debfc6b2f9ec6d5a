package storage_test

import (
	"errors"
	"slices"
	"time"

	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/storage"
	"github.com/lmcache-go/lmcache/storage/kv"
)

func (m *model) step(s *script) {
	switch op := s.n(12); {
	case op < 3:
		m.reserve(s)
	case op < 5 && len(m.writes) > 0:
		m.finish(s)
	case op < 8:
		m.lookup(s)
	case op == 8 && len(m.handles) > 0:
		m.claim(s)
	case op == 9 && len(m.reads) > 0:
		m.giveBack(s)
	case op == 10 && len(m.handles) > 0:
		m.release(s)
	case op == 11:
		m.rare(s)
	}
}

func (m *model) reserve(s *script) {
	m.version++
	now := m.m.Now()
	list, mode := s.keys(), storage.Mode(s.n(3))
	busy := make([]bool, len(list))
	seen := make(map[kv.Key]bool)
	for i, k := range list {
		_, there := m.resident[k]
		busy[i] = seen[k] || m.staged[k] != nil || m.leased(k, now) && there || mode == storage.New && there || mode == storage.Update && !there
		seen[k] = seen[k] || !busy[i]
	}
	l, err := m.m.ReserveWrite(m.t.Context(), list, m.layout, mode, storage.WriteOptions{})
	if err != nil {
		m.t.Fatal(err)
	}
	m.withinQuota()
	w := &modelWrite{
		l: l, version: m.version, until: now.Add(modelTTL),
		at: make(map[kv.Key]int), open: make(map[kv.Key]bool), lost: make(map[kv.Key]bool),
	}
	m.bus.Drain(m.m.Now()) // evictions, before the own stagings
	full := false
	codes := make([]l1.Code, len(list))
	for i, k := range list {
		codes[i] = l.Code(i)
		switch c := codes[i]; {
		case busy[i] != (c == l1.KeyNotWritable):
			m.t.Fatalf("%v of %s: key %d got %v, busy is %v", mode, named(list), i, c, busy[i])
		case c == l1.OutOfMemory:
			full = true
		case c == l1.Success && full:
			m.t.Fatalf("%v of %s: key %d got memory behind one without", mode, named(list), i)
		case c == l1.Success:
			w.at[k], w.open[k] = i, true
			m.staged[k] = w
		}
	}
	m.note("reserve %v of %s: %v", mode, named(list), codes)
	for i, b := range l.All() {
		fill(b, content(list[i], w.version))
	}
	if len(w.open) > 0 {
		m.writes = append(m.writes, w)
	}
}

func (m *model) finish(s *script) {
	w, at := pick(s, m.writes)
	n := len(w.l.Keys())
	lo, hi := s.part(n)
	switch s.n(8) {
	case 0:
		w.l.Abort()
		m.discard(w, 0, n)
	case 1:
		w.l.Drop(lo)
		m.discard(w, lo, lo+1)
	case 2:
		w.l.AbortRange(lo, hi)
		m.discard(w, lo, hi)
	case 3:
		live := m.m.Now().Before(w.until)
		if w.l.Renew() != live {
			m.t.Fatalf("renewing a reservation says %v", !live)
		}
		if live {
			w.until = m.m.Now().Add(modelTTL)
		}
		m.note("renewed write: %v", live)
	case 4, 5:
		m.commit(w, lo, hi)
	default:
		m.commit(w, 0, n)
	}
	if len(w.open)+len(w.lost) == 0 {
		w.l.Abort() // it has ended
		m.writes = append(m.writes[:at], m.writes[at+1:]...)
	}
}

// discard is what an abort of positions [lo, hi) leads to.
func (m *model) discard(w *modelWrite, lo, hi int) {
	for k, i := range w.at {
		if i < lo || i >= hi {
			continue
		}
		if w.open[k] {
			delete(m.staged, k)
		}
		delete(w.open, k)
		delete(w.lost, k)
	}
}

// commit finishes positions [lo, hi): exactly what is still staged becomes readable.
func (m *model) commit(w *modelWrite, lo, hi int) {
	var good, bad []kv.Key
	for i, k := range w.l.Keys() {
		if p, granted := w.at[k]; !granted || p != i || i < lo || i >= hi {
			continue
		}
		if w.open[k] {
			good = append(good, k)
		} else {
			bad = append(bad, k)
		}
	}
	r := w.l.FinishRange(lo, hi)
	if !slices.Equal(r.Finished, good) || !slices.Equal(r.Failed, bad) {
		m.t.Fatalf("finished %s and failed %s, want %s and %s", named(r.Finished), named(r.Failed), named(good), named(bad))
	}
	m.note("finished %s, failed %s", named(r.Finished), named(r.Failed))
	for _, k := range good {
		m.resident[k] = w.version
		delete(w.open, k)
		delete(m.staged, k)
	}
	for _, k := range bad {
		delete(w.lost, k)
	}
}

func (m *model) lookup(s *script) {
	list := s.keys()
	o := storage.PrefetchOptions{Readers: 1 + s.n(3), Policy: storage.Policy(s.n(2)), Warm: s.n(8) == 0}
	p, err := m.m.SubmitPrefetch(m.t.Context(), list, m.layout, o)
	if err != nil {
		m.t.Fatal(err)
	}
	h := &modelHandle{
		p: p, until: m.m.Now().Add(modelTTL),
		holders: make(map[kv.Key]int), seen: make(map[kv.Key]int), removed: make(map[kv.Key]bool),
	}
	r, _ := p.Status()
	prefix := 0
	for i, k := range list {
		v, there := m.resident[k]
		if there && prefix == i {
			prefix++
		}
		want := there && (o.Policy == storage.Sparse || prefix == i+1)
		if r.Found.Has(i) != want {
			m.t.Fatalf("%v lookup of %s: key %d found is %v, want %v", o.Policy, named(list), i, r.Found.Has(i), want)
		}
		if want && !o.Warm {
			h.holders[k], h.seen[k] = o.Readers, v
		}
		if want {
			continue
		}
		switch why := r.Miss[i]; {
		case there && why != storage.MissAfterGap,
			!there && m.staged[k] != nil && why != storage.MissStaged,
			!there && m.staged[k] == nil && why != storage.MissAbsent && why != storage.MissEvicted:
			m.t.Fatalf("key %d of %s was missed for %v", i, named(list), why)
		}
	}
	if r.Prefix != prefix {
		m.t.Fatalf("prefix %d of %s, want %d", r.Prefix, named(list), prefix)
	}
	m.note("lookup of %s: prefix %d, %d found, missed %v", named(list), r.Prefix, r.L1, r.Miss)
	m.handles = append(m.handles, h)
}

func (m *model) claim(s *script) {
	h, _ := pick(s, m.handles)
	list := h.p.Keys()
	n := 1 + s.n(len(list))
	want := make(map[kv.Key]int)
	var bad []kv.Key
	expired := h.expired(m.m.Now())
	for _, k := range list[:n] {
		now, there := m.resident[k]
		switch {
		case h.holders[k] == 0 || expired && !there:
			if !slices.Contains(bad, k) {
				bad = append(bad, k)
			}
		case expired:
			want[k] = now
		default:
			want[k] = h.seen[k]
		}
	}
	l, err := h.p.Read(m.t.Context(), storage.Select{Hi: n})
	m.note("claim of %s: %v", named(list[:n]), err)
	for k := range want {
		h.holders[k]-- // or it goes back
	}
	var failed *storage.ReadError
	switch {
	case err == nil && len(bad) == 0:
	case !errors.As(err, &failed):
		m.t.Fatalf("claim of %s: %v, want %s to fail", named(list[:n]), err, named(bad))
	default:
		var got []kv.Key
		for _, k := range failed.Keys {
			got = append(got, k.Key)
		}
		if !slices.Equal(got, bad) {
			m.t.Fatalf("claim of %s: %s failed, want %s", named(list[:n]), named(got), named(bad))
		}
		return
	}
	r := &modelRead{l: l, keys: want, removed: make(map[kv.Key]bool), until: m.m.Now().Add(modelTTL)}
	for k := range want {
		r.removed[k] = h.removed[k] && !expired
	}
	m.look(r)
	m.reads = append(m.reads, r)
}

// look compares the bytes of what a lease still has.
func (m *model) look(r *modelRead) {
	list := r.l.Keys()
	n := 0
	for i, b := range r.l.All() {
		n++
		want, has := r.keys[list[i]]
		if has && !m.o.noBytes && !filledWith(b, content(list[i], want)) {
			m.t.Fatalf("%s has the bytes %d, want %d", named(list[i:i+1]), b[0], content(list[i], want))
		}
	}
	if n != len(list) {
		m.t.Fatalf("%d buffers of %d keys", n, len(list))
	}
}

func (m *model) giveBack(s *script) {
	r, at := pick(s, m.reads)
	m.look(r)
	list := r.l.Keys()
	lo, hi := s.part(len(list))
	switch s.n(5) {
	case 0:
		r.l.Abort()
		r.keys = nil
	case 1:
		live := m.m.Now().Before(r.until)
		if r.l.Renew() != live {
			m.t.Fatalf("renewing a read says %v", !live)
		}
		if live {
			r.until = m.m.Now().Add(modelTTL)
		}
		m.note("renewed read: %v", live)
	case 2, 3:
		r.l.FinishRange(lo, hi)
		for i := lo; i < hi; i++ {
			if slices.Index(list, list[i]) == i { // repeated ones have no holder
				delete(r.keys, list[i])
			}
		}
	default:
		r.l.Finish()
		r.keys = nil
	}
	if len(r.keys) == 0 {
		r.l.Finish() // it has ended
		m.reads = append(m.reads[:at], m.reads[at+1:]...)
	}
}

func (m *model) release(s *script) {
	h, at := pick(s, m.handles)
	list := h.p.Keys()
	lo, hi := s.part(len(list))
	switch s.n(4) {
	case 0:
		n := 1 + s.n(3)
		h.p.ReleaseRange(storage.Select{Lo: lo, Hi: hi}, n)
		for i := lo; i < hi; i++ {
			if k := list[i]; slices.Index(list, k) == i {
				h.holders[k] -= min(n, h.holders[k])
			}
		}
	case 1:
		live := h.left() > 0 && !h.expired(m.m.Now())
		if h.p.Renew() != live {
			m.t.Fatalf("renewing a handle says %v", !live)
		}
		if live {
			h.until = m.m.Now().Add(modelTTL)
		}
		m.note("renewed handle: %v", live)
	default:
		h.p.Release()
		m.handles = append(m.handles[:at], m.handles[at+1:]...)
	}
}

func (m *model) rare(s *script) {
	switch s.n(8) {
	case 0:
		m.remove(s)
	case 1:
		m.removes = l1.CauseClear
		n := m.m.Clear(s.n(2) == 0)
		m.bus.Drain(m.m.Now())
		m.note("cleared %d", n)
	case 2:
		m.m.Touch(s.keys())
	case 3:
		m.quota(s)
	case 4:
		m.advance(modelTTL)
	case 5:
		m.advance(modelTTL / 2)
	default:
		m.advance(time.Duration(1+s.n(100)) * 17 * time.Millisecond)
	}
	m.removes = ""
}

// remove deletes keys.
func (m *model) remove(s *script) {
	list, force := s.keys(), s.n(2) == 0
	now := m.m.Now()
	want := make([]l1.Code, len(list))
	for i, k := range list {
		_, there := m.resident[k]
		switch {
		case !there && m.staged[k] == nil, force && slices.Index(list, k) < i:
			want[i] = l1.KeyNotExist
		case !force && (m.staged[k] != nil || m.leased(k, now)):
			want[i] = l1.KeyIsLocked
		case slices.Index(list, k) < i:
			want[i] = l1.KeyNotExist
		}
	}
	m.removes = l1.CauseDelete
	got := m.m.Delete(list, force)
	m.bus.Drain(m.m.Now())
	if !slices.Equal(got, want) {
		m.t.Fatalf("delete of %s, forced %v: %v, want %v", named(list), force, got, want)
	}
	m.note("delete of %s, forced %v: %v", named(list), force, got)
}
