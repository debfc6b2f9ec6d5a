package storage_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/storage"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// A store of a key that is being deleted waits for that alone, and those behind it do not
// wait: not for a long deletion, and not for one that fails.
func TestStoreOfADeletedKeyHoldsUpNoOther(t *testing.T) {
	for _, stays := range []bool{false, true} {
		g := &glued{shelf: newShelf(), holds: func(kv.Key) bool { return stays }, limit: -1}
		v := storage.VirtualOptions{}
		w := openWorld(t, 4096, &v, withTiers(&v, g.shelf), func(o *storage.Options) { o.Tiers[0].Adapter = g })
		g.w, g.since = w, w.m.Now()
		var list []kv.Key
		for i := range 2047 {
			list = append(list, key(fmt.Sprintf("k%d", i)))
		}
		list = append(list, key("x"))
		w.putKeys(list)
		w.flush()
		w.m.Clear(true)
		v.Models[0].Latency = time.Second
		var deleted []storage.TierResult
		if err := w.m.StartDeleteL2(list, 0, func(r []storage.TierResult) { deleted = r }); err != nil {
			t.Fatal(err)
		}
		w.put("x")
		w.put("abcd")
		w.after(2500 * time.Millisecond)
		if has := g.stores(); !strings.HasSuffix(has, "abcd") || deleted != nil {
			t.Errorf("after 2.5 s not everything is stored, the deletion has ended with %v", deleted)
		}
		w.after(10 * time.Second)
		w.flush()
		_, there := g.objects[key("x")]
		again := strings.HasSuffix(g.stores(), "x")
		if deleted == nil || !there || again == stays {
			t.Errorf("stays %v: the deletion ended with %v; the object is there: %v, and was stored again: %v", stays, deleted, there, again)
		}
		if st := w.m.Stats(); int(st.Tiers[0].Objects) != len(g.objects) || st.Tiers[0].QueuedStores != 0 || st.Stores.Dropped != 0 {
			t.Errorf("stays %v: %d objects, there are %d; %d wait, %d are dropped", stays, st.Tiers[0].Objects, len(g.objects), st.Tiers[0].QueuedStores, st.Stores.Dropped)
		}
	}
}

// Stores that wait for a deletion have their outcome when the tier closes, and when its
// breaker opens.
func TestStoresOfDeletedKeysEndWithTheTier(t *testing.T) {
	for _, ending := range []string{"close", "breaker"} {
		s := newShelf()
		s.before = func(ctx context.Context, op string, _ []kv.Key) error {
			switch {
			case op == "delete":
				<-ctx.Done()
				return ctx.Err()
			case op == "lookup" && ending == "breaker":
				return l2.ErrTimeout
			}
			return nil
		}
		live(t, 64, []*shelf{s}, func(t *testing.T, w *world) {
			w.put("ab")
			w.flush()
			stored := s.count("store")
			w.m.Clear(true)
			if err := w.m.StartDeleteL2(keys("ab"), 0, func([]storage.TierResult) {}); err != nil {
				t.Error(err)
			}
			pass(time.Millisecond)
			w.put("ba")
			pass(time.Millisecond)
			if n := w.m.Stats().Tiers[0].InflightCalls; n != 1 || s.count("store") != stored {
				t.Errorf("%d calls, %d stores", n, s.count("store"))
			}
			if ending == "breaker" {
				for _, n := range "xyz" {
					w.prefetch(string(n), storage.PrefetchOptions{}).Release()
				}
				pass(time.Millisecond)
				if st := w.m.Stats().Tiers[0]; st.Breaker == "closed" {
					t.Errorf("the breaker is %s", st.Breaker)
				}
			}
		}, func(o *storage.Options) { o.DrainTimeout = time.Second })
	}
}
