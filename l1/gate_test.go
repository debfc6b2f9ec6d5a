package l1_test

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/storage/kv"
)

func TestREQ_S1_ReadableOnlyThroughFinish(t *testing.T) {
	f := newFixture(t, l1.Options{})
	k := chunk(1, 0)
	w := f.reserve(l1.WriteNew, k)
	r := f.read(1, k)
	f.codes(r.Code, l1.KeyNotReadable)
	if r.Detail(0) != l1.DetailStaged {
		t.Errorf("detail %v, want staged", r.Detail(0))
	}
	f.advance(l1.DefaultWriteTTL - 1)
	if !w.Renew(f.now()) {
		t.Fatal("a live reservation cannot be renewed")
	}
	f.advance(l1.DefaultWriteTTL)
	if w.Renew(f.now()) {
		t.Error("an expired reservation was renewed")
	}
	r = f.read(1, k)
	f.codes(r.Code, l1.KeyNotExist)
	s := f.m.Stats()
	if s.StagedBytes != 0 || s.OrphanedBytes != unit || s.LeasesExpired != 1 {
		t.Errorf("after expiry: %+v", s)
	}
	res := w.Finish(f.now(), l1.OriginNew)
	if len(res.Finished) != 0 || len(res.Failed) != 1 || res.Failed[0] != k {
		t.Errorf("finish after expiry: %+v", res)
	}
	f.codes(w.Code, l1.KeyInWrongState)
	if f.resident(k) != 0 {
		t.Error("an expired reservation is readable")
	}
	if s := f.m.Stats(); s.UsedBytes != 0 {
		t.Errorf("%d bytes are still used", s.UsedBytes)
	}
}

func TestREQ_S4_OneOfTwoWritersWins(t *testing.T) {
	f := newFixture(t, l1.Options{})
	for round := range 50 {
		k := chunk(round, 0)
		leases := make([]l1.WriteLease, 2)
		now := f.now()
		var wg sync.WaitGroup
		for i := range leases {
			wg.Go(func() {
				w, err := f.m.ReserveWrite(now, []kv.Key{k}, f.layout, l1.WriteNew, l1.WriteOptions{})
				if err != nil {
					t.Error(err)
				}
				leases[i] = w
			})
		}
		wg.Wait()
		a, b := leases[0], leases[1]
		if a.Code(0) != l1.Success {
			a, b = b, a
		}
		f.codes(a.Code, l1.Success)
		f.codes(b.Code, l1.KeyNotWritable)
		if round%2 == 0 { // the loser skips, the winner commits
			b.Finish(now, l1.OriginNew)
			b.Abort(now, l1.AbortOwner)
			if res := a.Finish(now, l1.OriginNew); len(res.Finished) != 1 {
				t.Fatalf("the winner finished %d keys", len(res.Finished))
			}
			continue
		}
		// The winner dies: nobody else may write before its time is over, anybody after.
		late := now.Add(l1.DefaultWriteTTL)
		w, err := f.m.ReserveWrite(late.Add(-1), []kv.Key{k}, f.layout, l1.WriteNew, l1.WriteOptions{})
		if err != nil {
			t.Fatal(err)
		}
		f.codes(w.Code, l1.KeyNotWritable)
		f.rt.RunUntil(late.Add(-1))
		w, err = f.m.ReserveWrite(late, []kv.Key{k}, f.layout, l1.WriteNew, l1.WriteOptions{})
		if err != nil {
			t.Fatal(err)
		}
		f.codes(w.Code, l1.Success)
		if res := a.Finish(late, l1.OriginNew); len(res.Finished) != 0 {
			t.Fatal("the dead winner committed")
		}
		if res := w.Finish(late, l1.OriginNew); len(res.Finished) != 1 {
			t.Fatal("the new winner could not commit")
		}
		f.rt.RunUntil(late)
	}
}

func TestREQ_S5_RepeatedKeys(t *testing.T) {
	for seed := range uint64(80) {
		f := newFixture(t, l1.Options{Bytes: 300 * unit, NoBytes: true})
		rnd := rand.New(rand.NewPCG(seed, 5))
		keys := make([]kv.Key, 1+rnd.IntN(200))
		for i := range keys {
			keys[i] = chunk(1, rnd.IntN(20))
		}
		distinct := map[kv.Key]int{} // position of the first
		for i, k := range keys {
			if _, ok := distinct[k]; !ok {
				distinct[k] = i
			}
		}
		w := f.reserve(l1.WriteNew, keys...)
		for i, k := range keys {
			want := l1.Success
			if distinct[k] != i {
				want = l1.KeyNotWritable
			}
			if w.Code(i) != want {
				t.Fatalf("seed %d: write position %d: got %v, want %v", seed, i, w.Code(i), want)
			}
		}
		if s := f.m.Stats(); s.StagedBytes != int64(len(distinct))*unit {
			t.Fatalf("seed %d: %d bytes are staged for %d keys", seed, s.StagedBytes, len(distinct))
		}
		if res := w.Finish(f.now(), l1.OriginNew); len(res.Finished) != len(distinct) || len(res.Failed) != 0 {
			t.Fatalf("seed %d: finished %d, failed %d", seed, len(res.Finished), len(res.Failed))
		}
		readers := 1 + rnd.IntN(3)
		r := f.read(readers, keys...)
		for i, k := range keys {
			want := readers
			if distinct[k] != i {
				want = 0
			}
			if r.Code(i) != l1.Success || r.Holders(i) != want {
				t.Fatalf("seed %d: read position %d: %v with %d holders, want %d", seed, i, r.Code(i), r.Holders(i), want)
			}
		}
		for range readers {
			s := l1.Select{Lo: rnd.IntN(len(keys)), Hi: len(keys)}
			taken, bad := r.Take(f.now(), s)
			if bad != 0 && readers == 1 { // one take per holder: nothing can be missing
				t.Fatalf("seed %d: %d positions of %v could not be taken of %d readers", seed, bad, s, readers)
			}
			f.check()
			n := 0
			for i := range taken.Keys() {
				n += taken.Holders(i)
			}
			if res := taken.Finish(f.now(), l1.CauseRead); len(res.Released) != n || len(res.Failed) != 0 {
				t.Fatalf("seed %d: released %d of %d holders", seed, len(res.Released), n)
			}
		}
		r.Finish(f.now(), l1.CauseUnused)
		f.check()
		if s := f.m.Stats(); s.LeasedBytes != 0 || s.Leases != 0 {
			t.Fatalf("seed %d: %d bytes in %d leases are left", seed, s.LeasedBytes, s.Leases)
		}
		if codes := f.m.Delete(f.now(), keys, false); len(codes) != len(keys) {
			t.Fatalf("%d codes for %d keys", len(codes), len(keys))
		}
		if s := f.m.Stats(); s.UsedBytes != 0 {
			t.Fatalf("seed %d: %d bytes are used", seed, s.UsedBytes)
		}
	}
}

func TestREQ_S7_ReadersAreIndependent(t *testing.T) {
	for _, readers := range []int{1, 2, l1.MaxReaders} {
		t.Run(fmt.Sprint(readers), func(t *testing.T) {
			f := newFixture(t, l1.Options{Bytes: unit})
			k := chunk(1, 0)
			f.store(1, k)
			r := f.read(readers, k)
			var takes []l1.ReadLease
			for range readers {
				l, bad := r.Take(f.now(), l1.All(1))
				if bad != 0 {
					t.Fatal("a holder could not be taken")
				}
				takes = append(takes, l)
			}
			if _, bad := r.Take(f.now(), l1.All(1)); bad != 0 {
				t.Fatal("an ended lease names bad positions")
			}
			for i, l := range takes {
				f.holds(l, 1)
				if n := f.store(2, chunk(2, i)); n != 0 {
					t.Fatalf("the object was evicted with %d holders", readers-i)
				}
				l.Finish(f.now(), l1.CauseRead)
				l.Finish(f.now(), l1.CauseRead)
			}
			if n := f.store(2, chunk(2, readers)); n != 1 {
				t.Fatal("the object was not evicted after its last holder")
			}
		})
	}
	// Releasing by number is the same as releasing by lease.
	f := newFixture(t, l1.Options{Bytes: unit})
	f.store(1, chunk(1, 0))
	r := f.read(1000, chunk(1, 0)) // clipped
	if n := r.Holders(0); n != l1.MaxReaders {
		t.Fatalf("%d holders, want %d", n, l1.MaxReaders)
	}
	r.Release(f.now(), l1.All(1), l1.MaxReaders-1, l1.CauseUnused)
	if f.store(2, chunk(2, 0)) != 0 {
		t.Fatal("evicted under the last holder")
	}
	r.Release(f.now(), l1.All(1), 1, l1.CauseUnused)
	if f.store(2, chunk(2, 0)) != 1 {
		t.Fatal("not evicted after the last holder")
	}
}

func TestREQ_S8_TakeAfterExpiry(t *testing.T) {
	for _, promise := range []bool{false, true} {
		f := newFixture(t, l1.Options{})
		keys := chunks(1, 0, 3)
		f.store(1, keys...)
		r, err := f.m.ReserveRead(f.now(), keys, f.layout, l1.ReadOptions{Promise: promise})
		if err != nil {
			t.Fatal(err)
		}
		f.advance(301 * time.Second)
		if s := f.m.Stats(); s.LeasedBytes != 0 || s.LeasesExpired != 1 {
			t.Fatalf("after expiry: %+v", s)
		}
		f.m.Delete(f.now(), keys[1:2], false)
		taken, bad := r.Take(f.now(), l1.All(3))
		if bad != 1 {
			t.Fatalf("%d positions are bad, want 1", bad)
		}
		f.codes(taken.Code, l1.Success, l1.KeyNotExist, l1.Success)
		f.holds(taken, 1)
		if s := f.m.Stats(); s.LeasedBytes != 2*unit {
			t.Fatalf("%d bytes are leased again, want 2 objects", s.LeasedBytes)
		}
		f.check()
		if res := taken.Finish(f.now(), l1.CauseRead); len(res.Released) != 2 {
			t.Fatalf("released %d", len(res.Released))
		}
		r.Finish(f.now(), l1.CauseUnused)
	}
}

func TestREQ_S17_StaleValuesDoNothing(t *testing.T) {
	f := newFixture(t, l1.Options{})
	k := chunk(1, 0)
	f.store(1, k)

	// A read lease expires and is given back; its record serves another holder.
	a := f.read(1, k)
	f.advance(l1.DefaultReadTTL)
	if res := a.Finish(f.now(), l1.CauseRead); len(res.Released) != 0 || len(res.Failed) != 1 {
		t.Fatalf("release of an expired lease: %+v", res)
	}
	b := f.read(1, k)
	for range 2 {
		if res := a.Finish(f.now(), l1.CauseAbort); len(res.Released)+len(res.Failed) != 0 {
			t.Fatalf("a stale release did something: %+v", res)
		}
		a.Release(f.now(), l1.All(1), 1, l1.CauseRead)
		if a.Renew(f.now()) {
			t.Fatal("a stale lease was renewed")
		}
		if l, _ := a.Take(f.now(), l1.All(1)); l.Keys() != nil {
			t.Fatal("a stale lease was taken from")
		}
	}
	f.codes(a.Code, l1.KeyInWrongState)
	if b.Holders(0) != 1 || f.m.Stats().LeasedBytes != unit {
		t.Fatal("the other holder lost its lease")
	}
	if c := f.m.Delete(f.now(), []kv.Key{k}, false); c[0] != l1.KeyIsLocked {
		t.Fatalf("delete of a leased key: %v", c[0])
	}
	b.Finish(f.now(), l1.CauseRead)

	// The same with write leases.
	w := f.reserve(l1.WriteNew, chunk(2, 0))
	f.advance(l1.DefaultWriteTTL)
	w.Abort(f.now(), l1.AbortOwner)
	x := f.reserve(l1.WriteNew, chunk(2, 0))
	for range 2 {
		w.Abort(f.now(), l1.AbortOwner)
		if res := w.Finish(f.now(), l1.OriginNew); len(res.Finished)+len(res.Failed) != 0 {
			t.Fatalf("a stale finish did something: %+v", res)
		}
		if r := w.FinishAndRead(f.now(), 1); r.Keys() != nil {
			t.Fatal("a stale lease was finished for reading")
		}
	}
	if f.resident(chunk(2, 0)) != 0 {
		t.Fatal("the other writer's bytes became readable")
	}
	if res := x.Finish(f.now(), l1.OriginNew); len(res.Finished) != 1 {
		t.Fatal("the other writer lost its staging")
	}
	x.Abort(f.now(), l1.AbortOwner) // the deferred one
	if f.resident(chunk(2, 0)) != 1 {
		t.Fatal("abort after finish removed the object")
	}
}
