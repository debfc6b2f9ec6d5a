package storage_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lmcache-go/lmcache/storage"
)

// A release that was recorded in parts happens with the last one, in the order in which
// one call gives all of it back.
func TestOwnersReleaseInParts(t *testing.T) {
	w := newWorld(t, 4)
	w.put("abcd")
	o := w.m.NewOwner()
	if _, err := o.SubmitPrefetch(t.Context(), keys("abcd"), w.layout, storage.PrefetchOptions{Readers: 3}); err != nil {
		t.Fatal(err)
	}
	if bad := o.FinishRead(keys("ac"), 1, storage.Unclaimed); bad != nil {
		t.Errorf("%v failed", bad)
	}
	rec := w.record()
	if bad := o.FinishReadPart(keys("bd"), 3); bad != nil || o.Idle() {
		t.Errorf("%v failed, idle %v", bad, o.Idle())
	}
	w.recorded(rec)
	if n := w.m.Clear(false); n != 0 {
		t.Errorf("%d objects could be cleared: a part was released before the rest", n)
	}
	rec.lines = nil
	if bad := o.FinishRead(keys("ac"), 2, storage.Unclaimed); bad != nil || !o.Idle() {
		t.Errorf("%v failed, idle %v", bad, o.Idle())
	}
	w.bus.Drain(w.v.Now())
	var order string
	for _, l := range rec.lines {
		if _, call, ok := strings.Cut(l, "finish_read_prefetched "); ok {
			order += call[:1]
		}
	}
	if order != "dcba" {
		t.Errorf("released in order %s, want dcba:\n%s", order, strings.Join(rec.lines, "\n"))
	}
	if n := w.m.Clear(false); n != 4 {
		t.Errorf("%d objects could be cleared, want 4", n)
	}
	o.Close()
}

// A part of the preferred scope is not taken from one that has these keys alone.
func TestOwnersPreferAPartOfAScope(t *testing.T) {
	w := newWorld(t, 4)
	w.put("ab")
	o := w.m.NewOwner()
	defer o.Close()
	if _, err := o.SubmitPrefetch(t.Context(), keys("ab"), w.layout, storage.PrefetchOptions{Readers: 2}); err != nil {
		t.Fatal(err)
	}
	small, err := o.Enter(t.Context(), keys("a"))
	if err != nil {
		t.Fatal(err)
	}
	large, err := o.Enter(t.Context(), keys("ab"))
	if err != nil {
		t.Fatal(err)
	}
	o.Prefer(large)
	if bad := o.FinishRead(keys("a"), 1, storage.Claimed); bad != nil || small[0].Keys() == nil || large[0].Keys() == nil {
		t.Errorf("%v failed; left %v and %v", bad, small[0].Keys(), large[0].Keys())
	}
	if bad := o.FinishRead(keys("b"), 1, storage.Claimed); bad != nil || small[0].Keys() == nil || large[0].Keys() != nil {
		t.Errorf("%v failed; left %v and %v", bad, small[0].Keys(), large[0].Keys())
	}
}

// Of two scopes over the same keys the one is ended that is preferred.
func TestOwnersPreferAScope(t *testing.T) {
	for prefer := range 2 {
		for _, abort := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d %v", prefer, abort), func(t *testing.T) {
				w := newWorld(t, 4)
				w.put("ab")
				o := w.m.NewOwner()
				defer o.Close()
				if _, err := o.SubmitPrefetch(t.Context(), keys("ab"), w.layout, storage.PrefetchOptions{Readers: 2}); err != nil {
					t.Fatal(err)
				}
				var scopes [2][]storage.ReadLease
				for i := range scopes {
					var err error
					if scopes[i], err = o.Enter(t.Context(), keys("ab")); err != nil {
						t.Fatal(err)
					}
				}
				o.Prefer(scopes[prefer])
				if abort {
					o.AbortRead(keys("ab"))
				} else {
					o.FinishRead(keys("ab"), 1, storage.Claimed)
				}
				if got := scopes[prefer][0].Keys(); got != nil {
					t.Errorf("the preferred one still has %v", got)
				}
				if diff := cmp.Diff(keys("ab"), scopes[1-prefer][0].Keys()); diff != "" {
					t.Errorf("the other one (-want +got):\n%s", diff)
				}
			})
		}
	}
}
