package storage_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/storage"
)

// busy keeps more loads waiting than a tier of two slots can take, until stop. Whole ones
// find everything.
func busy(w *world, s *shelf, whole bool) (stop func()) {
	ended := false
	for _, names := range []string{"abcd", "efgh", "ijkl", "mnop", "qrst", "uvwx"} {
		s.keep(w.t, w.layout, names)
		var again func()
		again = func() {
			if ended {
				return
			}
			p := w.prefetch(names, storage.PrefetchOptions{})
			w.v.When(p, func() {
				if r, _ := p.Status(); whole && r.Prefix != len(names) {
					w.t.Errorf("%s: %+v", names, r)
				}
				p.Release()
				again()
			})
		}
		again()
	}
	return func() { ended = true }
}

// A queue of loads that never ends does not stop stores: one call of a store begins
// for eight of loads. What loads get is the rest.
func TestStoresHaveTheirTurnUnderLoads(t *testing.T) {
	s := newShelf()
	order := ""
	s.before = func(_ context.Context, op string, _ []storage.Key) error {
		if op == "load" || op == "store" {
			order += op[:1]
		}
		return nil
	}
	w := newTierWorld(t, 64, []*shelf{s})
	stop := busy(w, s, true)
	w.after(5 * time.Millisecond)
	order = ""
	w.put("ABCDEFGHIJ") // three calls
	w.after(20 * time.Millisecond)
	if got := strings.Count(order, "s"); got != 3 || !strings.Contains(s.has(), "ABCDEFGHIJ") {
		t.Errorf("%d calls of stores; the tier has %s", got, s.has())
	}
	for i, part := range strings.Split(order, "s") {
		if i < 3 && len(part) < 8 {
			t.Errorf("%d calls of loads before the %d. of a store: %s", len(part), i+1, order)
		}
	}
	if n := strings.Count(order, "l"); n < 30 {
		t.Errorf("%d calls of loads in the time of 40", n)
	}
	order = ""
	w.after(10 * time.Millisecond)
	w.put("K") // it does not go first for what went before
	w.after(time.Millisecond)
	if strings.Contains(order, "s") {
		t.Errorf("a store went before loads that waited: %s", order)
	}
	stop()
	w.flush()
	w.v.Run()
}

// A store that waits for room in the tier holds up no load.
func TestStoreWithoutRoomHoldsUpNoLoad(t *testing.T) {
	s := newShelf()
	loads := 0
	s.before = func(_ context.Context, op string, _ []storage.Key) error {
		if op == "load" {
			loads++
		}
		if op == "delete" {
			return fmt.Errorf("%w: not now", l2.ErrIO)
		}
		return nil
	}
	w := newTierWorld(t, 64, []*shelf{s}, capped(24, nil))
	stop := busy(w, s, false)
	w.after(50 * time.Millisecond)
	loads = 0
	w.put("ABCD")
	w.after(50 * time.Millisecond)
	if loads < 90 {
		t.Errorf("%d calls of loads in the time of 100", loads)
	}
	stop()
	w.flush()
	w.v.Run()
	if st := w.m.Stats().Tiers[0]; st.UsedBytes > st.CapacityBytes || st.ReservedBytes != 0 {
		t.Errorf("%+v", st)
	}
}
