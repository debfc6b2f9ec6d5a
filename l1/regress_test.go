package l1_test

import (
	"context"
	"errors"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lmcache-go/lmcache/internal/runtime"
	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// A reservation that got nothing has nothing to read, and holders are clipped
// wherever they come from.
func TestFinishAndReadGrantsOnlyWhatWasStaged(t *testing.T) {
	f := newFixture(t, l1.Options{})
	keys := chunks(1, 0, 2)
	f.store(1, keys...)
	r := f.reserve(l1.WriteNew, keys...).FinishAndRead(f.now(), 1)
	f.codes(r.Code, l1.KeyInWrongState, l1.KeyInWrongState)
	for i := range r.All() {
		t.Errorf("position %d has a buffer", i)
	}
	w := f.reserve(l1.WriteNew, chunk(2, 0))
	r = w.FinishAndRead(f.now(), 1000)
	if n := r.Holders(0); n != l1.MaxReaders {
		t.Errorf("%d holders, want %d", n, l1.MaxReaders)
	}
	r.Finish(f.now(), l1.CauseRead)
}

// REQ-S18: temporaries vanish with their last holder, however that goes.
func TestTemporariesVanish(t *testing.T) {
	for _, how := range []string{"release", "expiry"} {
		f := newFixture(t, l1.Options{})
		keys := chunks(1, 0, 2)
		w, err := f.m.ReserveWrite(f.now(), keys, f.layout, l1.WriteNew, l1.WriteOptions{Temporary: []bool{true, false}})
		if err != nil {
			t.Fatal(err)
		}
		r := w.FinishAndRead(f.now(), 2)
		f.codes(f.reserve(l1.WriteUpdate, keys...).Code, l1.KeyNotWritable, l1.KeyNotWritable)
		r.Release(f.now(), l1.All(2), 1, l1.CauseRead)
		if f.resident(keys...) != 2 {
			t.Fatal("gone before the last holder")
		}
		if how == "release" {
			r.Finish(f.now(), l1.CauseUnused)
		} else {
			f.advance(l1.DefaultReadTTL)
		}
		if f.resident(keys[0]) != 0 || f.resident(keys[1]) != 1 {
			t.Errorf("%s: the temporary one is still there, or the other one gone", how)
		}
		r.Finish(f.now(), l1.CauseUnused)
		if s := f.m.Stats(); s.UsedBytes != unit {
			t.Errorf("%s: %d bytes are used", how, s.UsedBytes)
		}
	}
}

// The timer of a long reservation does not delay the expiry of a shorter lease.
func TestShorterLeaseExpiresInTime(t *testing.T) {
	f := newFixture(t, l1.Options{ReadTTL: time.Minute, WriteTTL: time.Hour})
	f.store(1, chunk(1, 0))
	w := f.reserve(l1.WriteNew, chunk(2, 0))
	r := f.read(1, chunk(1, 0))
	f.advance(time.Minute)
	if s := f.m.Stats(); s.LeasesExpired != 1 || s.LeasedBytes != 0 || s.StagedBytes != unit {
		t.Errorf("after the time of the read lease: %+v", s)
	}
	r.Finish(f.now(), l1.CauseRead)
	w.Abort(f.now(), l1.AbortOwner)
}

// A lookup that Close overtakes gives back what it has already leased.
func TestCloseBetweenTheHoldsOfALookup(t *testing.T) {
	keys := chunks(1, 0, 64*40)
	layout := layoutOf(t, 64)
	overtaken := 0
	for range 60 {
		m, err := l1.New(l1.Options{Bytes: 64 * int64(len(keys)), Align: 64, NoBytes: true})
		if err != nil {
			t.Fatal(err)
		}
		now := time.Now()
		w, err := m.ReserveWrite(now, keys, layout, l1.WriteNew, l1.WriteOptions{})
		if err != nil {
			t.Fatal(err)
		}
		w.Finish(now, l1.OriginNew)
		begin := make(chan struct{})
		var wg sync.WaitGroup
		wg.Go(func() {
			<-begin
			var leak *l1.LeakError
			if err := m.Close(); err != nil && !errors.As(err, &leak) {
				t.Error(err)
			}
		})
		close(begin)
		r, err := m.ReserveRead(now, keys, layout, l1.ReadOptions{})
		wg.Wait()
		if errors.Is(err, l1.ErrClosed) {
			overtaken++
		} else {
			r.Finish(now, l1.CauseUnused)
		}
		if s := m.Stats(); s.Leases != 0 || s.LeasedBytes != 0 {
			t.Fatalf("%d leases with %d bytes are left", s.Leases, s.LeasedBytes)
		}
	}
	if overtaken == 0 {
		t.Log("Close never came between")
	}
}

// REQ-S27: nobody gives back more than the lease has.
func TestOverRelease(t *testing.T) {
	f := newFixture(t, l1.Options{})
	k := chunk(1, 0)
	f.store(1, k)
	a, b := f.read(1, k), f.read(2, k)
	for range 3 {
		a.Release(f.now(), l1.All(1), 100, l1.CauseUnused)
	}
	if b.Holders(0) != 2 {
		t.Fatal("another lease lost holders")
	}
	if c := f.m.Delete(f.now(), []kv.Key{k}, false); c[0] != l1.KeyIsLocked {
		t.Fatalf("delete: %v", c[0])
	}
	b.Release(f.now(), l1.All(1), 100, l1.CauseUnused)
	if c := f.m.Delete(f.now(), []kv.Key{k}, false); c[0] != l1.Success {
		t.Fatalf("delete: %v", c[0])
	}
}

// The size of an object that is rounded up beyond the largest number is too large
// as well.
func TestLargestLayoutIsRefused(t *testing.T) {
	f := newFixture(t, l1.Options{NoBytes: true})
	for _, size := range []int64{8*unit + 1, math.MaxInt64 - unit + 1, math.MaxInt64} {
		_, err := f.m.ReserveWrite(f.now(), chunks(1, 0, 1), layoutOf(t, size), l1.WriteNew, l1.WriteOptions{})
		if err == nil || !strings.Contains(err.Error(), "larger than the capacity of 32768 bytes") {
			t.Errorf("%d bytes: %v", size, err)
		}
		if _, err := f.m.ReserveRead(f.now(), chunks(1, 0, 1), layoutOf(t, size), l1.ReadOptions{}); err == nil {
			t.Errorf("%d bytes: looked up", size)
		}
	}
}

// tardy is a runtime whose waits end long after they should.
type tardy struct {
	*runtime.Virtual
	late   time.Duration
	before func()
}

func (r *tardy) Now() time.Time { return r.Virtual.Now().Add(r.late) }

func (r *tardy) Wait(context.Context, <-chan struct{}, time.Time) bool {
	r.before()
	r.late = 2 * l1.DefaultWriteTTL
	return true
}

// A caller that is woken after the time of its own lease has lost what it had and
// goes on with the rest; a key that it names twice is its own, not a dead writer's.
func TestWaitBeyondTheLease(t *testing.T) {
	rt := &tardy{Virtual: runtime.NewVirtual(runtime.VirtualOptions{})}
	m, err := l1.New(l1.Options{Bytes: 200 * unit, NoBytes: true, Runtime: rt})
	if err != nil {
		t.Fatal(err)
	}
	layout := layoutOf(t, unit)
	other, err := m.ReserveWrite(rt.Now(), chunks(2, 0, 120), layout, l1.WriteNew, l1.WriteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	rt.before = func() { other.Abort(rt.Now(), l1.AbortOwner) }
	keys := append(chunks(1, 0, 128), chunk(3, 0), chunk(3, 0))
	w, err := m.ReserveWriteWithin(t.Context(), rt.Now(), time.Minute, keys, layout, l1.WriteNew, l1.WriteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if w.Code(127) != l1.Success || w.Code(128) != l1.Success || w.Code(129) != l1.KeyNotWritable {
		t.Errorf("codes %v, %v, %v", w.Code(127), w.Code(128), w.Code(129))
	}
	if r := w.Finish(rt.Now(), l1.OriginNew); len(r.Finished) != 49 || len(r.Failed) != 80 {
		t.Errorf("%d finished, %d failed", len(r.Finished), len(r.Failed))
	}
	if err := errors.Join(m.Check(), m.Close()); err != nil {
		t.Error(err)
	}
}
