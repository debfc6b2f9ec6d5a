package l1

import (
	"encoding/binary"
	"runtime"
	"testing"
	"time"

	"github.com/lmcache-go/lmcache/storage/kv"
)

// chunkKey is the key of a chunk that a number stands for.
func chunkKey(n uint64) kv.Key {
	var h [32]byte
	binary.BigEndian.PutUint64(h[:], n*0x9e3779b97f4a7c15+1)
	binary.BigEndian.PutUint64(h[8:], n)
	return kv.Key{Hash: kv.Hash32(h), Model: "m", Rank: 0x01000100}
}

func familyManager(t testing.TB, objects int64) (*Manager, kv.Layout) {
	t.Helper()
	layout, err := kv.RawLayout(4096)
	if err != nil {
		t.Fatal(err)
	}
	m, err := New(Options{Bytes: objects * 4096, NoBytes: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	return m, layout
}

func storeKeys(t testing.TB, m *Manager, layout kv.Layout, keys ...kv.Key) {
	t.Helper()
	now := time.Now()
	w, err := m.ReserveWrite(now, keys, layout, WriteNew, WriteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	w.Finish(now, OriginNew)
}

func look(t testing.TB, m *Manager, layout kv.Layout, keys ...kv.Key) {
	t.Helper()
	now := time.Now()
	r, err := m.ReserveRead(now, keys, layout, ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	r.Finish(now, CauseUnused)
}

// A list that goes round does not close a cycle of links: everything can still be
// evicted.
func TestLinksHaveNoCycle(t *testing.T) {
	m, layout := familyManager(t, 8)
	a, b, c := chunkKey(1), chunkKey(2), chunkKey(3)
	storeKeys(t, m, layout, a, b, c)
	look(t, m, layout, c, a) // says that a follows c
	look(t, m, layout, b, a)
	look(t, m, layout, a, a)
	if err := m.Check(); err != nil {
		t.Fatal(err)
	}
	for i := range uint64(8) {
		storeKeys(t, m, layout, chunkKey(100+i))
	}
	s := m.Stats()
	if s.EvictedObjects != 3 || s.PrefixBreaks != 0 {
		t.Errorf("evicted %d objects with %d prefix breaks, want 3 and 0", s.EvictedObjects, s.PrefixBreaks)
	}
}

// A predecessor that is dropped from the bounded list takes its link along; the
// successor is then a root, and a new object of the predecessor's key is not
// blocked by it.
func TestDroppedPredecessor(t *testing.T) {
	m, layout := familyManager(t, 8)
	pred, succ := chunkKey(1), chunkKey(2)
	storeKeys(t, m, layout, pred, succ)
	m.Delete(time.Now(), []kv.Key{pred}, false)
	for i := range uint64(minAbsent + 64) {
		look(t, m, layout, chunkKey(1000+i))
	}
	if err := m.Check(); err != nil {
		t.Fatal(err)
	}
	m.mu.Lock()
	id := m.seekLocked(&succ, new(kv.Names))
	linked := m.predecessorLocked(m.mu.families.At(m.mu.entries.At(id).family))
	m.mu.Unlock()
	if linked != 0 {
		t.Error("the successor is still linked to a family that was dropped")
	}
	storeKeys(t, m, layout, pred)
	if err := m.Check(); err != nil {
		t.Fatal(err)
	}
}

// REQ-S77: names of objects that are not resident are remembered up to a bound.
func TestAbsentFamiliesAreBounded(t *testing.T) {
	m, layout := familyManager(t, 64)
	heap := func() uint64 {
		var s runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&s)
		return s.HeapAlloc
	}
	pass := func(from uint64) {
		keys := make([]kv.Key, 64)
		for i := from; i < from+300_000; i += 64 {
			for j := range keys {
				keys[j] = chunkKey(i + uint64(j))
			}
			storeKeys(t, m, layout, keys...)
		}
	}
	pass(0)
	before := heap()
	pass(1 << 32)
	pass(1 << 33)
	after := heap()
	m.mu.Lock()
	absent := m.mu.absent.n
	m.mu.Unlock()
	if absent > minAbsent {
		t.Errorf("%d absent families are remembered, the bound is %d", absent, minAbsent)
	}
	if after > before+1<<20 {
		t.Errorf("600,000 further keys took %d bytes of heap", after-before)
	}
	if err := m.Check(); err != nil {
		t.Fatal(err)
	}
}
