package storage_test

import (
	"testing"

	"github.com/lmcache-go/lmcache/storage"
)

// Who has heard the result of a prefetch can delete what it found from all tiers, from
// those as well that had not answered by then because an earlier one had everything.
func TestDeleteAfterLateAnswers(t *testing.T) {
	const names = "abcdef"
	live(t, 12, []*shelf{newShelf(), newShelf(), newShelf()}, func(t *testing.T, w *world) {
		for round := range 500 {
			w.put(names)
			w.flush()
			w.m.Clear(true)
			p := w.prefetch(names, storage.PrefetchOptions{})
			if r := w.wait(p); r.Prefix != len(names) {
				t.Fatalf("round %d: %+v", round, r)
			}
			p.Release()
			results, err := w.m.DeleteL2(t.Context(), keys(names), storage.AllTiers)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range results {
				if r.Deleted != len(names) || r.Skipped != 0 || r.Err != nil {
					t.Fatalf("round %d: %+v", round, r)
				}
			}
			w.m.Delete(keys(names), true)
		}
	})
}
