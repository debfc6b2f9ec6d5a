package storage_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/storage"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// What is written goes to the tier, and comes back from it when L1 has lost it.
func TestTierRoundTrip(t *testing.T) {
	s := newShelf()
	w := newTierWorld(t, 8, []*shelf{s})
	w.put("abc")
	w.flush()
	if s.has() != "abc" {
		t.Fatalf("the tier has %q", s.has())
	}
	w.m.Clear(false)
	w.events()
	p := w.prefetch("abcd", storage.PrefetchOptions{RequestID: "r"})
	if _, known := p.Status(); known {
		t.Fatal("it is known at once")
	}
	r := w.wait(p)
	if r.Prefix != 3 || r.L1 != 0 || r.InL1.Count() != 0 {
		t.Errorf("got %+v", r)
	}
	if n, known := p.LookupHits(); n != 3 || !known {
		t.Errorf("planned %d, %v", n, known)
	}
	w.read(p, 3).Finish()
	p.Release()
	want := []string{
		"sm.read.prefetched - abcd",
		"l2.prefetch.lookup.submitted 0 keys=4 adapters=1",
		"l1.write.reserved abc",
		"l2.load_task.submitted 0: 0/0 keys=3 bytes=12288",
		"l2.prefetch.lookup.completed 0 hits=3",
		"l2.prefetch.load.submitted 0 keys=3 adapters=1 joined=0",
		"l2.load_task.completed 0: 0/0 true ok=3 bytes=12288",
		"l1.write_finished_and_read_reserved abc",
		"l2.prefetch.load.completed 0 loaded=3 failed=0 joined=0",
		"sm.prefetch.resolved id=0/r total=4 l1=0 l2=3 prefix=3 map[l2_miss:1]",
		"l1.read.finished abc read",
		"l1.keys.evicted cba temp_release 12288 \"\"",
		"sm.read.prefetched_finished abc - read",
	}
	got := w.events()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	if got := w.m.Stats().L1.UsedBytes; got != 0 {
		t.Errorf("temporaries keep %d bytes", got)
	}
}

// REQ-S70: what L1 holds behind a gap is used when a tier fills the gap.
func TestREQ_S70_ObjectsBehindAGap(t *testing.T) {
	s := newShelf()
	w := newTierWorld(t, 8, []*shelf{s})
	s.keep(t, w.layout, "abc")
	w.put("ac")
	w.events()
	p := w.prefetch("abc", storage.PrefetchOptions{})
	r := w.wait(p)
	if r.Prefix != 3 || s.moved["load"] != 1 || r.InL1.Count() != 2 {
		t.Errorf("got %+v with %d objects loaded, want 3 with one", r, s.moved["load"])
	}
	w.read(p, 3).Abort()
	p.Release()
}

// A gap that nobody fills: what is behind it goes back.
func TestTierTrim(t *testing.T) {
	s := newShelf()
	w := newTierWorld(t, 8, []*shelf{s})
	s.keep(t, w.layout, "bd")
	w.put("ac")
	w.flush()
	w.events()
	p := w.prefetch("abxcd", storage.PrefetchOptions{})
	r := w.wait(p)
	if got := fmt.Sprintf("%d %v", r.Prefix, r.Miss[2:]); got != "2 [l2_miss after_gap after_gap]" {
		t.Errorf("got %s", got)
	}
	if s.moved["load"] != 1 {
		t.Errorf("%d objects were loaded, want b alone", s.moved["load"])
	}
	p.Release()
	p = w.prefetch("abxcd", storage.PrefetchOptions{Policy: storage.Sparse})
	if r := w.wait(p); r.Found.Count() != 4 || r.Miss[2] != storage.MissL2 {
		t.Errorf("sparse: got %+v", r)
	}
	p.Release()
}

// With retain, what is loaded stays in L1; a warm prefetch leases nothing.
func TestTierRetention(t *testing.T) {
	s := newShelf()
	w := newTierWorld(t, 8, []*shelf{s}, func(o *storage.Options) { o.Prefetch.Policy = storage.PrefetchRetain() })
	s.keep(t, w.layout, "abcd")
	p := w.prefetch("ab", storage.PrefetchOptions{})
	w.wait(p)
	p.Release()
	if got := w.resident("ab"); got != "ab" {
		t.Errorf("resident: %s", got)
	}
	p = w.prefetch("abcd", storage.PrefetchOptions{Warm: true})
	if r := w.wait(p); r.Prefix != 4 || r.L1 != 2 {
		t.Errorf("warm: got %+v", r)
	}
	p.Release()
	st := w.m.Stats().L1
	if st.LeasedBytes != 0 || st.Objects != 4 {
		t.Errorf("warm: %d bytes are leased, %d objects are resident", st.LeasedBytes, st.Objects)
	}
}

// REQ-S6: what is restored is not stored again, and takes nobody's holder.
func TestREQ_S6_RestoredIsNotStored(t *testing.T) {
	a, b := newShelf(), newShelf()
	w := newTierWorld(t, 8, []*shelf{a, b}, func(o *storage.Options) { o.Prefetch.Policy = storage.PrefetchRetain() })
	a.keep(t, w.layout, "abc")
	p := w.prefetch("abc", storage.PrefetchOptions{Readers: 3})
	w.wait(p)
	w.flush()
	if a.count("store")+b.count("store") != 0 {
		t.Error("restored objects were stored")
	}
	for range 3 {
		w.read(p, 3).Finish()
	}
	if _, err := p.Read(t.Context(), storage.Select{Hi: 3}); err == nil {
		t.Error("there was a fourth holder")
	}
	p.Release()
}

// REQ-S69: identical prefetches share one load, and all hit.
func TestREQ_S69_OneLoadForAll(t *testing.T) {
	s := newShelf()
	w := newTierWorld(t, 64, []*shelf{s})
	s.keep(t, w.layout, "abcdefgh")
	var list []*storage.Prefetch
	for i := range 32 {
		w.v.At(w.v.Now().Add(time.Duration(i)*100*time.Microsecond), func() {
			list = append(list, w.prefetch("abcdefgh", storage.PrefetchOptions{Readers: 1 + i%3}))
		})
	}
	w.v.Run()
	if len(list) != 32 {
		t.Fatal("not all were submitted")
	}
	for i, p := range list {
		if r, known := p.Status(); !known || r.Prefix != 8 {
			t.Fatalf("prefetch %d: %v, %+v", i, known, r)
		}
	}
	for k, n := range s.loads {
		if n != 1 {
			t.Errorf("%s was loaded %d times", named([]kv.Key{k}), n)
		}
	}
	for i, p := range list {
		for range 1 + i%3 {
			w.read(p, 8).Finish()
		}
		p.Release()
	}
	if st := w.m.Stats().L1; st.UsedBytes != 0 {
		t.Errorf("%d bytes are left of temporaries", st.UsedBytes)
	}
}

// A prefetch waits for a writer that is at an object.
func TestTierWaitsForWriter(t *testing.T) {
	s := newShelf()
	w := newTierWorld(t, 8, []*shelf{s})
	s.keep(t, w.layout, "a")
	l := w.reserve("b", storage.New)
	for _, b := range l.All() {
		fill(b, 'b')
	}
	p := w.prefetch("ab", storage.PrefetchOptions{})
	w.after(500 * time.Millisecond)
	if _, known := p.Status(); known {
		t.Fatal("it did not wait for the writer")
	}
	if n, known := p.LookupHits(); !known || n != 2 {
		t.Errorf("planned %d, %v", n, known)
	}
	l.Finish()
	if r, known := p.Status(); !known || r.Prefix != 2 {
		t.Errorf("after the commit: %v, %+v", known, r)
	}
	w.read(p, 2).Finish()
	p.Release()

	l = w.reserve("c", storage.New)
	defer l.Abort()
	p = w.prefetch("abc", storage.PrefetchOptions{})
	w.after(1100 * time.Millisecond)
	if r, known := p.Status(); !known || r.Prefix != 2 || r.Miss[2] != storage.MissStaged {
		t.Errorf("a writer that takes its time: %v, %+v", known, r)
	}
	p.Release()
}

// The last level of preference that is needed decides; a tier that fails adds
// nothing.
func TestTierOrder(t *testing.T) {
	a, b := newShelf(), newShelf()
	w := newTierWorld(t, 8, []*shelf{a, b})
	a.keep(t, w.layout, "ac")
	b.keep(t, w.layout, "abc")
	p := w.prefetch("abc", storage.PrefetchOptions{})
	if r := w.wait(p); r.Prefix != 3 || a.moved["load"] != 2 || b.moved["load"] != 1 {
		t.Errorf("got %+v; loaded %d and %d", r, a.moved["load"], b.moved["load"])
	}
	p.Release()
	a.before = func(context.Context, string, []kv.Key) error { return l2.ErrIO }
	p = w.prefetch("abc", storage.PrefetchOptions{})
	if r := w.wait(p); r.Prefix != 3 || b.moved["load"] != 4 {
		t.Errorf("with a broken first tier: %+v", r)
	}
	p.Release()
}

// Failed keys have their reasons, and the events tell them apart.
func TestREQ_S60_ReasonsAreDisjoint(t *testing.T) {
	s := newShelf()
	w := newTierWorld(t, 3, []*shelf{s})
	s.keep(t, w.layout, "abcdefghi")
	s.item = func(op string, it *l2.Item) {
		if op != "load" {
			return
		}
		switch named([]kv.Key{it.Key}) {
		case "a":
			it.Data[5] ^= 1
		case "b":
			it.Err = l2.ErrIO
		}
	}
	p := w.prefetch("abcd", storage.PrefetchOptions{Policy: storage.Sparse})
	r := w.wait(p)
	if got := fmt.Sprintf("%v", r.Miss); got != "[l2_corrupt l2_io_error  l1_oom]" {
		t.Errorf("got %s", got)
	}
	p.Release()
	var failed []string
	for _, e := range w.events() {
		if strings.HasPrefix(e, "l2.prefetch.failed") || strings.HasPrefix(e, "l2.object") || strings.HasPrefix(e, "l1.write.aborted") {
			failed = append(failed, e)
		}
	}
	want := []string{
		"l2.object.corrupt 0 a corrupt object\nchecksum of the payload",
		"l1.write.aborted ab load_failed",
		"l2.prefetch.failed l1_oom d",
		"l2.prefetch.failed io_error b",
		"l2.prefetch.failed corrupt a",
	}
	if diff := cmp.Diff(want, failed); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	w.v.Run()
	if s.has() != "bcdefghi" {
		t.Errorf("the damaged object is still there: %s", s.has())
	}
}

// The tier's copy of another layout is a miss, and makes room for the new one.
func TestREQ_S21_OtherLayout(t *testing.T) {
	s := newShelf()
	w := newTierWorld(t, 8, []*shelf{s})
	other, err := kv.NewLayout([][]int64{{objectBytes / 2}}, []kv.DType{kv.BFloat16})
	if err != nil {
		t.Fatal(err)
	}
	s.keep(t, other, "a")
	p := w.prefetch("a", storage.PrefetchOptions{})
	if r := w.wait(p); r.Prefix != 0 || r.Miss[0] != storage.MissLayout {
		t.Errorf("got %+v", r)
	}
	p.Release()
	w.v.Run()
	if s.has() != "" {
		t.Errorf("the tier still has %s", s.has())
	}
}

// REQ-S29: another tenant's object is none, in any tier and in any join.
func TestREQ_S29_TenantsInTiers(t *testing.T) {
	s := newShelf()
	w := newTierWorld(t, 8, []*shelf{s})
	s.keep(t, w.layout, "ab")
	theirs := keys("ab")
	for i := range theirs {
		theirs[i].Salt = "t1"
	}
	ours := w.prefetch("ab", storage.PrefetchOptions{})
	p, err := w.m.SubmitPrefetch(t.Context(), theirs, w.layout, storage.PrefetchOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if r := w.wait(p); r.Prefix != 0 || r.Miss[0] != storage.MissL2 {
		t.Errorf("another tenant got %+v", r)
	}
	if r := w.wait(ours); r.Prefix != 2 {
		t.Errorf("its owner got %+v", r)
	}
	ours.Release()
	p.Release()
}
