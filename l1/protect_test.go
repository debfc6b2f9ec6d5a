package l1

import (
	"errors"
	"iter"
	"math/rand/v2"
	"strconv"
	"testing"
	"time"

	"github.com/lmcache-go/lmcache/l1/policy"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// The set of fingerprints against a map, also when its memory is used again.
func TestProtectionIsASet(t *testing.T) {
	p := &protection{}
	r := rand.New(rand.NewPCG(1, 6))
	for range 30 {
		want := map[uint64]bool{}
		for range r.IntN(600) {
			fp := r.Uint64N(500)
			if r.IntN(2) == 0 {
				fp = r.Uint64N(500) << 40 // equal low bits
			}
			if p.add(fp) == want[fp] {
				t.Fatalf("adding %x says %v", fp, !want[fp])
			}
			want[fp] = true
		}
		for fp := range uint64(500) {
			if p.has(fp) != want[fp] || p.has(fp<<40) != want[fp<<40] {
				t.Fatalf("%x: in the set %v, want %v", fp, p.has(fp), want[fp])
			}
		}
		p.reset()
		if len(p.fps) != 0 || p.has(0) {
			t.Fatal("not empty after reset")
		}
		for _, fp := range p.slots {
			if fp != 0 {
				t.Fatal("a slot is taken after reset")
			}
		}
	}
}

// A reservation that evicts everything looks at each victim once, and counts what
// it protects once, however many holds it takes.
func TestLongReservationIsLinear(t *testing.T) {
	for _, n := range []int{64, 512, 2048} {
		yields := 0
		m, err := New(Options{
			Bytes: int64(n) * 4096, NoBytes: true,
			NewPolicy: func() policy.Policy { return &yielding{Policy: policy.NewLRU(), n: &yields} },
		})
		if err != nil {
			t.Fatal(err)
		}
		layout, err := kv.RawLayout(4096)
		if err != nil {
			t.Fatal(err)
		}
		storeKeys(t, m, layout, longKeys(3 * n)[2*n:]...)
		keys := longKeys(n)
		w, err := m.beginWrite(time.Now(), keys, layout, WriteNew, WriteOptions{})
		if err != nil {
			t.Fatal(err)
		}
		counts := w.safe.counts
		l, err := w.endLocked()
		if err != nil {
			t.Fatal(err)
		}
		if s := m.Stats(); s.EvictedObjects != int64(n) || s.StagedBytes != s.CapacityBytes {
			t.Errorf("%d keys: %d evicted, %d bytes staged", n, s.EvictedObjects, s.StagedBytes)
		}
		if yields != n || counts > 1 {
			t.Errorf("%d keys: %d victims were named, and the protection was counted %d times", n, yields, counts)
		}
		l.Abort(time.Now(), AbortOwner)
		// The same for a replacement of everything, half of which has no room.
		storeKeys(t, m, layout, keys[:n/2]...)
		storeKeys(t, m, layout, longKeys(3 * n)[2*n:2*n+n/2]...)
		w, err = m.beginWrite(time.Now(), keys[:n/2], layout, WriteAll, WriteOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if counts = w.safe.counts; counts > 1 {
			t.Errorf("%d replacements: the protection was counted %d times", n/2, counts)
		}
		if l, err = w.endLocked(); err != nil {
			t.Fatal(err)
		}
		if s := m.Stats(); s.StagedBytes != s.CapacityBytes/2 || s.DeniedObjects != 0 {
			t.Errorf("%d replacements: %d bytes staged, %d denied", n/2, s.StagedBytes, s.DeniedObjects)
		}
		l.Abort(time.Now(), AbortOwner)
		if err := m.Check(); err != nil {
			t.Fatal(err)
		}
		if err := m.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// As long as there is enough beside what a reservation protects, others may do what
// they want: nothing is counted anew, be it memory that it lacks or a quota.
func TestBoundOfProtectionIsEnough(t *testing.T) {
	m, err := New(Options{Bytes: 512 * 4096, NoBytes: true, Policy: "IsolatedLRU"})
	if err != nil {
		t.Fatal(err)
	}
	layout, err := kv.RawLayout(4096)
	if err != nil {
		t.Fatal(err)
	}
	keys := longKeys(700)
	storeKeys(t, m, layout, keys[:100]...) // will be ancestors of what is reserved
	storeKeys(t, m, layout, longKeys(2000)[1600:]...)
	if err := m.SetQuota(time.Now(), "", 512*4096); err != nil {
		t.Fatal(err)
	}
	w, err := m.beginWrite(time.Now(), keys[100:300], layout, WriteNew, WriteOptions{After: keys[99]})
	if err != nil {
		t.Fatal(err)
	}
	p, before := w.safe, w.safe.counts
	if p.bytes.owned != 100*4096 || p.bytes.free != 100*4096 {
		t.Errorf("it protects %+v, want 100 objects", p.bytes)
	}
	m.mu.turns++ // another call
	const enough = 300 * 4096
	m.keepsLocked(p, holding{free: enough}, holding{free: 100 * 4096})
	m.keepsLocked(p, holding{owned: enough}, holding{owned: 100 * 4096})
	if n := p.counts - before; n != 0 {
		t.Errorf("the protection was counted %d times although a bound was enough", n)
	}
	m.keepsLocked(p, holding{free: enough}, holding{free: enough})
	if n := p.counts - before; n != 1 {
		t.Errorf("the protection was counted %d times when a bound was not enough", n)
	}
	l, err := w.endLocked()
	if err != nil {
		t.Fatal(err)
	}
	l.Abort(time.Now(), AbortOwner)
	if err := errors.Join(m.Check(), m.Close()); err != nil {
		t.Fatal(err)
	}
}

// yielding counts the victims that are named.
type yielding struct {
	policy.Policy
	n *int
}

func (y *yielding) Victims(need policy.Need) iter.Seq[policy.ID] {
	return func(yield func(policy.ID) bool) {
		for id := range y.Policy.Victims(need) {
			*y.n++
			if !yield(id) {
				return
			}
		}
	}
}

// REQ-S37: leased objects are no part of the search.
func TestREQ_S37_LeasedObjectsAreNotSearched(t *testing.T) {
	yields := 0
	m, err := New(Options{
		Bytes: 20_100 * 4096, NoBytes: true,
		NewPolicy: func() policy.Policy { return &yielding{Policy: policy.NewLRU(), n: &yields} },
	})
	if err != nil {
		t.Fatal(err)
	}
	layout, err := kv.RawLayout(4096)
	if err != nil {
		t.Fatal(err)
	}
	keys := longKeys(20_100)
	for i := range keys { // without links
		storeKeys(t, m, layout, keys[i])
	}
	now := time.Now()
	held, err := m.ReserveRead(now, keys[:20_000], layout, ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	w, err := m.ReserveWrite(now, longKeys(20_200)[20_100:], layout, WriteNew, WriteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if got := m.Stats().EvictedObjects; got != 100 || yields != 100 {
		t.Errorf("%d evicted of 100 free objects, %d were looked at", got, yields)
	}
	w.Abort(now, AbortOwner)
	held.Finish(now, CauseRead)
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
}

// REQ-S32: what others do between two holds of a reservation does not make it
// evict its own keys, nor count on them.
func TestREQ_S32_ProtectionOutlivesTheHold(t *testing.T) {
	for _, tight := range []bool{true, false} {
		m, layout := familyManager(t, 300)
		others := longKeys(1200)[1000:1200]
		for _, k := range others {
			storeKeys(t, m, layout, k)
		}
		free := longKeys(1300)[1200:1300] // what is free otherwise
		if tight {
			for _, k := range free {
				storeKeys(t, m, layout, k)
			}
		}
		keys := longKeys(256)
		now := time.Now()
		l := m.newLease(LeaseWrite, keys, layout, "", now)
		w := &l.res
		*w = reservation{m: m, l: l, at: now}
		w.foresee()
		w.m.inHold(w, 0, 64)
		// Somebody writes keys that this one has not come to, and they become the oldest.
		storeKeys(t, m, layout, keys[128:192]...)
		m.Touch(now, others)
		m.Touch(now, free)
		w.m.inHold(w, 64, 128)
		look(t, m, layout, keys[128:192]...)
		for i := 128; i < 192; i++ {
			if got, err := m.ReserveRead(now, keys[i:i+1], layout, ReadOptions{Look: true}); err != nil || got.Code(0) != Success {
				t.Fatalf("tight %v: key %d was evicted for its own reservation", tight, i)
			}
		}
		w.m.inHold(w, 128, 192)
		w.m.inHold(w, 192, 256)
		m.mu.Lock()
		for i := range keys {
			want := Success
			if i >= 128 && i < 192 {
				want = KeyNotWritable
			}
			if got := l.items[i].code; got != want {
				t.Fatalf("tight %v: position %d: %v, want %v", tight, i, got, want)
			}
		}
		wl, err := w.endLocked()
		if err != nil {
			t.Fatal(err)
		}
		if err := m.Check(); err != nil {
			t.Fatal(err)
		}
		wl.Abort(now, AbortOwner)
	}
}

// BenchmarkReserveLong reserves lists that evict all there is; a key costs the
// same in a long one.
func BenchmarkReserveLong(b *testing.B) {
	for _, n := range []int{64, 2048, 16384} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			m, err := New(Options{Bytes: int64(n) * 4096, NoBytes: true})
			if err != nil {
				b.Fatal(err)
			}
			layout, err := kv.RawLayout(4096)
			if err != nil {
				b.Fatal(err)
			}
			all := longKeys(2 * n)
			lists := [2][]kv.Key{all[:n], all[n:]}
			i := 0
			for b.Loop() {
				w, err := m.ReserveWrite(time.Now(), lists[i%2], layout, WriteNew, WriteOptions{})
				if err != nil {
					b.Fatal(err)
				}
				w.Finish(time.Now(), OriginNew)
				i++
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/key")
			if err := m.Close(); err != nil {
				b.Fatal(err)
			}
		})
	}
}

// inHold serves the keys [lo, hi) in a hold of its own.
func (m *Manager) inHold(w *reservation, lo, hi int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	w.holdLocked(lo, hi)
}
