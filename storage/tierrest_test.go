package storage_test

import (
	"bytes"
	"context"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/storage"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// glued is a shelf that does not delete what it holds, as a file system that has become
// read-only. It says so with err, or for each key if that is nil.
type glued struct {
	*shelf
	holds func(kv.Key) bool
	err   error
	limit int64 // of the store itself; negative: none

	w     *world
	since time.Time
	asked []time.Duration // when it was asked to delete what it holds
}

func (g *glued) Limit(int64) int64 { return g.limit }

func (g *glued) Delete(ctx context.Context, list []kv.Key, freed []int64) error {
	if slices.ContainsFunc(list, g.holds) {
		at := g.w.m.Now().Sub(g.since).Round(time.Second)
		g.mu.Lock()
		g.asked = append(g.asked, at)
		g.mu.Unlock()
		if g.err != nil {
			return g.err
		}
	}
	for i, k := range list {
		if g.holds(k) {
			freed[i] = -1
		} else if err := g.shelf.Delete(ctx, list[i:i+1], freed[i:i+1]); err != nil {
			return err
		}
	}
	return nil
}

// tries is how often it was asked to delete what it holds.
func (g *glued) tries() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.asked)
}

// openGlued is a world with one such shelf, and its log.
func openGlued(t *testing.T, g *glued, capacity int64, e *l2.Eviction) (*world, *bytes.Buffer) {
	t.Helper()
	g.shelf, g.limit = newShelf(), -1
	v, log := storage.VirtualOptions{}, &bytes.Buffer{}
	g.w = openWorld(t, 128, &v, withTiers(&v, g.shelf), capped(capacity, e), func(o *storage.Options) {
		o.Tiers[0].Adapter = g
		o.Logger = slog.New(slog.NewTextHandler(log, nil))
	})
	g.since = g.w.m.Now()
	return g.w, log
}

// ofTenant is keys of a salt.
func ofTenant(salt, names string) []kv.Key {
	list := keys(names)
	for i := range list {
		list[i].Salt = salt
	}
	return list
}

// Background eviction whose deletions remove nothing pauses longer and longer, shows in
// the health and is said once. It goes on when the store deletes again.
func TestEvictionThatRemovesNothingPauses(t *testing.T) {
	lru := &l2.Eviction{Policy: l2.PolicyLRU, Watermark: 0.5, Ratio: 0.2}
	quota := &l2.Eviction{Policy: l2.PolicyIsolatedLRU, Watermark: 0.5, Ratio: 0.2}
	for _, tt := range []struct {
		name    string
		err     error
		e       *l2.Eviction
		lowered bool // the store has less room than it holds
		left    int64
	}{
		{"watermark, keys stay", nil, lru, false, 4},
		{"watermark, error", l2.ErrIO, lru, false, 4},
		{"bound, keys stay", nil, nil, true, 3},
		{"bound, error", l2.ErrIO, lru, true, 1},
		{"quota, keys stay", nil, quota, false, 0},
		{"quota, error", l2.ErrIO, quota, false, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			stuck := true
			g := &glued{err: tt.err, holds: func(kv.Key) bool { return stuck }}
			w, log := openGlued(t, g, 10, tt.e)
			if tt.lowered {
				g.limit = 3 * storedBytes()
			}
			w.putKeys(ofTenant("t", "abcdef"))
			w.flush()
			w.after(2 * time.Minute)
			want := []time.Duration{0, 1, 3, 7, 15, 31, 61, 91}
			for i := range want {
				want[i] *= time.Second
			}
			if diff := cmp.Diff(want, g.asked); diff != "" {
				t.Errorf("deletions (-want +got):\n%s", diff)
			}
			st := w.m.Stats().Tiers[0]
			if st.Healthy || st.FailuresByReason["io"] < int64(len(want)) {
				t.Errorf("healthy is %v, failures %v", st.Healthy, st.FailuresByReason)
			}
			if n := strings.Count(log.String(), `level=WARN msg="a tier of the cache cannot delete what it evicts`); n != 1 || !strings.Contains(log.String(), "reason=io") {
				t.Errorf("%d warnings:\n%s", n, log)
			}
			stuck = false
			w.after(31 * time.Second)
			if st := w.m.Stats().Tiers[0]; st.Objects != tt.left {
				t.Errorf("%d objects are left after the store has come to itself, want %d", st.Objects, tt.left)
			}
		})
	}
}

// A tenant whose objects cannot be deleted holds up no other tenant.
func TestEvictionOfATenantThatIsStuckStopsNoOther(t *testing.T) {
	g := &glued{holds: func(k kv.Key) bool { return k.Salt == "stuck" }}
	w, _ := openGlued(t, g, 100, &l2.Eviction{Policy: l2.PolicyIsolatedLRU, Watermark: 0.5, Ratio: 0.2})
	w.putKeys(ofTenant("stuck", "abc"))
	w.flush()
	for i, n := range "defgh" {
		w.putKeys(ofTenant("other", string(n)))
		w.flush()
		w.after(100 * time.Millisecond)
		if st := w.m.Stats().Tiers[0]; st.BytesBySalt["other"] != 0 || st.Evicted != int64(i+1) {
			t.Errorf("%d objects evicted, of the other tenant %d bytes are left", st.Evicted, st.BytesBySalt["other"])
		}
	}
	if diff := cmp.Diff([]time.Duration{0}, g.asked); diff != "" {
		t.Errorf("deletions for the tenant that is stuck (-want +got):\n%s", diff)
	}
}

// What can be deleted has its turn although older objects cannot, and a removal ends the
// pause.
func TestEvictionTriesOthersAfterAPause(t *testing.T) {
	g := &glued{holds: func(k kv.Key) bool { return named([]kv.Key{k}) <= "b" }}
	w, _ := openGlued(t, g, 16, &l2.Eviction{Policy: l2.PolicyLRU, Watermark: 0.5, Ratio: 0.25})
	for _, n := range "abcdefgh" {
		w.put(string(n))
		w.flush()
	}
	w.after(500 * time.Millisecond)
	if g.has() != "abcdefgh" {
		t.Fatalf("it has %s before the pause is over", g.has())
	}
	w.after(time.Second)
	if g.has() != "abefgh" {
		t.Errorf("it has %s after it", g.has())
	}
	w.put("ij") // at the watermark again: without a pause, for the last one has ended
	w.flush()
	w.after(100 * time.Millisecond)
	if g.has() != "abghij" {
		t.Errorf("it has %s in the end", g.has())
	}
}

// A pause ends with the tier.
func TestCloseInAPauseOfEviction(t *testing.T) {
	for _, policy := range []string{l2.PolicyLRU, l2.PolicyIsolatedLRU} {
		g := &glued{shelf: newShelf(), holds: func(kv.Key) bool { return true }, limit: -1}
		live(t, 64, []*shelf{g.shelf}, func(t *testing.T, w *world) {
			g.w, g.since = w, w.m.Now()
			w.putKeys(ofTenant("t", "abcdef"))
			w.flush()
			pass(1500 * time.Millisecond)
			if n := g.tries(); n != 2 {
				t.Errorf("asked %d times", n)
			}
		}, capped(10, &l2.Eviction{Policy: policy, Watermark: 0.5, Ratio: 0.2}), func(o *storage.Options) { o.Tiers[0].Adapter = g })
		if n := g.tries(); n != 2 {
			t.Errorf("asked %d times, although it is closed", n)
		}
	}
}
