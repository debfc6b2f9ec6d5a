package storage_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/storage"
)

// A load that has ended beats a deadline of the same moment: nothing is missed for the
// deadline, which is not counted, and what failed says why.
func TestLoadThatHasEndedBeatsTheDeadline(t *testing.T) {
	for _, names := range []string{"ab", "ax"} {
		t.Run(names, func(t *testing.T) {
			s := newShelf()
			s.item = func(op string, it *l2.Item) {
				if op == "load" && it.Key == key("x") {
					it.Err = fmt.Errorf("%w: a bad sector", l2.ErrIO)
				}
			}
			w := newTierWorld(t, 16, []*shelf{s})
			s.keep(t, w.layout, names)
			p := w.prefetch(names, storage.PrefetchOptions{Deadline: 5 * time.Millisecond})
			w.after(1500 * time.Microsecond)
			storage.ExpireAsLoadEnds(p)
			w.events()
			r := w.wait(p)
			want := []string{
				"l2.load_task.completed 0: 0/0 true ok=2 bytes=8192",
				"l2.prefetch.load.completed 0 loaded=2 failed=0 joined=0",
				"sm.prefetch.resolved id=0/ total=2 l1=0 l2=2 prefix=2 map[]",
			}
			if names == "ax" {
				want = []string{
					"l2.load_task.completed 0: 0/0 false ok=1 bytes=4096",
					"l2.prefetch.load.completed 0 loaded=1 failed=1 joined=0",
					"l2.prefetch.failed io_error x",
					"sm.prefetch.resolved id=0/ total=2 l1=0 l2=1 prefix=1 map[l2_io_error:1]",
				}
			}
			w.after(time.Second)
			got := slices.DeleteFunc(w.events(), func(l string) bool { return strings.HasPrefix(l, "l1.") })
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%+v; events (-want +got):\n%s", r, diff)
			}
			if n := w.m.Stats().Fetches.Deadlines; n != 0 {
				t.Errorf("%d deadlines are counted", n)
			}
			w.read(p, r.Prefix).Finish()
			p.Release()
			w.v.Run()
			if st := w.m.Stats(); st.L1.LeasedBytes != 0 || st.L1.StagedBytes != 0 || st.Tiers[0].Pins != 0 || st.Tiers[0].InflightLoads != 0 {
				t.Errorf("left: %+v, %d pins, %d loads", st.L1, st.Tiers[0].Pins, st.Tiers[0].InflightLoads)
			}
		})
	}
}

// A deadline that comes while a load whose reservation was cleared still runs changes
// nothing of what the tier says: it has loaded all of it.
func TestDeadlineOfALoadThatWasCleared(t *testing.T) {
	s := newShelf()
	s.before = func(_ context.Context, op string, list []storage.Key) error {
		switch {
		case op != "load":
		case strings.Contains(named(list), "a"):
			pass(time.Second)
		default:
			pass(4 * time.Second)
		}
		return nil
	}
	live(t, 64, []*shelf{s}, func(t *testing.T, w *world) {
		s.keep(t, w.layout, "abcd")
		p := w.prefetch("abcd", storage.PrefetchOptions{Deadline: 2 * time.Second})
		pass(1500 * time.Millisecond) // ab is loaded
		w.m.Clear(true)
		if r := w.wait(p); r.Found.Count() != 0 || r.Miss[0] == storage.MissNone || r.Miss[3] != storage.MissDeadline {
			t.Errorf("%+v", r)
		}
		p.Release()
		pass(10 * time.Second)
		got := w.events()
		for _, want := range []string{
			"l2.load_task.completed 0: 0/0 true ok=4 bytes=16384",
			"l2.prefetch.load.completed 0 loaded=0 failed=4 joined=0",
		} {
			if !slices.Contains(got, want) {
				t.Errorf("no event %q in\n%s", want, strings.Join(got, "\n"))
			}
		}
		if st := w.m.Stats(); st.L1.LeasedBytes != 0 || st.L1.StagedBytes != 0 || st.L1.OrphanedBytes != 0 || st.Tiers[0].FailuresByReason[string(l2.ReasonTimeout)] != 0 {
			t.Errorf("left: %+v; failures %v", st.L1, st.Tiers[0].FailuresByReason)
		}
	})
}

// Who has joined a load gets at its own deadline what that load has done until then, as who
// began it would.
func TestDeadlineOfWhoJoinedALoad(t *testing.T) {
	s := newShelf()
	v := storage.VirtualOptions{}
	w := openWorld(t, 64, &v, withTiers(&v, s), func(o *storage.Options) {
		v.Models[0].Latency = time.Second
		o.Tiers[0].Settings.PerOpWorkers = 1
	})
	s.keep(t, w.layout, "abcdefgh")
	s.item = func(op string, it *l2.Item) {
		if op == "load" && it.Key == key("b") {
			it.Err = l2.ErrNotFound
		}
	}
	first := w.prefetch("abcdefgh", storage.PrefetchOptions{Policy: storage.Sparse}) // two a second, from 1s on
	w.after(500 * time.Millisecond)
	began := w.m.Now()
	second := w.prefetch("cabg", storage.PrefetchOptions{Policy: storage.Sparse, Deadline: 3 * time.Second})
	r := w.wait(second)
	if took := w.m.Now().Sub(began); took != 3*time.Second || r.Prefix != 2 || r.Miss[2] != storage.MissL2 || r.Miss[3] != storage.MissDeadline {
		t.Errorf("after %v: %+v", took, r)
	}
	w.read(second, 2).Finish()
	second.Release()
	if r := w.wait(first); r.Found.Count() != 7 || r.Miss[1] != storage.MissL2 {
		t.Errorf("who began the load: %+v", r)
	}
	first.Release()
	w.v.Run()
	if st := w.m.Stats(); st.L1.LeasedBytes != 0 || st.L1.StagedBytes != 0 || st.Tiers[0].Pins != 0 || st.Fetches.Deadlines != 1 {
		t.Errorf("left: %d leased bytes, %d staged, %d pins; %d deadlines", st.L1.LeasedBytes, st.L1.StagedBytes, st.Tiers[0].Pins, st.Fetches.Deadlines)
	}
	for k, n := range s.loads {
		if n != 1 {
			t.Errorf("%s was loaded %d times", named([]storage.Key{k}), n)
		}
	}
}
