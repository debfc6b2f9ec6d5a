package l1_test

import (
	"testing"
	"time"

	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// TestREQ_S2_Orphan: what a lease let go of is out of the index at once, and its
// bytes are reused by nobody until the lease ends.
func TestREQ_S2_Orphan(t *testing.T) {
	f := newFixture(t, l1.Options{Bytes: 4 * unit})
	keys := []kv.Key{chunk(1, 0), chunk(1, 1), chunk(1, 2), chunk(1, 3)}
	f.store(1, keys[:2]...)
	r, w := f.read(3, keys[:2]...), f.reserve(l1.WriteNew, keys[2:]...)
	for i, off := range []int64{r.Offset(0), r.Offset(1), w.Offset(0), w.Offset(1)} {
		if off < 0 || off >= 4*unit || off%unit != 0 {
			t.Errorf("buffer %d lies at %d", i, off)
		}
	}
	if r.Offset(2) != -1 || w.Offset(-1) != -1 {
		t.Error("positions that there are not have an offset")
	}
	if got := r.Orphan(f.now()); len(got) != 2 {
		t.Errorf("%d objects let go of", len(got))
	}
	if got := w.Orphan(f.now(), l1.AbortOwner); len(got) != 2 {
		t.Errorf("%d reservations let go of", len(got))
	}
	if len(r.Orphan(f.now()))+len(w.Orphan(f.now(), l1.AbortOwner)) != 0 {
		t.Error("let go of twice")
	}
	f.check()
	if s := f.m.Stats(); s.LeasedBytes != 0 || s.ReadingObjects != 0 || s.WritingObjects != 0 || s.OrphanedBytes != 2*unit || s.Leases != 2 {
		t.Errorf("%+v", s)
	}
	if r.Renew(f.now()) || w.Renew(f.now()) {
		t.Error("a lease that let go was renewed")
	}
	f.m.Clear(f.now(), false)
	if s := f.m.Stats(); s.Objects != 0 || s.OrphanedBytes != 4*unit {
		t.Errorf("after a clear: %d objects, %d bytes orphaned", s.Objects, s.OrphanedBytes)
	}
	f.advance(time.Hour)
	if n := f.store(2, chunk(2, 0)); n != 0 {
		t.Error("somebody got the bytes")
	}
	if s := f.m.Stats(); s.LeasesExpired != 0 {
		t.Errorf("%d leases expired that held nothing", s.LeasesExpired)
	}
	if res := w.Finish(f.now(), l1.OriginNew); len(res.Finished) != 0 || len(res.Failed) != 2 {
		t.Errorf("finished: %+v", res)
	}
	if res := r.Finish(f.now(), l1.CauseAbort); len(res.Released) != 0 {
		t.Errorf("released: %+v", res)
	}
	if n := f.store(2, keys...); n != 4 {
		t.Errorf("memory for %d objects", n)
	}
}
