package storage_test

import (
	"context"
	"testing"
	"time"

	"github.com/lmcache-go/lmcache/storage"
)

// REQ-S52: a store that was given up and writes all the same is counted. What is above the
// capacity then makes room.
func TestREQ_S52_StoreThatWasGivenUp(t *testing.T) {
	for _, tt := range []struct {
		name     string
		capacity int64
		want     string // is there in the end
	}{
		{"there is room", 4, "ab"},
		{"there is none", 1, "a"}, // the one that came last
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newShelf()
			var hold chan struct{} // of the bubble
			s.before = func(_ context.Context, op string, list []storage.Key) error {
				if op == "store" && named(list) == "a" {
					<-hold
				}
				return nil
			}
			live(t, 64, []*shelf{s}, func(t *testing.T, w *world) {
				hold = make(chan struct{})
				w.put("a")
				w.flush() // it is given up
				w.put("b")
				w.flush()
				if st := w.m.Stats().Tiers[0]; st.Objects != 1 || s.has() != "b" {
					t.Errorf("%d objects before it returns, stored is %q", st.Objects, s.has())
				}
				close(hold)
				pass(time.Second)
				st := w.m.Stats().Tiers[0]
				if n := int64(len(tt.want)); s.has() != tt.want || st.Objects != n || st.UsedBytes != n*storedBytes() || st.InflightCalls != 0 {
					t.Errorf("stored is %q; %d objects of %d bytes are known, %d calls under way", s.has(), st.Objects, st.UsedBytes, st.InflightCalls)
				}
				p := w.prefetch(tt.want, storage.PrefetchOptions{})
				if r := w.wait(p); r.Prefix != len(tt.want) {
					t.Errorf("got %+v", r)
				}
				p.Release()
				for i, r := range erased(t, w, tt.want) {
					if r.Deleted != len(tt.want) || r.Err != nil {
						t.Errorf("tier %d: %+v", i, r)
					}
				}
				if st := w.m.Stats().Tiers[0]; st.Objects != 0 || st.UsedBytes != 0 || s.has() != "" {
					t.Errorf("%d objects of %d bytes are left, %q", st.Objects, st.UsedBytes, s.has())
				}
			}, capped(tt.capacity, nil), func(o *storage.Options) {
				o.Tiers[0].Settings.Timeouts.Store = time.Second
				o.Tiers[0].Settings.Retry.Attempts = 1
			})
		})
	}
}

// erased deletes from the outer tiers.
func erased(t *testing.T, w *world, names string) []storage.TierResult {
	t.Helper()
	results, err := w.m.DeleteL2(t.Context(), keys(names), storage.AllTiers)
	if err != nil {
		t.Error(err)
	}
	return results
}
