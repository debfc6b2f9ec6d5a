package storage_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/storage"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// peek is what Peek says of keys named by one letter each.
func (w *world) peek(names string) string {
	w.t.Helper()
	seen, err := w.m.Peek(w.t.Context(), keys(names), w.layout)
	if err != nil {
		w.t.Fatal(err)
	}
	var s strings.Builder
	for i, o := range seen {
		fmt.Fprintf(&s, " %c:%s", names[i], o.Place)
		if o.Miss != storage.MissNone {
			s.WriteString("/" + o.Miss.String())
		}
	}
	return strings.TrimPrefix(s.String(), " ")
}

func (w *world) peeks(names, want string) {
	w.t.Helper()
	if got := w.peek(names); got != want {
		w.t.Errorf("got  %s\nwant %s", got, want)
	}
}

// without waits until everything is stored, and takes objects out of L1.
func (w *world) without(names string) {
	w.t.Helper()
	w.flush()
	w.m.Delete(keys(names), true)
}

// Without outer tiers, L1 tells why it lacks an object.
func TestPeekL1(t *testing.T) {
	w := newWorld(t, 4)
	w.put("ab")
	w.m.Delete(keys("b"), false)
	l := w.reserve("s", storage.New)
	other := rawLayout(t, objectBytes/2)
	o, err := w.m.ReserveWrite(t.Context(), keys("o"), other, storage.New, storage.WriteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	o.Finish()
	w.peeks("absxoa", "a:l1 b:none/evicted s:none/staged x:none/absent o:none/layout_mismatch a:l1")
	l.Abort()
	w.peeks("s", "s:none/absent")
}

// Of what L1 lacks, the tiers say whether they have it, or why nobody can tell; one that
// has it outdoes those that cannot tell.
func TestPeekTiers(t *testing.T) {
	a, b := newShelf(), newShelf()
	w := newTierWorld(t, 8, []*shelf{a, b})
	w.put("ab")
	w.without("b")
	a.keep(t, w.layout, "c")
	b.keep(t, w.layout, "dg")
	a.keep(t, rawLayout(t, objectBytes/2), "og")
	l := w.reserve("cs", storage.New)
	w.peeks("abcdogsx", "a:l1 b:l2 c:l2 d:l2 o:none/layout_mismatch g:l2 s:none/staged x:none/l2_miss")
	l.Abort()
	for _, c := range []struct {
		err  error
		want string
	}{
		{fmt.Errorf("%w: no route", l2.ErrIO), "b:l2 c:none/l2_io_error d:l2"},
		{l2.ErrTimeout, "b:l2 c:none/l2_timeout d:l2"},
		{nil, "b:l2 c:l2 d:l2"},
	} {
		a.before = func(context.Context, string, []kv.Key) error { return c.err }
		w.peeks("bcd", c.want)
	}
	if err := w.m.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := w.m.Peek(t.Context(), keys("a"), w.layout); !errors.Is(err, storage.ErrClosed) {
		t.Errorf("a closed manager: %v", err)
	}
}

// A tier whose breaker is open is not asked, and says so; looks neither open nor close a
// breaker.
func TestPeekBreaker(t *testing.T) {
	s := newShelf()
	w := newTierWorld(t, 8, []*shelf{s})
	s.keep(t, w.layout, "a")
	s.before = func(context.Context, string, []kv.Key) error { return fmt.Errorf("%w: %w", l2.ErrIO, l2.ErrConnection) }
	for range 10 {
		w.peeks("a", "a:none/l2_io_error")
	}
	if st := w.m.Stats().Tiers[0]; st.Breaker != storage.BreakerClosed || len(st.FailuresByReason) > 0 {
		t.Fatalf("after looks: %s, %v", st.Breaker, st.FailuresByReason)
	}
	for w.m.Stats().Tiers[0].Breaker == storage.BreakerClosed {
		p := w.prefetch("a", storage.PrefetchOptions{})
		w.wait(p)
		p.Release()
	}
	asked := s.count("lookup")
	w.peeks("a", "a:none/adapter_open")
	if n := s.count("lookup"); n != asked {
		t.Errorf("it was asked %d times", n-asked)
	}
}

// A prefetch policy that asks some tiers only is followed.
func TestPeekFollowsPolicy(t *testing.T) {
	a, b := newShelf(), newShelf()
	w := newTierWorld(t, 8, []*shelf{a, b}, func(o *storage.Options) { o.Prefetch.Policy = onlyFirst{storage.PrefetchDefault()} })
	a.keep(t, w.layout, "a")
	b.keep(t, w.layout, "b")
	w.peeks("ab", "a:l2 b:none/l2_miss")
	if n := b.count("lookup"); n != 0 {
		t.Errorf("the second tier was asked %d times", n)
	}
}

type onlyFirst struct{ storage.PrefetchPolicy }

func (onlyFirst) Ask(kv.Key, int) uint64 { return 1 }

// A look leaves everything as it was: the state of L1 and of the tiers, the order of
// eviction in both, what is remembered of keys, and the events.
func TestPeekIsPure(t *testing.T) {
	s := newShelf()
	w := newTierWorld(t, 2, []*shelf{s}, func(o *storage.Options) { o.Tiers[0].Settings.Capacity = 3 * (objectBytes + 256) })
	w.put("a")
	w.flush()
	w.put("b")
	w.flush()
	s.keep(t, w.layout, "z") // the tier does not know of it
	w.events()
	before := w.m.Stats()
	for range 100 {
		w.peeks("axzya", "a:l1 x:none/l2_miss z:l2 y:none/l2_miss a:l1")
	}
	if diff := cmp.Diff(before, w.m.Stats()); diff != "" {
		t.Errorf("stats (-before +after):\n%s", diff)
	}
	w.expect()
	w.put("c") // L1 is full
	w.flush()
	w.peeks("abc", "a:l2 b:l1 c:l1")
	if got := s.has(); got != "abcz" {
		t.Errorf("the tier has %s", got)
	}
	w.put("d") // and now the tier is, of what it knows
	w.flush()
	if got := s.has(); got != "bcdz" {
		t.Errorf("the tier has %s", got)
	}
}

// A tier that does not answer is waited for until its lookup timeout, or as long as the
// caller's context allows; what it holds on to is bounded.
func TestPeekWaits(t *testing.T) {
	s := newShelf()
	live(t, 8, []*shelf{s}, func(t *testing.T, w *world) {
		deaf := make(chan struct{})
		s.before = func(_ context.Context, op string, _ []kv.Key) error {
			if op == "lookup" {
				<-deaf
			}
			return nil
		}
		w.put("a")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := w.m.Peek(ctx, keys("ax"), w.layout); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("with a context of a second: %v", err)
		}
		for range 100 {
			w.peeks("ax", "a:l1 x:none/l2_timeout")
		}
		if n := s.count("lookup"); n != 64 {
			t.Errorf("%d calls wait", n)
		}
		if st := w.m.Stats().Tiers[0]; st.Breaker != storage.BreakerClosed {
			t.Errorf("the breaker is %s", st.Breaker)
		}
		close(deaf)
		synctest.Wait()
		w.peeks("ax", "a:l1 x:none/l2_miss")
	})
}

// Bad arguments are named.
func TestPeekChecks(t *testing.T) {
	w := newWorld(t, 2)
	for want, f := range map[string]func() error{
		"keys: none given": func() error { _, err := w.m.Peek(t.Context(), nil, w.layout); return err },
		"layout: not set":  func() error { _, err := w.m.Peek(t.Context(), keys("a"), kv.Layout{}); return err },
		"keys[0]: ":        func() error { _, err := w.m.Peek(t.Context(), make([]kv.Key, 1), w.layout); return err },
		"larger than":      func() error { _, err := w.m.Peek(t.Context(), keys("a"), rawLayout(t, 1<<20)); return err },
	} {
		if err := f(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}
