package l1_test

import (
	"fmt"
	"testing"

	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// REQ-S19: whatever becomes of single keys of a load before it is committed, its lease
// grants exactly those that are resident with its bytes and leased to its readers.
func TestREQ_S19_LoadsAreVerifiedPerKey(t *testing.T) {
	const n, readers = 70, 3 // two holds
	for name, c := range map[string]struct {
		spoil func(f *fixture, w l1.WriteLease, keys []kv.Key, i int)
		all   bool // the other keys are lost with it
	}{
		"nothing": {spoil: func(*fixture, l1.WriteLease, []kv.Key, int) {}},
		"aborted": {spoil: func(f *fixture, w l1.WriteLease, _ []kv.Key, i int) {
			w.AbortRange(f.now(), i, i+1, l1.AbortTrimmed)
		}},
		"committed before": {spoil: func(f *fixture, w l1.WriteLease, _ []kv.Key, i int) {
			w.FinishRange(f.now(), i, i+1, l1.OriginRestored)
		}},
		"forced delete": {spoil: func(f *fixture, _ l1.WriteLease, keys []kv.Key, i int) {
			f.m.Delete(f.now(), keys[i:i+1], true)
		}},
		"stolen after a forced delete": {spoil: func(f *fixture, _ l1.WriteLease, keys []kv.Key, i int) {
			f.m.Delete(f.now(), keys[i:i+1], true)
			f.store(2, keys[i])
		}},
		"staged by another after a forced delete": {spoil: func(f *fixture, _ l1.WriteLease, keys []kv.Key, i int) {
			f.m.Delete(f.now(), keys[i:i+1], true)
			w := f.reserve(l1.WriteNew, keys[i])
			f.t.Cleanup(func() { w.Abort(f.now(), l1.AbortOwner) })
		}},
		"forced clear": {all: true, spoil: func(f *fixture, _ l1.WriteLease, _ []kv.Key, _ int) {
			f.m.Clear(f.now(), true)
		}},
		"let go of": {all: true, spoil: func(f *fixture, w l1.WriteLease, _ []kv.Key, _ int) {
			w.Orphan(f.now(), l1.AbortOwner)
		}},
		"expired": {all: true, spoil: func(f *fixture, _ l1.WriteLease, _ []kv.Key, _ int) {
			f.advance(l1.DefaultWriteTTL)
		}},
		"stolen after it expired": {all: true, spoil: func(f *fixture, _ l1.WriteLease, keys []kv.Key, i int) {
			f.advance(l1.DefaultWriteTTL)
			f.store(2, keys[i])
		}},
		"staged by another after it expired": {all: true, spoil: func(f *fixture, _ l1.WriteLease, keys []kv.Key, i int) {
			f.advance(l1.DefaultWriteTTL)
			w := f.reserve(l1.WriteAll, keys[i])
			f.t.Cleanup(func() { w.Abort(f.now(), l1.AbortOwner) })
		}},
	} {
		for at := range 12 {
			i, replaces := []int{0, 1, 35, 63, 64, 69}[at/2], at%2 == 1
			t.Run(fmt.Sprintf("%s/%d/%v", name, i, replaces), func(t *testing.T) {
				f := newFixture(t, l1.Options{Bytes: 3 * n * unit})
				keys := chunks(1, 0, n)
				if replaces {
					f.store(3, keys...)
				}
				w := f.reserve(l1.WriteAll, keys...)
				for p, b := range w.All() {
					pattern(b, keys[p], 1)
				}
				c.spoil(f, w, keys, i)
				r := w.FinishAndRead(f.now(), readers)
				f.check()
				if name == "nothing" {
					i = -1
				}
				verifyAdmission(f, r, keys, readers, func(p int) bool { return p != i && !c.all })
				w.Abort(f.now(), l1.AbortOwner)
				r.Finish(f.now(), l1.CauseRead)
				if s := f.m.Stats(); s.LeasedBytes != 0 || s.OrphanedBytes != 0 {
					t.Errorf("left: %+v", s)
				}
			})
		}
	}
}

// verifyAdmission compares what a lease says with what a second reader finds, what is
// in its buffers, and what can be deleted.
func verifyAdmission(f *fixture, r l1.ReadLease, keys []kv.Key, readers int, want func(int) bool) {
	f.t.Helper()
	granted := 0
	for p := range keys {
		ok, held := r.Code(p) == l1.Success, r.Holders(p)
		if ok != want(p) || ok != (held == readers) || !ok && held != 0 {
			f.t.Fatalf("position %d: %v with %d holders, want success %v", p, r.Code(p), held, want(p))
		}
		if !ok {
			if r.Offset(p) != -1 {
				f.t.Fatalf("position %d failed and has a buffer", p)
			}
			continue
		}
		granted++
		if f.resident(keys[p]) != 1 {
			f.t.Fatalf("position %d is granted and not resident", p)
		}
		if c := f.m.Delete(f.now(), keys[p:p+1], false); c[0] != l1.KeyIsLocked {
			f.t.Fatalf("position %d is granted and not leased: delete says %v", p, c[0])
		}
	}
	buffers := 0
	for range r.All() {
		buffers++
	}
	if s := f.m.Stats(); buffers != granted || s.LeasedBytes != int64(granted)*unit {
		f.t.Fatalf("%d buffers and %d leased bytes of %d granted", buffers, s.LeasedBytes, granted)
	}
	f.holds(r, 1)
}
