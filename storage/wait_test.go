package storage_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lmcache-go/lmcache/internal/leak"
	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/storage"
	"github.com/lmcache-go/lmcache/storage/kv"
)

func (w *world) reserveWithin(wait time.Duration, names string) storage.WriteLease {
	w.t.Helper()
	l, err := w.m.ReserveWrite(w.t.Context(), keys(names), w.layout, storage.New, storage.WriteOptions{Owner: "writer", Wait: wait})
	if err != nil {
		w.t.Fatal(err)
	}
	return l
}

func codes(l storage.WriteLease, n int) string {
	var s strings.Builder
	for i := range n {
		switch l.Code(i) {
		case l1.Success:
			s.WriteByte('1')
		case l1.OutOfMemory:
			s.WriteByte('0')
		default:
			s.WriteByte('-')
		}
	}
	return s.String()
}

// REQ-S42: a reservation bridges the time of a short-lived lease, in virtual time,
// and every key that is dropped is counted. Without the option it never waits.
func TestREQ_S42_WaitForMemory(t *testing.T) {
	w := newWorld(t, 4)
	w.put("ab")
	p := w.prefetch("ab", storage.PrefetchOptions{})
	start := w.v.Now()
	l := w.reserveWithin(0, "cdef")
	if got := codes(l, 4); got != "1100" || !w.v.Now().Equal(start) {
		t.Fatalf("without a wait: %s after %v", got, w.v.Now().Sub(start))
	}
	l.Abort()
	w.v.At(start.Add(2*time.Second), func() { p.ReleaseRange(storage.Select{Hi: 1}, 1) })
	w.v.At(start.Add(5*time.Second), func() { p.Release() })
	w.events()

	l = w.reserveWithin(10*time.Second, "cdef")
	if got, d := codes(l, 4), w.v.Now().Sub(start); got != "1111" || d != 5*time.Second {
		t.Fatalf("%s after %v, want all after 5s", got, d)
	}
	// Each key is announced once, when it got its memory, and the call once.
	w.happened(t,
		`l1.write.reserved cd`, `l1.read.finished a unused`, `sm.read.prefetched_finished a - unused`,
		`l1.keys.evicted a evict 4096 "writer"`, `l1.write.reserved e`, `l1.read.finished b unused`,
		`sm.read.prefetched_finished b - unused`, `l1.keys.evicted b evict 4096 "writer"`, `l1.write.reserved f`,
		`sm.write.reserved cdef -`)
	s := w.m.Stats().L1
	if s.Waits != 1 || s.WaitsInVain != 0 || s.DeniedObjects != 2 {
		t.Errorf("%d waits, %d in vain, %d keys denied", s.Waits, s.WaitsInVain, s.DeniedObjects)
	}
	// The lease's time runs from the end of the wait.
	w.after(l1.DefaultWriteTTL - time.Second)
	if r := l.Finish(); len(r.Finished) != 4 {
		t.Errorf("%d of 4 finished", len(r.Finished))
	}

	// In vain: the time passes, and what fits stays reserved.
	p = w.prefetch("cdef", storage.PrefetchOptions{Readers: 1})
	start = w.v.Now()
	l = w.reserveWithin(3*time.Second, "xy")
	if got, d := codes(l, 2), w.v.Now().Sub(start); got != "00" || d != 3*time.Second {
		t.Errorf("%s after %v, want nothing after 3s", got, d)
	}
	// An expiry frees memory as well.
	l = w.reserveWithin(l1.DefaultReadTTL+time.Second, "xy")
	if got := codes(l, 2); got != "11" {
		t.Errorf("%s after the leases expired", got)
	}
	l.Abort()
	p.Release()
	if s := w.m.Stats().L1; s.Waits != 3 || s.WaitsInVain != 1 || s.DeniedObjects != 4 {
		t.Errorf("%d waits, %d in vain, %d keys denied", s.Waits, s.WaitsInVain, s.DeniedObjects)
	}
}

// happened compares the events since the last look, whatever their times.
func (w *world) happened(t *testing.T, want ...string) {
	t.Helper()
	if got := w.events(); strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("events:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// What happens to a key meanwhile is looked at again.
func TestWaitFindsKeysTaken(t *testing.T) {
	w := newWorld(t, 2)
	w.put("ab")
	p := w.prefetch("ab", storage.PrefetchOptions{})
	w.v.At(w.v.Now().Add(time.Second), func() {
		p.Release()
		w.put("c")
	})
	l := w.reserveWithin(time.Minute, "cd")
	if l.Code(0) != l1.KeyNotWritable || l.Code(1) != l1.Success {
		t.Errorf("codes %v, %v", l.Code(0), l.Code(1))
	}
	l.Abort()
}

func TestWaitIsRefused(t *testing.T) {
	w := newWorld(t, 1)
	for _, wait := range []time.Duration{-1, l1.DefaultWriteTTL} {
		_, err := w.m.ReserveWrite(t.Context(), keys("a"), w.layout, storage.New, storage.WriteOptions{Wait: wait})
		if err == nil || !strings.Contains(err.Error(), "wait: must not be negative and less than the write TTL of 10m0s") {
			t.Errorf("a wait of %v: %v", wait, err)
		}
	}
	w.put("a")
	p := w.prefetch("a", storage.PrefetchOptions{})
	// Within a callback it panics where it would wait, and only there.
	var got any
	w.v.At(w.v.Now(), func() {
		defer func() { got = recover() }()
		w.reserveWithin(time.Second, "b")
	})
	w.v.Run()
	if got == nil {
		t.Error("a callback waited")
	}
	p.Release()
	w.after(l1.DefaultWriteTTL) // of what the panic left behind
	w.v.At(w.v.Now(), func() { w.reserveWithin(time.Second, "b").Abort() })
	w.v.Run()
}

// Live: the caller sleeps until memory comes back, its time or its context ends,
// or the manager closes; the mutex is free meanwhile.
func TestREQ_S42_LiveWait(t *testing.T) {
	leak.Check(t)
	synctest.Test(t, func(t *testing.T) {
		m, err := storage.Open(t.Context(), storage.Options{L1: l1.Options{Bytes: 2 * objectBytes, NoBytes: true}})
		if err != nil {
			t.Fatal(err)
		}
		layout := rawLayout(t, objectBytes)
		reserve := func(ctx context.Context, wait time.Duration, names string) (storage.WriteLease, time.Duration, error) {
			start := time.Now()
			l, err := m.ReserveWrite(ctx, keys(names), layout, storage.New, storage.WriteOptions{Wait: wait})
			return l, time.Since(start), err
		}
		held, _, err := reserve(t.Context(), 0, "ab")
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			time.Sleep(time.Second)
			held.Drop(0)
			time.Sleep(time.Second)
			held.Abort()
		}()
		l, d, err := reserve(t.Context(), time.Minute, "cd")
		if err != nil || codes(l, 2) != "11" || d != 2*time.Second {
			t.Errorf("%v, %s after %v, want all after 2s", err, codes(l, 2), d)
		}
		none, d, err := reserve(t.Context(), time.Second, "e")
		if err != nil || codes(none, 1) != "0" || d != time.Second {
			t.Errorf("%v, %s after %v, want nothing after 1s", err, codes(none, 1), d)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		none, d, err = reserve(ctx, time.Minute, "e")
		if err != nil || codes(none, 1) != "0" || d != 3*time.Second {
			t.Errorf("%v, %s after %v, want nothing when the context ends after 3s", err, codes(none, 1), d)
		}
		closed := make(chan struct{})
		go func() {
			defer close(closed)
			time.Sleep(4 * time.Second)
			var lent *l1.LeakError
			if err := m.Close(context.WithoutCancel(t.Context())); !errors.As(err, &lent) {
				t.Errorf("Close with two objects lent out: %v", err)
			}
		}()
		_, d, err = reserve(t.Context(), time.Minute, "e")
		if d != 4*time.Second || err != nil && !errors.Is(err, storage.ErrClosed) {
			t.Errorf("%v after %v, want the end with Close after 4s", err, d)
		}
		<-closed
		l.Abort()
	})
}

// Quota changes are calls of a trace.
func TestTraceOfQuotas(t *testing.T) {
	w := newWorld(t, 4, func(o *storage.Options) { o.L1.Policy = "IsolatedLRU" })
	rec := w.record()
	if err := w.m.SetQuota("t", 2*objectBytes); err != nil {
		t.Fatal(err)
	}
	if err := w.m.SetQuota("t", -2); err == nil {
		t.Error("a negative quota was accepted")
	}
	if !w.m.HasQuota("t") || w.m.Quota("t") != 2*objectBytes || len(w.m.Quotas()) != 1 {
		t.Error("the quota is not there")
	}
	if !w.m.DeleteQuota("t") || w.m.DeleteQuota("t") {
		t.Error("DeleteQuota does not say whether there was one")
	}
	w.recorded(rec,
		`0 lmcache.trace.quota - "t" 8192 owner=-1`, "0 done -",
		`1 lmcache.trace.quota - "t" -1 owner=-1`, "1 done -",
		`2 lmcache.trace.quota - "t" -1 owner=-1`, "2 done -")
	if err := w.m.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if err := w.m.SetQuota("t", 1); !errors.Is(err, storage.ErrClosed) || w.m.DeleteQuota("t") {
		t.Errorf("after Close: %v", err)
	}
}

// The tenant's quota holds through the whole manager.
func TestREQ_S47_QuotaOfReservations(t *testing.T) {
	w := newWorld(t, 8, func(o *storage.Options) {
		o.L1.Policy, o.L1.Quotas = "IsolatedLRU", map[string]int64{"t": 2 * objectBytes}
	})
	w.put("ab")
	list := []kv.Key{key("c"), key("d"), key("e")}
	for i := range list {
		list[i].Salt = "t"
	}
	l, err := w.m.ReserveWrite(t.Context(), list, w.layout, storage.New, storage.WriteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if got := codes(l, 3); got != "110" {
		t.Errorf("codes %s, want 110", got)
	}
	// A wait for a quota ends when it is raised.
	w.v.At(w.v.Now().Add(time.Second), func() {
		if err := w.m.SetQuota("t", 3*objectBytes); err != nil {
			t.Error(err)
		}
	})
	late, err := w.m.ReserveWrite(t.Context(), list[2:], w.layout, storage.New, storage.WriteOptions{Wait: time.Minute})
	if err != nil || late.Code(0) != l1.Success {
		t.Errorf("%v, %v", err, late.Code(0))
	}
	late.Abort()
	l.Abort()
	if got := w.resident("ab"); got != "ab" {
		t.Errorf("of the others %s is left", got)
	}
}
