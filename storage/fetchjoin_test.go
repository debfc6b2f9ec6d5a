package storage_test

import (
	"context"
	"testing"
	"time"

	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/storage"
)

// Who joins a load has its own time for it, whatever the deadline of who began it.
func TestJoinedLoadOutlivesTheDeadlineOfItsOwner(t *testing.T) {
	for _, tt := range []struct {
		name  string
		takes time.Duration // a load of one object; one is loaded at a time
		deaf  bool          // it does not listen to its context
		owner string
		joins string
		want  time.Duration
		calls int
	}{
		{name: "an object that waits", takes: 4 * time.Second, owner: "abcd", joins: "d", want: 16 * time.Second, calls: 4},
		// The context of a call that has begun ends ten seconds after the deadline.
		{name: "a call that has begun", takes: 15 * time.Second, owner: "a", joins: "a", want: 25100 * time.Millisecond, calls: 2},
		{name: "a call that does not listen", takes: 15 * time.Second, deaf: true, owner: "a", joins: "a", want: 15 * time.Second, calls: 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newShelf()
			s.before = func(ctx context.Context, op string, _ []storage.Key) error {
				switch {
				case op != "load":
				case tt.deaf:
					pass(tt.takes)
				default:
					select {
					case <-ctx.Done():
						return ctx.Err()
					case <-time.After(tt.takes):
					}
				}
				return nil
			}
			live(t, 64, []*shelf{s}, func(t *testing.T, w *world) {
				s.keep(t, w.layout, tt.owner)
				began := w.m.Now()
				owner := w.prefetch(tt.owner, storage.PrefetchOptions{Deadline: 100 * time.Millisecond})
				pass(10 * time.Millisecond)
				p := w.prefetch(tt.joins, storage.PrefetchOptions{Deadline: time.Minute})
				if r := w.wait(owner); r.Found.Count() != 0 || r.Miss[0] != storage.MissDeadline || w.m.Now().Sub(began) != 100*time.Millisecond {
					t.Errorf("who began it, after %v: %+v", w.m.Now().Sub(began), r)
				}
				r := w.wait(p)
				if took := w.m.Now().Sub(began); took != tt.want || r.Prefix != 1 {
					t.Errorf("after %v, want %v: %+v", took, tt.want, r)
				}
				if n := s.count("load"); n != tt.calls {
					t.Errorf("%d calls, want %d", n, tt.calls)
				}
				w.read(p, 1).Finish()
				p.Release()
				owner.Release()
				pass(time.Minute)
				if st := w.m.Stats(); st.L1.LeasedBytes != 0 || st.L1.StagedBytes != 0 || st.L1.OrphanedBytes != 0 || st.Tiers[0].Pins != 0 ||
					len(st.Tiers[0].FailuresByReason) != 0 || st.Tiers[0].Breaker != storage.BreakerClosed {
					t.Errorf("left: %+v\n%+v", st.L1, st.Tiers[0])
				}
			}, func(o *storage.Options) { o.Tiers[0].Settings.Workers, o.Tiers[0].Settings.PerOpWorkers = 1, 1 })
		})
	}
}

// An object that a load could not get is not joined, although the rest of the load runs: it
// is loaded again.
func TestFailedPartOfALoadIsNotJoined(t *testing.T) {
	s := newShelf()
	s.before = func(_ context.Context, op string, list []storage.Key) error {
		if op == "load" && named(list) == "a" && s.count("load") == 1 {
			return l2.ErrIO
		}
		return nil
	}
	v := storage.VirtualOptions{}
	w := openWorld(t, 64, &v, withTiers(&v, s), func(o *storage.Options) {
		v.Models[0].Latency = time.Second
		o.Tiers[0].Settings.Workers, o.Tiers[0].Settings.PerOpWorkers = 1, 1
	})
	s.keep(t, w.layout, "abcdef")
	first := w.prefetch("abcdef", storage.PrefetchOptions{Policy: storage.Sparse})
	w.after(1500 * time.Millisecond) // a fails at 2s
	second := w.prefetch("a", storage.PrefetchOptions{})
	if r := w.wait(second); r.Prefix != 1 {
		t.Errorf("%+v", r)
	}
	second.Release()
	if r := w.wait(first); r.Found.Count() != 5 || r.Miss[0] != storage.MissL2IO {
		t.Errorf("%+v", r)
	}
	first.Release()
}
