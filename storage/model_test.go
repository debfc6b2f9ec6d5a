package storage_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lmcache-go/lmcache/eventbus"
	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/storage"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// model is a manager beside a plain map, which learns of removals from the events
// alone. What the events and results say must be what lookups find, what the bytes
// are, and what memory is used.
type model struct {
	t        *testing.T
	o        modelOptions
	m        *storage.Manager
	v        *storage.Virtual // nil: live
	bus      *eventbus.Bus
	layout   kv.Layout
	phys     int64
	allowed  int64          // what the quota or, after it was lowered, leases allow; negative: no quota
	removes  l1.RemoveCause // what the call that runs may announce beside evictions
	resident map[kv.Key]int // version
	staged   map[kv.Key]*modelWrite
	version  int
	writes   []*modelWrite
	handles  []*modelHandle
	reads    []*modelRead
	steps    int
	evicted  int
	results  []string   // of every call, if they are kept
	seen     transcript // every event, the same
}

// modelWrite is a reservation that has not ended.
type modelWrite struct {
	l       storage.WriteLease
	at      map[kv.Key]int  // position of what was granted
	open    map[kv.Key]bool // staged by it
	lost    map[kv.Key]bool // taken from it; it still has the memory
	version int
	until   time.Time
}

type modelHandle struct {
	p       *storage.Prefetch
	holders map[kv.Key]int  // unclaimed
	seen    map[kv.Key]int  // versions at the time of the lookup
	removed map[kv.Key]bool // its holders are of an object that was removed
	until   time.Time
}

func (h *modelHandle) expired(now time.Time) bool { return !now.Before(h.until) }

// left is the unclaimed holders of all keys.
func (h *modelHandle) left() (n int) {
	for _, holders := range h.holders {
		n += holders
	}
	return n
}

type modelRead struct {
	l       storage.ReadLease
	keys    map[kv.Key]int // versions of what was not given back yet
	removed map[kv.Key]bool
	until   time.Time
}

const (
	modelKeys    = "abcdefghijkl"
	modelObjects = 7
	modelTTL     = 10 * time.Second
)

// modelKey is a key of modelKeys: the second half is another tenant's.
func modelKey(i int) kv.Key {
	k := key(modelKeys[i : i+1])
	if i >= len(modelKeys)/2 {
		k.Salt = "t"
	}
	return k
}

// content is the byte that version v of a key is filled with.
func content(k kv.Key, v int) byte {
	b, _ := k.Hash.Array()
	return b[0] ^ byte(v)*151
}

func (*model) Name() string { return "model" }

func (m *model) Subscribe(s *eventbus.Subscription) {
	eventbus.On(s, m.gone)
	eventbus.On(s, func(e l1.WriteAborted, _ time.Time) {
		for _, k := range e.Keys {
			if w := m.staged[k]; w != nil && e.Cause != l1.AbortOwner {
				delete(w.open, k)
				w.lost[k] = true
				delete(m.staged, k)
			}
		}
	})
}

// gone handles removals.
func (m *model) gone(e l1.KeysEvicted, at time.Time) {
	if e.Cause != l1.CauseEvict && e.Cause != m.removes {
		m.t.Fatalf("%s was removed by %s", named(e.Keys), e.Cause)
	}
	for _, k := range e.Keys {
		if _, is := m.resident[k]; !is {
			m.t.Fatalf("%s was removed and was not there", named([]kv.Key{k}))
		}
		if e.Cause == l1.CauseEvict {
			m.evicted++
			if m.staged[k] != nil || m.leased(k, at) {
				m.t.Fatalf("%s was evicted while somebody used it", named([]kv.Key{k}))
			}
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
}

// leased reports whether a holder of k is alive at a time.
func (m *model) leased(k kv.Key, at time.Time) bool {
	for _, h := range m.handles {
		if !h.expired(at) && h.holders[k] > 0 && !h.removed[k] {
			return true
		}
	}
	for _, r := range m.reads {
		if _, is := r.keys[k]; is && at.Before(r.until) && !r.removed[k] {
			return true
		}
	}
	return false
}

// modelOptions say what the manager under a model is.
type modelOptions struct {
	live    bool // and not virtual; time passes only if the test runs in a bubble
	bubble  bool // it does
	noBytes bool
	keep    bool // results and events
	mode    l1.Mode
	policy  string
	quota   quotas
	objects int64 // that fit; 0: modelObjects
	align   int   // 0: 64
	change  func(*l1.Options)
}

func newModel(t *testing.T, o modelOptions) *model {
	if o.objects == 0 {
		o.objects = modelObjects
	}
	if o.align == 0 {
		o.align = 64
	}
	m := &model{
		t: t, o: o, bus: eventbus.New(eventbus.Options{Manual: true}), layout: rawLayout(t, 64), phys: int64(o.align),
		allowed: storage.NoQuota, resident: make(map[kv.Key]int), staged: make(map[kv.Key]*modelWrite),
	}
	if _, err := m.bus.Subscribe(m); err != nil {
		t.Fatal(err)
	}
	if o.keep {
		if _, err := m.bus.Subscribe(&m.seen); err != nil {
			t.Fatal(err)
		}
	}
	so := storage.Options{
		L1: l1.Options{
			Bytes: o.objects * m.phys, Align: o.align, NoBytes: o.noBytes, ReadTTL: modelTTL, WriteTTL: modelTTL,
			Mode: o.mode, Policy: o.policy,
		},
		Bus: m.bus,
	}
	if o.quota == hugeQuotas {
		so.L1.Quotas = map[string]int64{"": hugeQuota, "t": hugeQuota}
	}
	if o.change != nil {
		o.change(&so.L1)
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
	return m
}

// runModel runs a list of operations to its end.
func runModel(t *testing.T, o modelOptions, ops []byte) *model {
	m := newModel(t, o)
	script := script{ops}
	for len(script.ops) > 0 {
		m.steps++
		m.step(&script)
		m.settle()
		m.check()
	}
	m.end()
	return m
}

// settle lets background work that is due happen.
func (m *model) settle() {
	switch {
	case m.v != nil:
		m.v.RunUntil(m.v.Now())
	case m.o.bubble:
		synctest.Wait()
	}
	m.bus.Drain(m.m.Now())
}

// advance moves the time on, if it is the model's. What has expired by then has
// done so when it returns.
func (m *model) advance(d time.Duration) {
	switch {
	case m.v != nil:
		m.v.RunUntil(m.v.Now().Add(d))
	case m.o.bubble:
		time.Sleep(d)
		synctest.Wait()
	default:
		return
	}
	for range 8 { // each call expires a number of keys; the timer may be late
		m.m.Touch([]kv.Key{key("nobody")})
	}
}

// check compares what memory is used with what the model knows of.
func (m *model) check() {
	m.withinQuota()
	if err := m.m.Check(); err != nil {
		m.t.Fatal(err)
	}
	s := m.m.Stats().L1
	if want := int64(len(m.buffers())) * m.phys; s.UsedBytes != want || s.UsedBytes > s.CapacityBytes {
		m.t.Fatalf("step %d: %d bytes are used of %d, live buffers have %d", m.steps, s.UsedBytes, s.CapacityBytes, want)
	}
}

// buffer names the memory of one version of an object.
type buffer struct {
	k kv.Key
	v int
}

// buffers are those that somebody uses: the index, writers that have not let go,
// readers, and handles whose time is not over.
func (m *model) buffers() map[buffer]bool {
	used := make(map[buffer]bool)
	for k, v := range m.resident {
		used[buffer{k, v}] = true
	}
	for _, w := range m.writes {
		for k := range w.open {
			used[buffer{k, w.version}] = true
		}
		for k := range w.lost {
			used[buffer{k, w.version}] = true
		}
	}
	for _, r := range m.reads {
		for k, v := range r.keys {
			used[buffer{k, v}] = true
		}
	}
	for _, h := range m.handles {
		for k, n := range h.holders {
			if n > 0 && !h.expired(m.m.Now()) {
				used[buffer{k, h.seen[k]}] = true
			}
		}
	}
	return used
}

// note keeps the result of a call.
func (m *model) note(format string, args ...any) {
	if m.o.keep {
		m.results = append(m.results, fmt.Sprintf("%d: ", m.steps)+fmt.Sprintf(format, args...))
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
	if int(s.L1.Objects) != len(m.resident) || s.L1.UsedBytes != int64(len(m.resident))*m.phys {
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

// script is a list of decisions; at its end all are 0.
type script struct{ ops []byte }

// newScript is a list of n decisions that follows from a seed.
func newScript(seed uint64, n int) []byte {
	rng := rand.New(rand.NewPCG(seed, 1))
	ops := make([]byte, n)
	for i := range ops {
		ops[i] = byte(rng.Uint32())
	}
	return ops
}

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
		list[i] = modelKey((first + i) % len(modelKeys))
	}
	if s.n(4) == 0 {
		list = append(list, list[0])
	}
	return list
}

// part is some positions of a list of n.
func (s *script) part(n int) (lo, hi int) {
	lo = s.n(n)
	return lo, lo + 1 + s.n(n-lo)
}

func pick[T any](s *script, list []T) (one T, at int) {
	at = s.n(len(list))
	return list[at], at
}

var modelSets = map[string]modelOptions{
	"virtual":         {},
	"virtual noBytes": {noBytes: true},
	"live":            {live: true},
	"live noBytes":    {live: true, noBytes: true},
	"watermark":       {mode: l1.ModeWatermark},
	"quotas":          {policy: "IsolatedLRU", quota: smallQuotas},
	"all of it":       {mode: l1.ModeWatermark, policy: "IsolatedLRU", quota: smallQuotas, noBytes: true},
}

func TestManagerIsAMap(t *testing.T) {
	for name, o := range modelSets {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(30) {
				runModel(t, o, newScript(seed, 3000))
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
		runModel(t, modelOptions{mode: l1.ModeWatermark, policy: "IsolatedLRU", quota: smallQuotas}, ops)
	})
}
