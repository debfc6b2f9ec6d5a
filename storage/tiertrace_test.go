package storage_test

import (
	"testing"
	"time"

	"github.com/lmcache-go/lmcache/storage"
)

// The outcome of a prefetch says how many of its keys loads have supplied, its own or
// those of others: not what L1 had behind a gap, nor what a writer has finished
// meanwhile.
func TestTraceOfWhatTiersSupply(t *testing.T) {
	s := newShelf()
	w := newTierWorld(t, 16, []*shelf{s})
	s.keep(t, w.layout, "abcde")
	w.put("ac")
	w.flush()
	rec := w.record()
	const layout = "torch.uint8[4096]"
	submitted := func(n, names, more string) string {
		return n + " submit_prefetch_task " + names + " " + layout + ` readers=1 "" ` + more + " skip=false warm=false 0s owner=-1"
	}

	p := w.prefetch("abcbx", storage.PrefetchOptions{})
	q := w.prefetch("xcb", storage.PrefetchOptions{Policy: storage.Sparse})
	w.wait(p)
	w.wait(q)
	if p.L1Hits() != 1 || q.L1Hits() != 1 {
		t.Errorf("leased at submission: %d and %d", p.L1Hits(), q.L1Hits())
	}
	w.recorded(rec,
		submitted("0", "abcbx", "PREFIX"), "0 done 10000 bad=4 l1=1",
		submitted("1", "xcb", "SPARSE"), "1 done 010 bad=2 l1=1",
		"0 done 11110 bad=1 l1=1 hits=4 l2=2 resolved",
		"1 done 011 bad=1 l1=1 hits=2 l2=1 resolved")
	p.Release()
	q.Release()
	w.bus.Drain(w.v.Now())
	rec.lines = nil

	l := w.reserve("y", storage.New)
	p = w.prefetch("ady", storage.PrefetchOptions{})
	w.after(100 * time.Millisecond)
	l.Finish()
	if r := w.wait(p); r.Prefix != 3 || r.L2 != 1 {
		t.Errorf("got %+v", r)
	}
	w.recorded(rec,
		"4 reserve_write y "+layout+" new owner=-1", "4 done 1",
		submitted("5", "ady", "PREFIX"), "5 done 100 bad=2 l1=1",
		"6 finish_write y owner=4",
		"5 done 111 l1=1 hits=3 l2=1 resolved", // within the call that it waited for
		"6 done 1")
	p.Release()
}

// Deleting from tiers is a call of its own, with its outcome when all have answered.
func TestTraceOfDeletesInTiers(t *testing.T) {
	a, b := newShelf(), newShelf()
	w := newTierWorld(t, 16, []*shelf{a, b})
	w.put("abc")
	w.flush()
	rec := w.record()
	for _, index := range []int{storage.AllTiers, 1} {
		if _, err := w.m.DeleteL2(t.Context(), keys("ax"), index); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.m.DeleteL2(t.Context(), keys("a"), 2); err == nil {
		t.Error("there is no tier 2")
	}
	var got []storage.TierResult
	if err := w.m.StartDeleteL2(keys("b"), 0, func(r []storage.TierResult) { got = r }); err != nil || got != nil {
		t.Errorf("got %v, %v at once", got, err)
	}
	w.m.Touch(keys("c"))
	w.v.Run()
	if len(got) != 1 || got[0].Deleted != 1 || a.has() != "c" || b.has() != "bc" {
		t.Errorf("got %+v; left %s and %s", got, a.has(), b.has())
	}
	w.recorded(rec,
		"0 lmcache.trace.delete ax force=false tier=-1 owner=-1", "0 done -",
		"1 lmcache.trace.delete ax force=false tier=1 owner=-1", "1 done -",
		"2 lmcache.trace.delete b force=false tier=0 owner=-1",
		"3 lmcache.trace.touch c owner=-1", "3 done -", "2 done -")
}
