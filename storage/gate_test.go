package storage_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/storage"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// Batches full of repeated keys, reserved, read, released and aborted in whole and
// in parts, leave nothing behind.
func TestREQ_S5_RepeatedKeysLeakNothing(t *testing.T) {
	for seed := range uint64(20) {
		w := newWorld(t, 6)
		rng := rand.New(rand.NewPCG(seed, 5))
		for range 200 {
			names := make([]byte, 1+rng.IntN(130)) // more than one hold of the mutex
			letters := 1 + rng.IntN(9)             // more than fit
			for i := range names {
				names[i] = byte('a' + rng.IntN(letters))
			}
			if rng.IntN(2) == 0 {
				w.writeRepeated(rng, string(names))
			} else {
				w.readRepeated(rng, string(names))
			}
			if s := w.m.Stats(); s.L1.LeasedBytes != 0 || s.L1.StagedBytes != 0 || s.L1.Leases != 0 || s.L1.OrphanedBytes != 0 || s.Prefetches != 0 {
				t.Fatalf("seed %d: after a batch of %q: %+v", seed, names, s)
			}
		}
		w.m.Clear(false)
		if used := w.m.Stats().L1.UsedBytes; used != 0 {
			t.Fatalf("seed %d: %d bytes are used at the end, want 0", seed, used)
		}
	}
}

func (w *world) writeRepeated(rng *rand.Rand, names string) {
	w.t.Helper()
	l := w.reserve(names, storage.Mode(rng.IntN(3)))
	granted := make(map[byte]bool)
	for i := range l.All() {
		if granted[names[i]] {
			w.t.Fatalf("%c was granted twice in %q", names[i], names)
		}
		granted[names[i]] = true
	}
	mid := rng.IntN(len(names) + 1)
	switch rng.IntN(4) {
	case 0:
		l.Abort()
	case 1:
		r := l.FinishRange(0, mid)
		l.Abort()
		if len(r.Failed) > 0 {
			w.t.Fatalf("finish of %q failed for %s", names, named(r.Failed))
		}
	default:
		if r := l.Finish(); len(r.Finished) != len(granted) || len(r.Failed) > 0 {
			w.t.Fatalf("finish of %q: %s and failed %s, %d were granted", names, named(r.Finished), named(r.Failed), len(granted))
		}
	}
	l.Finish()
}

func (w *world) readRepeated(rng *rand.Rand, names string) {
	w.t.Helper()
	readers := 1 + rng.IntN(3)
	p := w.prefetch(names, storage.PrefetchOptions{Readers: readers, Policy: storage.Policy(rng.IntN(2))})
	r, _ := p.Status()
	held := make(map[byte]bool)
	for i := range len(names) {
		if r.Found.Has(i) {
			held[names[i]] = true
		}
	}
	if got := w.m.Stats().L1.ReadingObjects; int(got) != len(held) {
		w.t.Fatalf("%d objects are leased for %q, want %d", got, names, len(held))
	}
	for range rng.IntN(readers + 1) {
		claim, err := p.Read(w.t.Context(), storage.Select{Hi: r.Prefix})
		if err != nil {
			w.t.Fatalf("reading %d of %q: %v", r.Prefix, names, err)
		}
		n := 0
		for range claim.All() {
			n++
		}
		if n != r.Prefix {
			w.t.Fatalf("%d buffers, want %d", n, r.Prefix)
		}
		claim.FinishRange(0, rng.IntN(r.Prefix+1))
		if rng.IntN(3) == 0 {
			claim.Abort()
		}
		claim.Finish()
	}
	p.Release()
	p.Release()
}

// Each of n readers reads and finishes on its own; the object may be evicted
// exactly after the last of them.
func TestREQ_S7_ReadersAreIndependent(t *testing.T) {
	for _, n := range []int{1, 2, 128} {
		w := newWorld(t, 1)
		w.put("a")
		p := w.prefetch("a", storage.PrefetchOptions{Readers: n})
		claims := make([]storage.ReadLease, n)
		for i := range claims {
			claims[i] = w.read(p, 1)
		}
		if _, err := p.Read(t.Context(), storage.Select{Hi: 1}); err == nil {
			t.Fatalf("%d readers: one more could read", n)
		}
		p.Release() // what is claimed is not the handle's any more
		for i, r := range rand.New(rand.NewPCG(7, 7)).Perm(n) {
			l := w.reserve("b", storage.New)
			if got := l.Code(0); got != l1.OutOfMemory {
				t.Fatalf("%d readers: after %d had finished a reservation got %v, want %v", n, i, got, l1.OutOfMemory)
			}
			for _, b := range claims[r].All() {
				if !filledWith(b, 'a') {
					t.Fatalf("%d readers: reader %d has foreign bytes", n, r)
				}
			}
			claims[r].Finish()
			claims[r].Finish()
		}
		l := w.reserve("b", storage.New)
		if got := l.Code(0); got != l1.Success {
			t.Fatalf("%d readers: all have finished, and a reservation got %v", n, got)
		}
		l.Abort()
		w.events()
	}
}

// More readers than may be are lowered to the limit, fewer raised to one.
func TestReadersAreClipped(t *testing.T) {
	w := newWorld(t, 1)
	w.put("a")
	for given, want := range map[int]int{-3: 1, 0: 1, 500: l1.MaxReaders} {
		p := w.prefetch("a", storage.PrefetchOptions{Readers: given})
		for range want {
			w.read(p, 1).Finish()
		}
		if _, err := p.Read(t.Context(), storage.Select{Hi: 1}); err == nil {
			t.Errorf("Readers %d: more than %d could read", given, want)
		}
		p.Release()
	}
}

// A lookup that is read later than its lease lives still gives the bytes, if the
// object is still there; if not, it fails, and never gives other bytes.
func TestREQ_S8_ReadingLaterThanTheLease(t *testing.T) {
	w := newWorld(t, 4)
	w.put("abcd")
	p := w.prefetch("abcd", storage.PrefetchOptions{Owner: "late", Readers: 2})
	w.events()
	w.after(301 * time.Second)
	if got := w.events(); len(got) != 1 || got[0] != `l1.lease.expired abcd read "late" 5m0s` {
		t.Fatalf("events: %q", got)
	}
	r := w.read(p, 4) // compares the bytes
	w.expect()
	l := w.reserve("efgh", storage.New)
	if got := l.Code(0); got != l1.OutOfMemory {
		t.Errorf("what was leased again was evicted: %v", got)
	}
	l.Abort()
	r.Finish()
	if p.Renew() {
		t.Error("an expired lease was renewed")
	}

	// Three of them make way; the second reader comes too late.
	w.put("efg")
	w.events()
	var bad *storage.ReadError
	if _, err := p.Read(t.Context(), storage.Select{Hi: 4}); !errors.As(err, &bad) {
		t.Fatalf("got %v, want a ReadError", err)
	}
	got := make([]kv.Key, 0, 3)
	for _, k := range bad.Keys {
		if k.Code != l1.KeyNotExist {
			t.Errorf("%s: %v, want %v", k.Key, k.Code, l1.KeyNotExist)
		}
		got = append(got, k.Key)
	}
	if named(got) != "bcd" {
		t.Errorf("missing %s, want bcd", named(got))
	}
	w.expect(`l1.read.failed bcd l1_retrieve not_found ""`, "l1.read.finished a abort", "sm.read.prefetched_finished a bcd abort")
	p.Release()
	w.events()
	if s := w.m.Stats().L1; s.LeasedBytes != 0 || s.Leases != 0 {
		t.Errorf("leases are left: %+v", s)
	}
}

// Values of leases that have ended do nothing to whoever uses the record now.
func TestREQ_S17_StaleLeasesTouchNobody(t *testing.T) {
	w := newWorld(t, 2)

	// Writers: the first expires, the second reserves the same keys.
	stale := w.reserve("ab", storage.New)
	w.after(l1.DefaultWriteTTL)
	stale.Abort()
	l := w.reserve("ab", storage.New)
	for i, b := range l.All() {
		fill(b, "ab"[i])
	}
	w.events()
	stale.Abort()
	stale.AbortRange(0, 2)
	stale.Drop(1)
	stale.FinishRange(0, 2)
	stale.Finish()
	if stale.Renew() || stale.Keys() != nil || stale.Code(0) != l1.KeyInWrongState {
		t.Error("a lease that has ended is alive")
	}
	for range stale.All() {
		t.Error("a lease that has ended has buffers")
	}
	w.expect()
	if got := w.resident("ab"); got != "-" {
		t.Fatalf("a stale finish made %s readable", got)
	}
	w.events()
	if r := l.Finish(); named(r.Finished) != "ab" {
		t.Fatalf("finished %s, want ab", named(r.Finished))
	}
	w.events()

	// Readers: the first handle expires and is released, the second holds.
	old := w.prefetch("ab", storage.PrefetchOptions{})
	oldRead := w.read(old, 2)
	w.after(l1.DefaultReadTTL)
	oldRead.Finish()
	old.Release()
	p := w.prefetch("ab", storage.PrefetchOptions{})
	r := w.read(p, 1)
	w.events()
	oldRead.Finish()
	oldRead.Abort()
	oldRead.FinishRange(0, 2)
	oldRead.EndScope()
	old.ReleaseRange(storage.Select{Hi: 2}, l1.MaxReaders)
	old.Release()
	if old.Renew() || oldRead.Renew() {
		t.Error("a lease that has ended was renewed")
	}
	w.expect()
	if s := w.m.Stats().L1; s.ReadingObjects != 2 || s.Leases != 2 {
		t.Errorf("%d objects in %d leases, want 2 in 2", s.ReadingObjects, s.Leases)
	}
	if got := w.reserve("c", storage.New).Code(0); got != l1.OutOfMemory {
		t.Errorf("an object that is being read was evicted: %v", got)
	}
	r.Finish()
	p.Release()
	w.events()
	var zeroWrite storage.WriteLease
	var zeroRead storage.ReadLease
	zeroWrite.Finish()
	zeroWrite.Abort()
	zeroRead.Finish()
	zeroRead.Abort()
	zeroRead.EndScope()
	if zeroWrite.Renew() || zeroRead.Renew() {
		t.Error("a zero lease was renewed")
	}
	w.expect()
}

// REQ-S24, REQ-S27, REQ-S29: a release frees holders of its own handle only, never
// more than it has, and keys of another salt are other keys.
func TestReleaseIsByLease(t *testing.T) {
	w := newWorld(t, 4)
	w.put("a")
	salted := keys("a")
	salted[0].Salt = "tenant"
	other, err := w.m.SubmitPrefetch(t.Context(), salted, w.layout, storage.PrefetchOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if n, _ := other.LookupHits(); n != 0 {
		t.Error("a hit across salts")
	}
	p, q := w.prefetch("a", storage.PrefetchOptions{}), w.prefetch("a", storage.PrefetchOptions{Readers: 2})
	other.Release()
	p.ReleaseRange(storage.Select{Hi: 1}, 3) // it has one
	p.Release()
	w.read(q, 1).Finish()
	r := w.read(q, 1)
	q.Release() // nothing is left to release
	if got := w.m.Delete(keys("a"), false)[0]; got != l1.KeyIsLocked {
		t.Errorf("delete of what is read: %v, want %v", got, l1.KeyIsLocked)
	}
	r.Finish()
	w.events()
}

// REQ-S74: every call that could wait looks at its context.
func TestContextsAreHonoured(t *testing.T) {
	w := newWorld(t, 1)
	w.put("a")
	p := w.prefetch("a", storage.PrefetchOptions{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for name, f := range map[string]func() error{
		"Wait":     func() error { _, err := p.Wait(ctx); return err },
		"WaitPlan": func() error { _, err := p.WaitPlan(ctx); return err },
		"Read":     func() error { _, err := p.Read(ctx, storage.Select{Hi: 1}); return err },
		"Flush":    func() error { return w.m.Flush(ctx) },
	} {
		if err := f(); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v, want %v", name, err, context.Canceled)
		}
	}
	if n, err := p.WaitPlan(t.Context()); n != 1 || err != nil {
		t.Errorf("WaitPlan: %d, %v", n, err)
	}
	w.read(p, 1).Finish()
	p.Release()
}
