package tier

import (
	"errors"
	"testing"
	"time"

	"github.com/lmcache-go/lmcache/internal/leak"
	"github.com/lmcache-go/lmcache/l2"
)

// A lookup that nobody waits for any more holds no pins, wherever its answer is: whoever
// has got what he asked for from another tier may delete it from this one.
func TestDroppedLookup(t *testing.T) {
	leak.Check(t)
	tier, layout := opened(t)
	keys := keep(tier, layout)
	ask := func(t *testing.T, answered func(*Lookup)) Answer {
		t.Helper()
		done := make(chan Answer, 1)
		var l *Lookup
		l = NewLookup(keys, layout, time.Time{}, func(a Answer) {
			answered(l)
			done <- a
		})
		tier.Ask(l)
		return <-done
	}
	check := func(t *testing.T, a Answer, want int) {
		t.Helper()
		if a.Err != nil || len(a.Found) != len(keys) || !a.Found[0] {
			t.Errorf("it says %+v", a)
		}
		if n := tier.Stats().Pins; n != want {
			t.Errorf("%d objects are pinned, want %d", n, want)
		}
	}
	t.Run("wanted", func(t *testing.T) {
		a := ask(t, func(*Lookup) {})
		check(t, a, len(keys))
		a.Pins.Release()
		check(t, a, 0)
	})
	t.Run("before it is asked", func(t *testing.T) {
		l := NewLookup(keys, layout, time.Time{}, func(a Answer) { t.Errorf("it says %+v", a) })
		tier.Drop(l)
		tier.Ask(l)
		if n, pins := asked(tier), tier.Stats().Pins; n != 0 || pins != 0 {
			t.Errorf("%d lookups, %d pins", n, pins)
		}
	})
	t.Run("while the answer is told", func(t *testing.T) {
		a := ask(t, func(l *Lookup) {
			if n := tier.Stats().Pins; n != len(keys) {
				t.Errorf("%d objects are pinned, want %d", n, len(keys))
			}
			tier.Drop(l)
		})
		check(t, a, 0)
		a.Pins.Release()
	})
	t.Run("then it can be deleted", func(t *testing.T) {
		ask(t, func(l *Lookup) { tier.Drop(l) })
		for i, n := range erase(t, tier, keys) {
			if n <= 0 {
				t.Errorf("of object %d: %d bytes", i, n)
			}
		}
		if st := tier.Stats(); st.Objects != 0 {
			t.Errorf("%d objects are left", st.Objects)
		}
	})
}

// The store is not asked what nobody waits for any more: those who did hear that their
// time is over, and nothing is said of the store.
func TestLookupPastItsDeadline(t *testing.T) {
	leak.Check(t)
	tier, layout := opened(t)
	keys := keep(tier, layout)
	var got []Answer
	l := NewLookup(keys, layout, tier.rt.Now(), func(a Answer) { got = append(got, a) })
	tier.Ask(l) // it is answered by then
	if len(got) != 1 || !errors.Is(got[0].Err, l2.ErrTimeout) || got[0].Found != nil {
		t.Errorf("it says %+v", got)
	}
	if n, st := asked(tier), tier.Stats(); n != 0 || len(st.Failures) != 0 || !st.LastFailure.IsZero() {
		t.Errorf("%d lookups, failures %v, the last at %v", n, st.Failures, st.LastFailure)
	}
}

// asked is how many lookups are under way or wait.
func asked(t *Tier) int {
	t.lock()
	defer t.unlock()
	return t.mu.asking + len(t.mu.lookups)
}
