package l1_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// salted is a chunk of a tenant, of a prompt of its own.
func salted(salt string, i int) kv.Key {
	k := chunk(i, 0)
	k.Salt = salt
	return k
}

func saltedChunks(salt string, prompt, lo, hi int) []kv.Key {
	keys := chunks(prompt, lo, hi)
	for i := range keys {
		keys[i].Salt = salt
	}
	return keys
}

func quotaFixture(t *testing.T, objects int64, quotas map[string]int64) *fixture {
	t.Helper()
	return newFixture(t, l1.Options{Bytes: objects * unit, NoBytes: true, Policy: "IsolatedLRU", Quotas: quotas})
}

// A tenant at its quota gives its own objects, and nobody else does.
func TestREQ_S47_TenantEvictsItsOwn(t *testing.T) {
	f := quotaFixture(t, 20, map[string]int64{"a": 4 * unit})
	f.storeSingly(single(0, 5)...)
	for i := range 10 {
		if f.store(1, salted("a", i)) != 1 {
			t.Fatalf("object %d was not stored", i)
		}
	}
	if n := f.resident(single(0, 5)...); n != 5 {
		t.Errorf("%d of 5 objects of the others are left", n)
	}
	for i := range 10 {
		if got, want := f.resident(salted("a", i)), i/6; got != min(want, 1) {
			t.Errorf("object %d: resident %d, want %d", i, got, want)
		}
	}
	if s := f.m.Stats(); s.BytesBySalt["a"] != 4*unit || s.EvictedObjects != 6 || s.DeniedObjects != 0 {
		t.Errorf("%+v", s)
	}
}

// What still does not fit is out of memory, the longest prefix first, and nothing
// is evicted in vain.
func TestREQ_S47_LongestPrefixWithinTheQuota(t *testing.T) {
	f := quotaFixture(t, 300, map[string]int64{"a": 100 * unit})
	f.store(1, saltedChunks("a", 1, 0, 50)...)
	pinned := f.read(1, saltedChunks("a", 1, 0, 30)...)
	w := f.reserve(l1.WriteNew, saltedChunks("a", 2, 0, 200)...)
	for i := range 200 {
		want := l1.Success
		if i >= 70 {
			want = l1.OutOfMemory
		}
		if w.Code(i) != want {
			t.Fatalf("position %d: %v, want %v", i, w.Code(i), want)
		}
	}
	s := f.m.Stats()
	if s.BytesBySalt["a"] != 100*unit || s.StagedBytes != 70*unit || s.DeniedObjects != 130 || s.DeniedByQuota != 130 || s.EvictedObjects != 20 {
		t.Errorf("%+v", s)
	}
	w.Abort(f.now(), l1.AbortOwner)
	// An object that is larger than what may be evicted evicts nothing.
	big, err := f.m.ReserveWrite(f.now(), saltedChunks("a", 3, 0, 1), layoutOf(t, 80*unit), l1.WriteNew, l1.WriteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	f.codes(big.Code, l1.OutOfMemory)
	pinned.Finish(f.now(), l1.CauseRead)
	if n := f.m.Stats().Objects; n != 30 {
		t.Errorf("%d objects are left, want 30", n)
	}
	// Own keys and their ancestors are not given for it.
	f.store(1, saltedChunks("a", 4, 0, 70)...)
	w = f.reserve(l1.WriteNew, saltedChunks("a", 4, 0, 140)...)
	f.codes(w.Code, l1.KeyNotWritable)
	if n := f.resident(saltedChunks("a", 4, 0, 70)...); n != 70 {
		t.Errorf("%d of 70 own keys are left", n)
	}
	if w.Code(99) != l1.Success || w.Code(100) != l1.OutOfMemory {
		t.Errorf("codes at the quota: %v, %v", w.Code(99), w.Code(100))
	}
	w.Abort(f.now(), l1.AbortOwner)
}

// A list of several tenants is served in order until the first that has no room.
func TestQuotaOfMixedLists(t *testing.T) {
	f := quotaFixture(t, 20, map[string]int64{"a": 2 * unit, "b": 1 * unit})
	list := []kv.Key{
		salted("a", 1), salted("b", 1), salted("a", 2), chunk(7, 0), salted("a", 3), chunk(8, 0),
	}
	w := f.reserve(l1.WriteNew, list...)
	f.codes(w.Code, l1.Success, l1.Success, l1.Success, l1.Success, l1.OutOfMemory, l1.OutOfMemory)
	w.Finish(f.now(), l1.OriginNew)
	list = []kv.Key{salted("b", 2), salted("a", 4), salted("b", 3), salted("a", 5)}
	w = f.reserve(l1.WriteNew, list...)
	f.codes(w.Code, l1.Success, l1.Success, l1.OutOfMemory, l1.OutOfMemory)
	w.Finish(f.now(), l1.OriginNew)
	if got := f.m.Stats().BytesBySalt; got["a"] != 2*unit || got["b"] != unit {
		t.Errorf("%v", got)
	}
}

// Lowering a quota takes effect at once, but for what leases hold; that goes as
// soon as it is given back. Raising and deleting give room.
func TestREQ_S47_LiveChanges(t *testing.T) {
	f := quotaFixture(t, 500, nil)
	set := func(bytes int64) {
		t.Helper()
		if err := f.m.SetQuota(f.now(), "a", bytes); err != nil {
			t.Fatal(err)
		}
		f.check()
	}
	used := func() int64 { return f.m.Stats().BytesBySalt["a"] / unit }
	keys := saltedChunks("a", 1, 0, 200) // before the tenant had a quota
	f.store(1, keys...)
	f.storeSingly(single(0, 100)...)
	held := f.read(1, keys[:20]...)
	set(50 * unit)
	if used() != 50 {
		t.Errorf("the tenant has %d objects after its quota became 50", used())
	}
	set(10 * unit)
	if used() != 20 {
		t.Errorf("the tenant has %d objects, want the 20 that are leased", used())
	}
	f.codes(f.reserve(l1.WriteNew, salted("a", 9)).Code, l1.OutOfMemory)
	held.Release(f.now(), l1.All(5), 1, l1.CauseRead)
	f.advance(0)
	if used() != 15 {
		t.Errorf("the tenant has %d objects after 5 were given back, want 15", used())
	}
	held.Finish(f.now(), l1.CauseRead)
	f.advance(time.Second)
	if used() != 10 {
		t.Errorf("the tenant has %d objects, want 10", used())
	}
	set(0)
	if used() != 0 || f.store(1, salted("a", 9)) != 0 {
		t.Error("a quota of 0 leaves something")
	}
	if n := f.resident(single(0, 100)...); n != 100 {
		t.Errorf("%d of 100 objects of the others are left", n)
	}
	if !f.m.DeleteQuota("a") || f.m.DeleteQuota("a") {
		t.Error("DeleteQuota does not say whether there was one")
	}
	f.check()
	if n := f.store(1, saltedChunks("a", 5, 0, 300)...); n != 300 {
		t.Errorf("%d of 300 objects were stored without a quota", n)
	}
}

func TestQuotaNames(t *testing.T) {
	f := quotaFixture(t, 8, map[string]int64{"b": 5, "": 7})
	for salt, want := range map[string]string{"a@": `cache_salt contains "@"`, strings.Repeat("x", 200): "the limit is 128"} {
		if err := f.m.SetQuota(f.now(), salt, 1); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("salt %.10q: %v, want %q", salt, err, want)
		}
	}
	if err := f.m.SetQuota(f.now(), "a", -1); err == nil || !strings.Contains(err.Error(), `bytes of salt "a": must not be negative, got -1`) {
		t.Errorf("a negative quota: %v", err)
	}
	if err := f.m.SetQuota(f.now(), "a", 0); err != nil {
		t.Error(err)
	}
	want := []l1.Quota{{Salt: "", Bytes: 7}, {Salt: "a"}, {Salt: "b", Bytes: 5}}
	if diff := cmp.Diff(want, f.m.Quotas()); diff != "" {
		t.Errorf("quotas (-want +got):\n%s", diff)
	}
	if f.m.Quota("b") != 5 || f.m.Quota("x") != 0 || f.m.HasQuota("x") || !f.m.HasQuota("a") || f.m.DeleteQuota("x") {
		t.Error("unknown salts have a quota, or known ones have none")
	}
	for i := range l1.MaxQuotas - 3 {
		if err := f.m.SetQuota(f.now(), fmt.Sprintf("t%d", i), 1); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.m.SetQuota(f.now(), "one more", 1); err == nil || !strings.Contains(err.Error(), "4096 salts have a quota, which is the limit") {
		t.Errorf("beyond the limit: %v", err)
	}
	if err := f.m.SetQuota(f.now(), "a", 9); err != nil {
		t.Errorf("a change at the limit: %v", err)
	}
	lru := newFixture(t, l1.Options{})
	if err := lru.m.SetQuota(lru.now(), "a", 1); !errors.Is(err, l1.ErrQuotaUnsupported) {
		t.Errorf("with LRU: %v", err)
	}
}

// Quotas come and go for ever, with the salts they name.
func TestREQ_S77_QuotasLeaveNothing(t *testing.T) {
	f := quotaFixture(t, 64, nil)
	for i := range 20_000 {
		salt := fmt.Sprintf("t%d", i)
		if err := f.m.SetQuota(f.now(), salt, 3*unit); err != nil {
			t.Fatal(err)
		}
		f.store(1, saltedChunks(salt, i, 0, 4)...)
		if !f.m.DeleteQuota(salt) {
			t.Fatal("the quota was not there")
		}
	}
	f.check()
	if s := f.m.Stats(); len(s.BytesBySalt) > 64 || len(s.Quotas) != 0 {
		t.Errorf("%d salts have bytes, %d a quota", len(s.BytesBySalt), len(s.Quotas))
	}
}

// Under global pressure in watermark mode, tenants that come near their quotas
// give first.
func TestWatermarkTakesFromTenantsFirst(t *testing.T) {
	f := newFixture(t, l1.Options{
		Bytes: 100 * unit, NoBytes: true, Policy: "IsolatedLRU", Mode: l1.ModeWatermark, Watermark: 0.8, EvictionRatio: 0.1,
		Quotas: map[string]int64{"near": 20 * unit, "far": 100 * unit},
	})
	f.storeSingly(single(0, 30)...)
	for i := range 30 {
		f.store(1, salted("far", i))
	}
	for i := range 20 {
		f.store(1, salted("near", i))
	}
	f.advance(0)
	// A round of 8: 4 of the one that has 20 of 20, and the 4 oldest.
	if got := f.m.Stats().BytesBySalt; got["near"] != 16*unit || got[""] != 26*unit || got["far"] != 30*unit {
		t.Errorf("%v", got)
	}
}

// Quotas change while tenants store and read: at rest each is kept exactly.
func TestREQ_S47_ChangesUnderLoad(t *testing.T) {
	m, err := l1.New(l1.Options{Bytes: 400 * unit, NoBytes: true, Policy: "IsolatedLRU"})
	if err != nil {
		t.Fatal(err)
	}
	layout := layoutOf(t, unit)
	salts := []string{"", "a", "b", "c"}
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(g), 47))
			for range 500 {
				keys := saltedChunks(salts[r.IntN(4)], r.IntN(20), 0, 1+r.IntN(90))
				w, err := m.ReserveWrite(time.Now(), keys, layout, l1.WriteNew, l1.WriteOptions{})
				if err != nil {
					t.Error(err)
					return
				}
				w.Finish(time.Now(), l1.OriginNew)
				l, err := m.ReserveRead(time.Now(), keys, layout, l1.ReadOptions{})
				if err != nil {
					t.Error(err)
					return
				}
				l.Finish(time.Now(), l1.CauseRead)
			}
		})
	}
	wg.Go(func() {
		r := rand.New(rand.NewPCG(9, 47))
		for range 300 {
			salt := salts[r.IntN(4)]
			if r.IntN(3) == 0 {
				m.DeleteQuota(salt)
			} else if err := m.SetQuota(time.Now(), salt, r.Int64N(150)*unit); err != nil {
				t.Error(err)
			}
		}
	})
	wg.Wait()
	for _, q := range m.Quotas() { // nobody holds anything: what is left is the evictor's last turn
		if err := m.SetQuota(time.Now(), q.Salt, q.Bytes); err != nil {
			t.Error(err)
		}
	}
	for _, q := range m.Quotas() {
		if q.Used > q.Bytes {
			t.Errorf("%q has %d bytes of %d", q.Salt, q.Used, q.Bytes)
		}
	}
	if err := m.Check(); err != nil {
		t.Error(err)
	}
	if err := m.Close(); err != nil {
		t.Error(err)
	}
}
