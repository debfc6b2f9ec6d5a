package mem_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lmcache-go/lmcache/internal/leak"
	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/l2/l2test"
	"github.com/lmcache-go/lmcache/l2/mem"
	"github.com/lmcache-go/lmcache/storage/kv"
)

func open(tb testing.TB, o mem.Options) *mem.Adapter {
	tb.Helper()
	if o.Capacity == 0 {
		o.Capacity = 1 << 30
	}
	a, err := mem.Open(o)
	if err != nil {
		tb.Fatal(err)
	}
	return a
}

func opener(o mem.Options) l2test.Opener {
	return func(tb testing.TB) l2.Adapter { return open(tb, o) }
}

// persistent opens adapters on one store, one after the other.
func persistent(o mem.Options) l2test.Option {
	return l2test.Persistent(func(testing.TB) l2test.Opener {
		o := o
		o.Store = &mem.Store{}
		return opener(o)
	})
}

func TestContract(t *testing.T) {
	for name, o := range map[string]mem.Options{
		"V1":     {},
		"Raw":    {Format: l2.Format{Raw: true}},
		"CRC":    {Format: l2.Format{Checksum: l2.CRC32C, HeadAlign: 512, PadAlign: 1}},
		"Slowed": {Bandwidth: 8 << 30, Latency: time.Microsecond},
	} {
		t.Run(name, func(t *testing.T) { l2test.Run(t, opener(o), persistent(o)) })
	}
}

// A million calls leave nothing behind.
func TestREQ_S62_NothingGrows(t *testing.T) {
	if testing.Short() {
		t.Skip("a million calls")
	}
	l2test.RunGrowth(t, opener(mem.Options{}), 1_000_000)
}

func BenchmarkAdapter(b *testing.B) { l2test.Benchmark(b, opener(mem.Options{})) }

func TestValidate(t *testing.T) {
	_, err := mem.Open(mem.Options{Bandwidth: -1, Latency: -1})
	for _, name := range []string{"Capacity", "Bandwidth", "Latency"} {
		if err == nil || !strings.Contains(err.Error(), name+": ") {
			t.Errorf("%s is not reported: %v", name, err)
		}
	}
}

func item(i byte, n int) l2.Item {
	return l2.Item{Key: kv.Key{Hash: kv.Hash32([32]byte{i}), Model: "m"}, Data: make([]byte, n)}
}

var raw = l2.Format{Raw: true}

// What does not fit is refused, each for its reason, and takes nothing.
func TestCapacity(t *testing.T) {
	var store mem.Store
	a := open(t, mem.Options{Capacity: 1000, Format: raw, Store: &store})
	items := []l2.Item{item(1, 1001), item(2, 600), item(3, 600), item(4, 400)}
	if err := a.Store(t.Context(), items); err != nil {
		t.Fatal(err)
	}
	for i, want := range []error{l2.ErrTooLarge, nil, l2.ErrNoSpace, nil} {
		if !errors.Is(items[i].Err, want) {
			t.Errorf("item %d: %v, want %v", i, items[i].Err, want)
		}
	}
	if store.Held() != 1000 || store.Len() != 2 {
		t.Errorf("%d bytes in %d objects", store.Held(), store.Len())
	}
	freed := make([]int64, 1)
	if err := a.Delete(t.Context(), []kv.Key{items[1].Key}, freed); err != nil || freed[0] != 600 {
		t.Errorf("freed %d, %v", freed[0], err)
	}
	if err := a.Store(t.Context(), items[2:3]); err != nil || items[2].Err != nil {
		t.Errorf("there is room: %v, %v", err, items[2].Err)
	}
}

// A load at 1 MB/s takes a second per megabyte, and two at once take two; the
// latency comes on top of each call and is not shared.
func TestBandwidthIsShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := open(t, mem.Options{Bandwidth: 1_000_000, Latency: 100 * time.Millisecond, Format: raw})
		start := time.Now()
		took := func(what string, want time.Duration) {
			t.Helper()
			if d := time.Since(start); d != want {
				t.Errorf("%s: %v, want %v", what, d, want)
			}
			start = time.Now()
		}
		items := []l2.Item{item(1, 1_000_000), item(2, 500_000)}
		if err := a.Store(t.Context(), items); err != nil {
			t.Fatal(err)
		}
		took("a store of 1.5 MB", 1600*time.Millisecond)
		if err := a.Store(t.Context(), items); err != nil {
			t.Fatal(err)
		}
		took("a store of what is there", 100*time.Millisecond)
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				if err := a.Load(t.Context(), []l2.Item{item(1, 1_000_000)}); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		took("four loads of 1 MB", 4100*time.Millisecond)
		if err := a.Lookup(t.Context(), []kv.Key{items[0].Key}, make([]l2.Found, 1)); err != nil {
			t.Fatal(err)
		}
		took("a lookup", 100*time.Millisecond)
		time.Sleep(time.Hour) // bandwidth is not saved up
		start = time.Now()
		if err := a.Load(t.Context(), []l2.Item{item(1, 1_000_000)}); err != nil {
			t.Fatal(err)
		}
		took("a load after a pause", 1100*time.Millisecond)
		_ = a.Close()
	})
}

// A call that waits for bandwidth ends with its context, or with the adapter, and
// what it had asked for does not slow others down.
func TestWaitsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := open(t, mem.Options{Bandwidth: 1000, Format: raw})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		big := []l2.Item{item(1, 1_000_000)}
		if err := a.Store(ctx, big); err != nil || l2.ReasonOf(big[0].Err) != l2.ReasonTimeout {
			t.Errorf("%v, %v; want a timeout of the item", err, big[0].Err)
		}
		if d := time.Since(start); d != time.Second {
			t.Errorf("the context ended after 1 s, the call after %v", d)
		}
		start = time.Now()
		small := []l2.Item{item(2, 1000)}
		if err := a.Store(t.Context(), small); err != nil || small[0].Err != nil {
			t.Fatal(err, small[0].Err)
		}
		if d := time.Since(start); d != time.Second {
			t.Errorf("1000 bytes took %v", d)
		}
		done := make(chan error)
		go func() { _ = a.Store(t.Context(), big); done <- big[0].Err }()
		synctest.Wait()
		_ = a.Close()
		if err := <-done; !errors.Is(err, l2.ErrClosed) {
			t.Errorf("a call during Close: %v", err)
		}
	})
}

// The store can be damaged as a disk can.
func TestDamage(t *testing.T) {
	leak.Check(t)
	var store mem.Store
	a := open(t, mem.Options{Format: raw, Store: &store})
	it := []l2.Item{item(1, 100)}
	if err := a.Store(t.Context(), it); err != nil {
		t.Fatal(err)
	}
	if !store.Corrupt(it[0].Key, 8*99+7) || store.Corrupt(it[0].Key, 8*100) || store.Corrupt(item(2, 0).Key, 0) {
		t.Error("Corrupt does not say what it has done")
	}
	if err := a.Load(t.Context(), it); err != nil || it[0].Data[99] != 0x80 {
		t.Errorf("byte 99 is %x, want 80 (%v)", it[0].Data[99], err)
	}
	if !store.Truncate(it[0].Key, 40) || store.Truncate(it[0].Key, 40) || store.Held() != 40 {
		t.Errorf("%d bytes held, want 40", store.Held())
	}
	if err := a.Load(t.Context(), it); err != nil || it[0].N != 40 {
		t.Errorf("%d bytes, want 40 (%v)", it[0].N, err)
	}
	used := time.Unix(5, 0)
	a.Touch(t.Context(), []kv.Key{it[0].Key}, used)
	for e, err := range a.Scan(t.Context()) {
		if err != nil || !e.Used.Equal(used) {
			t.Errorf("used %v, want %v (%v)", e.Used, used, err)
		}
	}
	_ = a.Close()
}
