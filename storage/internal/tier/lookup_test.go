package tier

import (
	"testing"
	"time"

	"github.com/lmcache-go/lmcache/internal/leak"
)

// A lookup that nobody waits for any more holds no pins, wherever its answer is: whoever
// has got what he asked for from another tier may delete it from this one.
func TestDroppedLookup(t *testing.T) {
	leak.Check(t)
	tier, layout := opened(t)
	keys := keep(tier, layout)
	ask := func(t *testing.T, before bool, answered func(*Lookup)) Answer {
		t.Helper()
		done := make(chan Answer, 1)
		var l *Lookup
		l = NewLookup(keys, layout, time.Time{}, func(a Answer) {
			answered(l)
			done <- a
		})
		if before {
			tier.Drop(l)
		}
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
		a := ask(t, false, func(*Lookup) {})
		check(t, a, len(keys))
		a.Pins.Release()
		check(t, a, 0)
	})
	t.Run("before it is asked", func(t *testing.T) {
		a := ask(t, true, func(*Lookup) {})
		check(t, a, 0)
		a.Pins.Release()
	})
	t.Run("while the answer is told", func(t *testing.T) {
		a := ask(t, false, func(l *Lookup) {
			if n := tier.Stats().Pins; n != len(keys) {
				t.Errorf("%d objects are pinned, want %d", n, len(keys))
			}
			tier.Drop(l)
		})
		check(t, a, 0)
		a.Pins.Release()
	})
	t.Run("then it can be deleted", func(t *testing.T) {
		ask(t, false, func(l *Lookup) { tier.Drop(l) })
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
