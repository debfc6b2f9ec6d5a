package export_test

import (
	"context"
	"testing"
	"time"

	"github.com/lmcache-go/lmcache/eventbus"
	"github.com/lmcache-go/lmcache/internal/leak"
	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/l2/mem"
	"github.com/lmcache-go/lmcache/observe"
	"github.com/lmcache-go/lmcache/storage"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// emptyEvictions counts removals of nothing.
type emptyEvictions struct{ events, empty int }

func (*emptyEvictions) Name() string { return "emptyEvictions" }

func (c *emptyEvictions) Subscribe(s *eventbus.Subscription) {
	eventbus.On(s, func(e l1.KeysEvicted, _ time.Time) {
		if c.events++; len(e.Keys) == 0 {
			c.empty++
		}
	})
}

// REQ-O11: in a run of real managers whose objects leave L1 when an outer tier has
// them, come back for one reader, and are cleared and deleted, there is no eviction; the
// removals have their causes, and none is of nothing.
func TestREQ_O11_RemovalsAreNoEvictions(t *testing.T) {
	leak.Check(t)
	r := newRig(t, eventbus.Options{}, observe.Options{}, observe.Sources{})
	var empty emptyEvictions
	if _, err := r.bus.Subscribe(&empty); err != nil {
		t.Fatal(err)
	}
	layout, err := kv.RawLayout(4096)
	if err != nil {
		t.Fatal(err)
	}
	manager := func(o storage.Options) *storage.Manager {
		o.L1, o.Bus = l1.Options{Bytes: 16 * 4096}, r.bus
		m, err := storage.Open(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := m.Close(context.WithoutCancel(t.Context())); err != nil {
				t.Error(err)
			}
		})
		return m
	}
	store := func(m *storage.Manager, ks []kv.Key) {
		w, err := m.ReserveWrite(t.Context(), ks, layout, storage.New, storage.WriteOptions{})
		if err != nil {
			t.Fatal(err)
		}
		w.Finish()
	}
	tier, err := mem.Open(mem.Options{Capacity: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	skip := manager(storage.Options{
		Tiers: []storage.Tier{{Name: "mem", Adapter: tier}}, Store: storage.StoreOptions{Policy: storage.StoreSkipL1()},
	})
	store(skip, someKeys(5))
	if err := skip.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	p, err := skip.SubmitPrefetch(t.Context(), someKeys(3), layout, storage.PrefetchOptions{}) // for one reader
	if err != nil {
		t.Fatal(err)
	}
	got, err := p.Wait(t.Context())
	if err != nil || got.Prefix != 3 {
		t.Fatalf("%+v, %v", got, err)
	}
	lease, err := p.Read(t.Context(), storage.Select{Hi: 3})
	if err != nil {
		t.Fatal(err)
	}
	lease.Finish()
	p.Release()

	plain := manager(storage.Options{})
	store(plain, someKeys(7))
	plain.Delete(someKeys(1), false)
	plain.Clear(false)
	plain.Clear(false) // nothing is left
	plain.Delete(someKeys(1), false)

	r.flush(t)
	series := series(r.scrape(t))
	for name, want := range map[string]float64{
		"lmcache_mp_l1_evicted_keys_total":                           0,
		`lmcache_mp_l1_removed_keys_total{cause="evict"}`:            0,
		`lmcache_mp_l1_removed_keys_total{cause="policy_delete"}`:    5,
		`lmcache_mp_l1_removed_keys_total{cause="temp_release"}`:     3,
		`lmcache_mp_l1_removed_keys_total{cause="delete"}`:           1,
		`lmcache_mp_l1_removed_keys_total{cause="clear"}`:            6,
		`lmcache_mp_l2_store_succeeded_keys_total`:                   5,
		`lmcache_mp_l2_prefetch_loaded_keys_total`:                   3,
		`lmcache_mp_event_bus_dropped_events_total`:                  0,
		`lmcache_mp_l1_removed_keys_total{cause="prefetch_cleanup"}`: 0,
	} {
		if v, ok := series[name]; !ok || v != want {
			t.Errorf("%s = %v (there: %v), want %v", name, v, ok, want)
		}
	}
	if empty.empty > 0 || empty.events < 4 {
		t.Errorf("%d of %d removals are of nothing", empty.empty, empty.events)
	}
}
