package storage_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/storage"
)

// The order and the contents of the events of every operation.

func TestEventsOfReserveAndFinish(t *testing.T) {
	w := newWorld(t, 3)
	l := w.reserve("ab", storage.New)
	w.expect("l1.write.reserved ab", "sm.write.reserved ab -")
	w.after(time.Second)
	l.Finish()
	w.expect("l1.write.finished ab new", "sm.write.finished ab -")
	l.Finish()
	l.Abort()
	w.expect()

	// What is there or busy is skipped; a repeated key counts once (REQ-S76).
	l = w.reserve("acbc", storage.New)
	w.expect("l1.write.reserved c", "sm.write.reserved c abc")
	for i, want := range []l1.Code{l1.KeyNotWritable, l1.Success, l1.KeyNotWritable, l1.KeyNotWritable} {
		if got := l.Code(i); got != want {
			t.Errorf("key %d: %v, want %v", i, got, want)
		}
	}
	l.Finish()
	w.expect("l1.write.finished c new", "sm.write.finished c -")

	// Nothing to write is still a call.
	l = w.reserve("ab", storage.New)
	w.expect("sm.write.reserved - ab")
	l.Finish()
	w.expect("sm.write.finished - -")

	// Room is made for what fits: c is the oldest, and not part of the request.
	l = w.reserve("adef", storage.New)
	w.expect(`l1.keys.evicted bc evict 8192 "writer"`, "l1.write.reserved de", "sm.write.reserved de af", "l1.allocation.failed f l1_store")
	if got := l.Code(3); got != l1.OutOfMemory {
		t.Errorf("the last key: %v, want %v", got, l1.OutOfMemory)
	}
	l.Abort()
	w.expect("l1.write.aborted de abort")
	l.Abort()
	w.expect()
}

func TestEventsOfPartsOfALease(t *testing.T) {
	w := newWorld(t, 8)
	l := w.reserve("abcde", storage.New)
	w.events()
	r := l.FinishRange(0, 2)
	w.expect("l1.write.finished ab new", "sm.write.finished ab -")
	if named(r.Finished) != "ab" || len(r.Failed) != 0 {
		t.Errorf("finished %s, failed %s", named(r.Finished), named(r.Failed))
	}
	l.Drop(2)
	w.expect("l1.write.aborted c abort")
	l.FinishRange(3, -5)
	l.FinishRange(-5, 0)
	l.AbortRange(4, 3)
	w.expect()
	if r = l.FinishRange(-1, 4); named(r.Finished) != "d" || named(r.Failed) != "abc" {
		t.Errorf("finished %s, failed %s, want d and abc", named(r.Finished), named(r.Failed))
	}
	w.expect("l1.write.finished d new", "sm.write.finished d abc")
	l.Finish()
	w.expect("l1.write.finished e new", "sm.write.finished e abcd")
	if got := w.resident("abcde"); got != "abde" {
		t.Errorf("resident: %s, want abde", got)
	}
}

func TestEventsOfAnExpiredReservation(t *testing.T) {
	w := newWorld(t, 2)
	l := w.reserve("a", storage.New)
	w.events()
	w.after(l1.DefaultWriteTTL)
	w.expect("l1.write.aborted a expired", `l1.lease.expired a write "writer" 10m0s`)
	if l.Renew() {
		t.Error("an expired lease was renewed")
	}
	l.Finish()
	w.expect("sm.write.finished - a")
	if got := w.resident("a"); got != "-" {
		t.Errorf("resident: %s, want nothing", got)
	}
}

func TestEventsOfModes(t *testing.T) {
	w := newWorld(t, 4)
	w.put("a")
	w.events()
	l := w.reserve("ab", storage.Update)
	w.expect("l1.write.reserved a", "sm.write.reserved a b")
	for _, b := range l.All() {
		fill(b, 'A')
	}
	p := w.prefetch("a", storage.PrefetchOptions{}) // the old object stays readable
	old := w.read(p, 1)
	w.events()
	l.Finish()
	w.expect("l1.write.finished a new", "sm.write.finished a -")
	for _, b := range old.All() {
		if !filledWith(b, 'a') {
			t.Error("the replacement changed bytes that somebody reads")
		}
	}
	old.Finish()
	p = w.prefetch("a", storage.PrefetchOptions{})
	fresh, err := p.Read(t.Context(), storage.Select{Hi: 1})
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range fresh.All() {
		if !filledWith(b, 'A') {
			t.Error("a later reader got the replaced bytes")
		}
	}
	w.events()
	all := w.reserve("ab", storage.All)
	w.expect("l1.write.reserved b", "sm.write.reserved b a")
	all.Abort()
	fresh.Finish()
	w.events()
}

func TestEventsOfLookupAndRead(t *testing.T) {
	w := newWorld(t, 8)
	w.put("abd")
	w.events()
	w.after(time.Minute)
	p := w.prefetch("abcde", storage.PrefetchOptions{RequestID: "r1"})
	w.expect("l1.read.reserved abd", "l1.read.finished d trim", "sm.read.prefetched ab cde",
		"sm.prefetch.resolved id=-1/r1 total=5 l1=2 l2=0 prefix=2 map[absent:2 after_gap:1]")
	res, err := p.Wait(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]storage.MissReason{0, 0, storage.MissAbsent, storage.MissAfterGap, storage.MissAbsent}, res.Miss); diff != "" {
		t.Errorf("miss reasons (-want +got):\n%s", diff)
	}
	if n, known := p.LookupHits(); n != 2 || !known || p.ID() != -1 || res.Prefix != 2 || res.Found.Count() != 2 || res.L1 != 2 {
		t.Errorf("hits %d %v, id %d, result %+v", n, known, p.ID(), res)
	}
	r := w.read(p, 2)
	w.expect() // claiming is silent
	w.after(time.Second)
	r.FinishRange(1, 2)
	w.expect("l1.read.finished b read", "sm.read.prefetched_finished b - read")
	r.Finish()
	w.expect("l1.read.finished a read", "sm.read.prefetched_finished a - read")
	r.Finish()
	r.Abort()
	p.Release()
	p.ReleaseRange(storage.Select{Hi: 5}, 1)
	w.expect()

	// Never read.
	p = w.prefetch("ab", storage.PrefetchOptions{})
	w.expect("l1.read.reserved ab", "sm.read.prefetched ab -", "sm.prefetch.resolved id=-1/ total=2 l1=2 l2=0 prefix=2 map[]")
	p.ReleaseRange(storage.Select{Lo: 1, Hi: 2}, 1)
	w.expect("l1.read.finished b unused", "sm.read.prefetched_finished b - unused")
	p.Release()
	w.expect("l1.read.finished a unused", "sm.read.prefetched_finished a - unused")

	// A reader that fails.
	p = w.prefetch("ab", storage.PrefetchOptions{})
	r = w.read(p, 2)
	w.events()
	r.Abort()
	w.expect("l1.read.finished ab abort", "sm.read.prefetched_finished ab - abort")

	// Nothing found.
	w.prefetch("xy", storage.PrefetchOptions{}).Release()
	w.expect("sm.read.prefetched - xy", "sm.prefetch.resolved id=-1/ total=2 l1=0 l2=0 prefix=0 map[absent:2]")
}

func TestEventsOfSparseAndWarm(t *testing.T) {
	w := newWorld(t, 8)
	w.put("ace")
	w.events()
	p := w.prefetch("abcde", storage.PrefetchOptions{Policy: storage.Sparse})
	w.expect("l1.read.reserved ace", "sm.read.prefetched ace bd", "sm.prefetch.resolved id=-1/ total=5 l1=3 l2=0 prefix=1 map[absent:2]")
	r, err := p.Read(t.Context(), storage.Select{Hi: 5, Stride: 2})
	if err != nil {
		t.Fatal(err)
	}
	if got := named(r.Keys()); got != "ace" {
		t.Errorf("claimed %s, want ace", got)
	}
	r.Finish()
	w.expect("l1.read.finished ace read", "sm.read.prefetched_finished ace - read")

	// Warm refreshes, and leases nothing.
	p = w.prefetch("abc", storage.PrefetchOptions{Policy: storage.Sparse, Warm: true})
	w.expect("l1.keys.accessed ac", "sm.read.prefetched ac b", "sm.prefetch.resolved id=-1/ total=3 l1=2 l2=0 prefix=1 map[absent:1]")
	if s := w.m.Stats(); s.L1.LeasedBytes != 0 || s.L1.Leases != 0 {
		t.Errorf("a warm lookup leased %d bytes in %d leases", s.L1.LeasedBytes, s.L1.Leases)
	}
	var bad *storage.ReadError
	if _, err = p.Read(t.Context(), storage.Select{Hi: 1}); !errors.As(err, &bad) || bad.Keys[0].Detail != "not_leased" {
		t.Errorf("reading after a warm lookup: %v, want not_leased", err)
	}
	p.Release()
	w.expect(`l1.read.failed a l1_retrieve write_locked "not_leased"`, "sm.read.prefetched_finished - a abort")

	p = w.prefetch("abc", storage.PrefetchOptions{Warm: true})
	w.expect("l1.keys.accessed a", "sm.read.prefetched a bc", "sm.prefetch.resolved id=-1/ total=3 l1=1 l2=0 prefix=1 map[absent:1 after_gap:1]")
	p.Release()
	w.m.Touch(keys("exa"))
	w.expect("l1.keys.accessed ea")
}

func TestMissReasons(t *testing.T) {
	w := newWorld(t, 4)
	w.put("ab")
	w.m.Delete(keys("b"), false)
	staged := w.reserve("c", storage.New)
	other, err := w.m.ReserveWrite(t.Context(), keys("d"), rawLayout(t, 100), storage.New, storage.WriteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	other.Finish()
	w.events()
	p := w.prefetch("abcdxa", storage.PrefetchOptions{Policy: storage.Sparse})
	res, _ := p.Status()
	want := []storage.MissReason{
		storage.MissNone, storage.MissEvicted, storage.MissStaged, storage.MissLayout, storage.MissAbsent, storage.MissNone,
	}
	if diff := cmp.Diff(want, res.Miss); diff != "" {
		t.Errorf("miss reasons (-want +got):\n%s", diff)
	}
	w.expect("l1.read.reserved a", "sm.read.prefetched aa bcdx",
		"sm.prefetch.resolved id=-1/ total=6 l1=2 l2=0 prefix=1 map[absent:1 evicted:1 layout_mismatch:1 staged:1]")

	// All bad, with every reason; the first position is claimed and goes back.
	_, err = p.Read(t.Context(), storage.Select{Hi: 6})
	var bad *storage.ReadError
	if !errors.As(err, &bad) || len(bad.Keys) != 4 {
		t.Fatalf("got %v, want a ReadError of 4 keys", err)
	}
	for i, want := range []struct {
		code   l1.Code
		detail string
	}{{l1.KeyNotExist, "absent"}, {l1.KeyNotReadable, "staged"}, {l1.KeyNotReadable, "layout_mismatch"}, {l1.KeyNotExist, "absent"}} {
		if got := bad.Keys[i]; got.Code != want.code || i > 0 && got.Detail != want.detail {
			t.Errorf("%s: %v %q, want %v %q", named(keys("bcdx")[i:i+1]), got.Code, got.Detail, want.code, want.detail)
		}
	}
	w.expect("l1.read.failed bx l1_retrieve not_found \"\"", "l1.read.failed cd l1_retrieve write_locked \"\"",
		"l1.read.finished a abort", "sm.read.prefetched_finished a bcdx abort")
	p.Release()
	staged.Abort()
	w.events()
}

func TestEventsOfAFailedRead(t *testing.T) {
	w := newWorld(t, 4)
	w.put("ab")
	p := w.prefetch("ab", storage.PrefetchOptions{})
	staged := w.reserve("c", storage.New)
	w.events()
	q := w.prefetch("bc", storage.PrefetchOptions{})
	w.events()
	if _, err := q.Read(t.Context(), storage.Select{Hi: 2}); err == nil {
		t.Fatal("read what is being written")
	}
	w.expect(`l1.read.failed c l1_retrieve write_locked "staged"`, "l1.read.finished b abort", "sm.read.prefetched_finished b c abort")

	// The one holder has been taken.
	r := w.read(p, 2)
	_, err := p.Read(t.Context(), storage.Select{Hi: 2})
	if err == nil {
		t.Fatal("one holder was claimed twice")
	}
	w.expect(`l1.read.failed ab l1_retrieve write_locked "not_leased"`, "sm.read.prefetched_finished - ab abort")
	for _, b := range r.All() { // the reader is not concerned
		if len(b) != objectBytes {
			t.Errorf("a buffer of %d bytes", len(b))
		}
	}
	r.Finish()
	w.m.Delete(keys("a"), true)
	w.events()
	if _, err = p.Read(t.Context(), storage.Select{Hi: 2}); err == nil {
		t.Fatal("read without a holder")
	}
	w.expect(`l1.read.failed a l1_retrieve not_found ""`, `l1.read.failed b l1_retrieve write_locked "not_leased"`,
		"sm.read.prefetched_finished - ab abort")
	staged.Abort()
	p.Release()
	q.Release()
	w.events()
}

func TestEventsOfClearAndDelete(t *testing.T) {
	w := newWorld(t, 8)
	w.put("abcd")
	p := w.prefetch("a", storage.PrefetchOptions{})
	staged := w.reserve("e", storage.New)
	w.events()
	if diff := cmp.Diff([]l1.Code{l1.KeyIsLocked, l1.Success, l1.KeyNotExist, l1.KeyIsLocked}, w.m.Delete(keys("abxe"), false)); diff != "" {
		t.Errorf("codes (-want +got):\n%s", diff)
	}
	w.expect(`l1.keys.evicted b delete 4096 ""`)
	if n := w.m.Clear(false); n != 2 {
		t.Errorf("cleared %d, want 2", n)
	}
	w.expect(`l1.keys.evicted cd clear 8192 ""`)
	if n := w.m.Clear(true); n != 1 {
		t.Errorf("cleared %d, want 1", n)
	}
	w.expect("l1.write.aborted e clear", `l1.keys.evicted a clear 4096 ""`)
	r := w.read(p, 1) // its bytes are still there
	r.Finish()
	staged.Finish()
	w.expect("l1.read.finished a read", "sm.read.prefetched_finished a - read", "sm.write.finished - e")
	if s := w.m.Stats().L1; s.UsedBytes != 0 || s.OrphanedBytes != 0 {
		t.Errorf("%d bytes used, %d orphaned, want none", s.UsedBytes, s.OrphanedBytes)
	}
}
