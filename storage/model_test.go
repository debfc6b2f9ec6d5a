package storage_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/lmcache-go/lmcache/eventbus"
	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/storage"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// model is a manager beside a plain map, which learns of removals from the events
// alone. What the events and results say must be what lookups find and what the
// bytes are.
type model struct {
	t        *testing.T
	m        *storage.Manager
	v        *storage.Virtual // nil: live
	bus      *eventbus.Bus
	layout   kv.Layout
	noBytes  bool
	quotas   bool
	allowed  int64           // what the quota or, after it was lowered, leases allow; negative: no quota
	resident map[kv.Key]byte // version
	staged   map[kv.Key]*modelWrite
	version  byte
	writes   []*modelWrite
	handles  []*modelHandle
	reads    []*modelRead
}

type modelWrite struct {
	l       storage.WriteLease
	open    map[kv.Key]bool // staged by it
	version byte
}

type modelHandle struct {
	p       *storage.Prefetch
	holders map[kv.Key]int  // unclaimed
	seen    map[kv.Key]byte // versions at the time of the lookup
	removed map[kv.Key]bool // its holders are of an object that was removed
	expired bool
}

type modelRead struct {
	l       storage.ReadLease
	keys    map[kv.Key]byte // not given back yet
	removed map[kv.Key]bool
	live    bool
}

const (
	modelKeys    = "abcdefghijkl"
	modelObjects = 7
	modelTTL     = 10 * time.Second
)

func (*model) Name() string { return "model" }

func (m *model) Subscribe(s *eventbus.Subscription) {
	eventbus.On(s, func(e l1.KeysEvicted, _ time.Time) {
		for _, k := range e.Keys {
			if _, is := m.resident[k]; !is {
				m.t.Fatalf("%s was removed and was not there", named([]kv.Key{k}))
			}
			if e.Cause == l1.CauseEvict && (m.staged[k] != nil || m.leased(k)) {
				m.t.Fatalf("%s was evicted while somebody used it", named([]kv.Key{k}))
			}
			delete(m.resident, k)
			for _, h := range m.handles {
				h.removed[k] = h.removed[k] || h.holders[k] > 0
			}
			for _, r := range m.reads {
				r.removed[k] = true
			}
		}
		if e.Bytes != int64(len(e.Keys))*m.layout.Size() {
			m.t.Fatalf("%d keys of %d bytes were removed", len(e.Keys), e.Bytes)
		}
	})
	eventbus.On(s, func(e l1.WriteAborted, _ time.Time) {
		for _, k := range e.Keys {
			if w := m.staged[k]; w != nil && e.Cause != l1.AbortOwner {
				delete(w.open, k)
				delete(m.staged, k)
			}
		}
	})
	eventbus.On(s, func(e l1.LeaseExpired, _ time.Time) {
		if e.Kind != l1.LeaseRead {
			return
		}
		if m.v == nil {
			m.t.Fatal("a lease expired in no time")
		}
	})
}

// leased reports whether a live holder of k is left.
func (m *model) leased(k kv.Key) bool {
	for _, h := range m.handles {
		if !h.expired && h.holders[k] > 0 && !h.removed[k] {
			return true
		}
	}
	for _, r := range m.reads {
		if _, is := r.keys[k]; is && r.live && !r.removed[k] {
			return true
		}
	}
	return false
}

type modelOptions struct {
	live, noBytes bool
	mode          l1.Mode
	policy        string
}

func runModel(t *testing.T, o modelOptions, ops []byte) {
	m := &model{
		t: t, bus: eventbus.New(eventbus.Options{Manual: true}), layout: rawLayout(t, 64), noBytes: o.noBytes,
		quotas: o.policy == "IsolatedLRU", allowed: storage.NoQuota,
		resident: make(map[kv.Key]byte), staged: make(map[kv.Key]*modelWrite),
	}
	if _, err := m.bus.Subscribe(m); err != nil {
		t.Fatal(err)
	}
	so := storage.Options{
		L1: l1.Options{
			Bytes: modelObjects * 64, Align: 64, NoBytes: o.noBytes, ReadTTL: modelTTL, WriteTTL: modelTTL,
			Mode: o.mode, Policy: o.policy,
		},
		Bus: m.bus,
	}
	var err error
	if o.live {
		m.m, err = storage.Open(t.Context(), so)
	} else {
		m.m, m.v, err = storage.OpenVirtual(so, storage.VirtualOptions{})
	}
	if err != nil {
		t.Fatal(err)
	}
	script := script{ops}
	for len(script.ops) > 0 {
		m.step(&script)
		if m.v != nil {
			m.v.RunUntil(m.v.Now()) // background work that is due
		}
		m.bus.Drain(m.m.Now())
		m.withinQuota()
		if err := m.m.Check(); err != nil {
			t.Fatal(err)
		}
	}
	m.end()
}

// script is a list of decisions; at its end all are 0.
type script struct{ ops []byte }

func (s *script) n(limit int) int {
	if len(s.ops) == 0 {
		return 0
	}
	b := s.ops[0]
	s.ops = s.ops[1:]
	return int(b) % limit
}

func (s *script) keys() []kv.Key {
	first, n := s.n(len(modelKeys)), 1+s.n(5)
	list := make([]kv.Key, n)
	for i := range list {
		list[i] = key(string(modelKeys[(first+i)%len(modelKeys)]))
	}
	if s.n(4) == 0 {
		list = append(list, list[0])
	}
	return list
}

func pick[T any](s *script, list []T) (one T, at int) {
	at = s.n(len(list))
	return list[at], at
}

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
		h, at := pick(s, m.handles)
		h.p.Release()
		m.handles = append(m.handles[:at], m.handles[at+1:]...)
	case op == 11:
		m.rare(s)
	}
}

func (m *model) reserve(s *script) {
	m.version++
	list, mode := s.keys(), storage.Mode(s.n(3))
	busy := make([]bool, len(list))
	seen := make(map[kv.Key]bool)
	for i, k := range list {
		_, there := m.resident[k]
		busy[i] = seen[k] || m.staged[k] != nil || m.leased(k) && there || mode == storage.New && there || mode == storage.Update && !there
		seen[k] = seen[k] || !busy[i]
	}
	l, err := m.m.ReserveWrite(m.t.Context(), list, m.layout, mode, storage.WriteOptions{})
	if err != nil {
		m.t.Fatal(err)
	}
	m.withinQuota()
	w := &modelWrite{l: l, open: make(map[kv.Key]bool), version: m.version}
	m.bus.Drain(m.m.Now()) // evictions, before the own stagings
	full := false
	for i, k := range list {
		switch c := l.Code(i); {
		case busy[i] != (c == l1.KeyNotWritable):
			m.t.Fatalf("%v of %s: key %d got %v, busy is %v", mode, named(list), i, c, busy[i])
		case c == l1.OutOfMemory:
			full = true
		case c == l1.Success && full:
			m.t.Fatalf("%v of %s: key %d got memory behind one without", mode, named(list), i)
		case c == l1.Success:
			w.open[k] = true
			m.staged[k] = w
		}
	}
	for _, b := range l.All() {
		fill(b, w.version)
	}
	if len(w.open) > 0 {
		m.writes = append(m.writes, w)
	}
}

func (m *model) finish(s *script) {
	w, at := pick(s, m.writes)
	list := w.l.Keys()
	if s.n(3) == 0 {
		w.l.Abort()
	} else {
		lo := s.n(3)
		r := w.l.FinishRange(lo, len(list))
		for _, k := range r.Finished {
			if !w.open[k] {
				m.t.Fatalf("%s became readable and was not staged", named([]kv.Key{k}))
			}
			m.resident[k] = w.version
			delete(w.open, k)
			delete(m.staged, k)
		}
		for _, k := range r.Failed {
			if w.open[k] {
				m.t.Fatalf("%s was staged and did not become readable", named([]kv.Key{k}))
			}
		}
		w.l.Abort()
	}
	for k := range w.open {
		delete(m.staged, k)
	}
	m.writes = append(m.writes[:at], m.writes[at+1:]...)
}

func (m *model) lookup(s *script) {
	list := s.keys()
	o := storage.PrefetchOptions{Readers: 1 + s.n(3), Policy: storage.Policy(s.n(2)), Warm: s.n(8) == 0}
	p, err := m.m.SubmitPrefetch(m.t.Context(), list, m.layout, o)
	if err != nil {
		m.t.Fatal(err)
	}
	h := &modelHandle{p: p, holders: make(map[kv.Key]int), seen: make(map[kv.Key]byte), removed: make(map[kv.Key]bool)}
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
	m.handles = append(m.handles, h)
}

func (m *model) claim(s *script) {
	h, _ := pick(s, m.handles)
	list := h.p.Keys()
	n := 1 + s.n(len(list))
	want := make(map[kv.Key]byte)
	good := true
	for _, k := range list[:n] {
		now, there := m.resident[k]
		switch {
		case h.holders[k] == 0 || h.expired && !there:
			good = false
		case h.expired:
			want[k] = now
		default:
			want[k] = h.seen[k]
		}
	}
	l, err := h.p.Read(m.t.Context(), storage.Select{Hi: n})
	var bad *storage.ReadError
	switch {
	case err != nil && !errors.As(err, &bad):
		m.t.Fatal(err)
	case good != (err == nil):
		m.t.Fatalf("reading %s: %v, want success %v", named(list[:n]), err, good)
	case err != nil: // holders that were claimed went back
		for k := range want {
			h.holders[k]--
		}
		return
	}
	for k := range want {
		h.holders[k]--
	}
	r := &modelRead{l: l, keys: want, removed: make(map[kv.Key]bool), live: true}
	for k := range want {
		r.removed[k] = h.removed[k] && !h.expired
	}
	m.look(r)
	m.reads = append(m.reads, r)
}

// look compares the bytes of a lease that has all its keys.
func (m *model) look(r *modelRead) {
	list := r.l.Keys()
	n := 0
	for i, b := range r.l.All() {
		n++
		if want := r.keys[list[i]]; !m.noBytes && !filledWith(b, want) {
			m.t.Fatalf("%s has the bytes %d, want %d", named(list[i:i+1]), b[0], want)
		}
	}
	if n != len(list) {
		m.t.Fatalf("%d buffers of %d keys", n, len(list))
	}
}

func (m *model) giveBack(s *script) {
	r, at := pick(s, m.reads)
	m.look(r)
	if s.n(3) == 0 {
		r.l.Abort()
	} else {
		r.l.FinishRange(0, s.n(3))
		r.l.Finish()
	}
	m.reads = append(m.reads[:at], m.reads[at+1:]...)
}

func (m *model) rare(s *script) {
	switch s.n(7) {
	case 6:
		m.quota(s)
	case 0:
		list := s.keys()
		for i, c := range m.m.Delete(list, s.n(2) == 0) {
			_, there := m.resident[list[i]]
			if c == l1.Success && !there && m.staged[list[i]] == nil {
				m.t.Fatalf("%s was deleted and was not there", named(list[i:i+1]))
			}
		}
	case 1:
		m.m.Clear(s.n(2) == 0)
	case 2:
		m.m.Touch(s.keys())
	case 3, 4:
		if m.v != nil {
			m.v.RunUntil(m.v.Now().Add(time.Second))
			m.expire(time.Second)
		}
	default:
		if m.v != nil {
			m.expire(modelTTL) // what has expired may be evicted on the way
			m.v.RunUntil(m.v.Now().Add(modelTTL))
		}
	}
}

// expire ends every lease of the model when the time of all has run out; a step
// of a second renews what is alive instead.
func (m *model) expire(d time.Duration) {
	for _, h := range m.handles {
		if d < modelTTL {
			h.p.Renew()
		} else {
			h.expired = true
		}
	}
	for _, r := range m.reads {
		if d < modelTTL {
			r.l.Renew()
		} else {
			r.live = false
		}
	}
	for _, w := range m.writes {
		w.l.Renew()
	}
}

// end gives everything back and closes.
func (m *model) end() {
	for _, w := range m.writes {
		w.l.Abort()
	}
	for _, r := range m.reads {
		m.look(r)
		r.l.Abort()
	}
	for _, h := range m.handles {
		h.p.Release()
	}
	m.bus.Drain(m.m.Now())
	s := m.m.Stats()
	if s.L1.Leases != 0 || s.L1.LeasedBytes != 0 || s.L1.StagedBytes != 0 || s.L1.OrphanedBytes != 0 || s.Prefetches != 0 {
		m.t.Fatalf("left at the end: %+v", s)
	}
	if int(s.L1.Objects) != len(m.resident) || s.L1.UsedBytes != int64(len(m.resident))*m.layout.Size() {
		m.t.Fatalf("%d objects of %d bytes, want %d", s.L1.Objects, s.L1.UsedBytes, len(m.resident))
	}
	if err := m.m.Check(); err != nil {
		m.t.Fatal(err)
	}
	if err := m.m.Close(context.Background()); err != nil {
		m.t.Fatal(err)
	}
	if err := m.bus.Close(context.Background()); err != nil {
		m.t.Fatal(err)
	}
}

var modelSets = map[string]modelOptions{
	"virtual":         {},
	"virtual noBytes": {noBytes: true},
	"live":            {live: true},
	"live noBytes":    {live: true, noBytes: true},
	"watermark":       {mode: l1.ModeWatermark},
	"quotas":          {policy: "IsolatedLRU"},
	"all of it":       {mode: l1.ModeWatermark, policy: "IsolatedLRU", noBytes: true},
}

func TestManagerIsAMap(t *testing.T) {
	for name, o := range modelSets {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(30) {
				rng := rand.New(rand.NewPCG(seed, 1))
				ops := make([]byte, 3000)
				for i := range ops {
					ops[i] = byte(rng.Uint32())
				}
				runModel(t, o, ops)
			}
		})
	}
}

func FuzzManagerOps(f *testing.F) {
	f.Add([]byte("a reservation, a finish, a lookup, a claim, and much else"))
	f.Fuzz(func(t *testing.T, ops []byte) {
		if len(ops) > 2000 {
			return
		}
		runModel(t, modelOptions{}, ops)
		runModel(t, modelOptions{mode: l1.ModeWatermark, policy: "IsolatedLRU"}, ops)
	})
}
