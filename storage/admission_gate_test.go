package storage_test

import (
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/storage"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// States that a key can be in at a lookup.
const (
	keyAbsent = iota
	keyResident
	keyStaged
	keyExpired // its staging
	keyAborted
	keyDeleted
	keyForeign // resident with another layout
	keyBeside  // resident, and a replacement is staged
	keyStates
)

// prepare brings every key into a state of its own, and returns those reservations
// that stay open.
func (w *world) prepare(names string, foreign kv.Layout, state []int) (open []storage.WriteLease) {
	w.t.Helper()
	one := func(i int) string { return names[i : i+1] }
	for i, s := range state { // time passes for these
		if s == keyExpired {
			open = append(open, w.reserve(one(i), storage.New))
		}
	}
	w.after(l1.DefaultWriteTTL)
	for i, s := range state {
		switch s {
		case keyResident:
			w.put(one(i))
		case keyStaged:
			open = append(open, w.reserve(one(i), storage.New))
		case keyAborted:
			w.reserve(one(i), storage.New).Abort()
		case keyDeleted:
			w.put(one(i))
			w.m.Delete(keys(one(i)), false)
		case keyForeign:
			l, err := w.m.ReserveWrite(w.t.Context(), keys(one(i)), foreign, storage.New, storage.WriteOptions{})
			if err != nil {
				w.t.Fatal(err)
			}
			l.Finish()
		case keyBeside:
			w.put(one(i))
			l := w.reserve(one(i), storage.Update)
			for _, b := range l.All() {
				fill(b, '!')
			}
			open = append(open, l)
		}
	}
	return open
}

// REQ-S19: a bit of a prefetch result means that the object is resident with the right
// bytes and leased to the handle, for random states of the keys; what has no bit can't
// be claimed.
func TestREQ_S19_BitsAreTrue(t *testing.T) {
	const names = "abcdefghijkl"
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 19))
		w := newWorld(t, 30)
		state := make([]int, len(names))
		for i := range state {
			if state[i] = keyResident; rng.IntN(3) == 0 {
				state[i] = rng.IntN(keyStates)
			}
		}
		open := w.prepare(names, rawLayout(t, objectBytes-8), state)
		o := storage.PrefetchOptions{Readers: 1 + rng.IntN(3), Policy: storage.Policy(rng.IntN(2))}
		p := w.prefetch(names, o)
		r, _ := p.Status()
		gap, found := false, 0
		for i, s := range state {
			there := s == keyResident || s == keyBeside
			gap = gap || !there
			want := there && (o.Policy == storage.Sparse || !gap)
			if r.Found.Has(i) != want {
				t.Fatalf("seed %d, %v: bit %d is %v in state %d", seed, o.Policy, i, r.Found.Has(i), s)
			}
			if want {
				found++
			}
			w.verifyBit(p, i, want, o.Readers)
		}
		if got := w.m.Stats().L1.ReadingObjects; got != 0 || r.L1 != found || r.Found.Count() != found {
			t.Fatalf("seed %d: %d objects are leased after all were read, %d bits, %d counted, want %d", seed, got, r.Found.Count(), r.L1, found)
		}
		p.Release()
		for _, l := range open {
			l.Abort()
		}
	}
}

// verifyBit claims position i alone, as often as there are readers: all of them get the
// bytes, if want, and one more gets nothing.
func (w *world) verifyBit(p *storage.Prefetch, i int, want bool, readers int) {
	w.t.Helper()
	name := named(p.Keys()[i : i+1])
	one := storage.Select{Lo: i, Hi: i + 1}
	if want {
		if c := w.m.Delete(p.Keys()[i:i+1], false)[0]; c != l1.KeyIsLocked {
			w.t.Fatalf("%s has a bit and is not leased: delete says %v", name, c)
		}
		for n := range readers {
			l, err := p.Read(w.t.Context(), one)
			if err != nil {
				w.t.Fatalf("%s has a bit, reader %d: %v", name, n, err)
			}
			for _, b := range l.All() {
				if !filledWith(b, name[0]) {
					w.t.Fatalf("%s has a bit and foreign bytes", name)
				}
			}
			l.Finish()
		}
	}
	var bad *storage.ReadError
	if _, err := p.Read(w.t.Context(), one); !errors.As(err, &bad) || len(bad.Keys) != 1 || bad.Keys[0].Key != p.Keys()[i] {
		w.t.Fatalf("%s was read without a holder: %v", name, err)
	}
}

// REQ-S21: the same key with two layouts, at prefetches, claims of a handle, claims of
// one that has expired, and after a replacement: layout_mismatch, and no bytes.
func TestREQ_S21_ForeignLayout(t *testing.T) {
	halves, err := kv.NewLayout([][]int64{{objectBytes / 2}}, []kv.DType{kv.Float16}) // as many bytes
	if err != nil {
		t.Fatal(err)
	}
	for name, other := range map[string]kv.Layout{
		"shorter": rawLayout(t, objectBytes/2), "longer": rawLayout(t, 2*objectBytes), "as long": halves,
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 12)
			w.put("ab")
			w.mismatch(other, "ab")
			p := w.prefetch("ab", storage.PrefetchOptions{Readers: 2})
			early := w.read(p, 2)

			// Nobody may replace what is leased; then everybody lets go by time.
			l, err := w.m.ReserveWrite(t.Context(), keys("ab"), other, storage.All, storage.WriteOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if l.Code(0) != l1.KeyNotWritable {
				t.Fatalf("a replacement of what is leased: %v", l.Code(0))
			}
			w.after(l1.DefaultReadTTL)
			l, err = w.m.ReserveWrite(t.Context(), keys("ab"), other, storage.All, storage.WriteOptions{})
			if err != nil {
				t.Fatal(err)
			}
			for _, b := range l.All() {
				fill(b, '!')
			}
			w.mismatch(other, "ab")
			if r := l.Finish(); named(r.Finished) != "ab" {
				t.Fatalf("replaced %s", named(r.Finished))
			}
			for i, b := range early.All() {
				if !filledWith(b, "ab"[i]) {
					t.Errorf("the bytes of a reader that is late have changed")
				}
			}
			early.Finish()
			w.events()
			var bad *storage.ReadError
			if _, err := p.Read(t.Context(), storage.Select{Hi: 2}); !errors.As(err, &bad) || len(bad.Keys) != 2 ||
				bad.Keys[0].Code != l1.KeyNotReadable || bad.Keys[0].Detail != "layout_mismatch" {
				t.Errorf("a claim after the replacement: %v", err)
			}
			w.expect(`l1.read.failed ab l1_retrieve write_locked "layout_mismatch"`, "sm.read.prefetched_finished - ab abort")
			p.Release()
			w.mismatch(w.layout, "ab")
			q, err := w.m.SubmitPrefetch(t.Context(), keys("ab"), other, storage.PrefetchOptions{})
			if err != nil {
				t.Fatal(err)
			}
			r, err := q.Read(t.Context(), storage.Select{Hi: 2})
			if err != nil {
				t.Fatal(err)
			}
			for _, b := range r.All() {
				if !filledWith(b, '!') || int64(len(b)) != other.Size() {
					t.Error("the replacement has foreign bytes")
				}
			}
			r.Finish()
			q.Release()
			w.after(time.Second)
			if s := w.m.Stats().L1; s.LeasedBytes != 0 || s.OrphanedBytes != 0 {
				t.Errorf("left: %+v", s)
			}
		})
	}
}

// mismatch looks for objects with a layout that they do not have.
func (w *world) mismatch(layout kv.Layout, names string) {
	w.t.Helper()
	leased := w.m.Stats().L1.LeasedBytes
	for _, o := range []storage.PrefetchOptions{{}, {Readers: 3}, {Policy: storage.Sparse}, {Warm: true}} {
		p, err := w.m.SubmitPrefetch(w.t.Context(), keys(names), layout, o)
		if err != nil {
			w.t.Fatal(err)
		}
		r, _ := p.Status()
		if r.Found.Count() != 0 || r.Prefix != 0 || r.Miss[0] != storage.MissLayout || r.Miss[1] != storage.MissLayout {
			w.t.Errorf("%+v: %d found, missed for %v", o, r.Found.Count(), r.Miss)
		}
		if l, err := p.Read(w.t.Context(), storage.Select{Hi: 1}); err == nil {
			w.t.Errorf("%+v: claimed %s", o, named(l.Keys()))
			l.Abort()
		}
		p.Release()
	}
	if got := w.m.Stats().L1.LeasedBytes; got != leased {
		w.t.Errorf("mismatches changed the leased bytes from %d to %d", leased, got)
	}
}
