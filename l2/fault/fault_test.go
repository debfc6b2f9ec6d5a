package fault_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/l2/fault"
	"github.com/lmcache-go/lmcache/l2/l2test"
	"github.com/lmcache-go/lmcache/l2/mem"
	"github.com/lmcache-go/lmcache/storage/kv"
)

func open(tb testing.TB, o fault.Options) *fault.Adapter {
	tb.Helper()
	inner, err := mem.Open(mem.Options{Capacity: 1 << 30})
	if err != nil {
		tb.Fatal(err)
	}
	a, err := fault.New(inner, o)
	if err != nil {
		tb.Fatal(err)
	}
	return a
}

// Without a rate it is what it wraps.
func TestContract(t *testing.T) {
	l2test.Run(t, func(tb testing.TB) l2.Adapter { return open(tb, fault.Options{Seed: 7}) })
}

const many = 2000

func items(n int) []l2.Item {
	all := make([]l2.Item, n)
	for i := range all {
		all[i] = l2.Item{Key: kv.Key{Hash: kv.Hash32([32]byte{byte(i), byte(i >> 8)}), Model: "m"}, Data: []byte{1, 2, 3, 4, 5, 6, 7, 8}}
	}
	return all
}

// near fails the test if a share of many keys is not about as large as its rate.
func near(t *testing.T, what string, n int, rate float64) {
	t.Helper()
	if got := float64(n) / many; got < rate-0.04 || got > rate+0.04 {
		t.Errorf("%s: %v of the keys, want about %v", what, got, rate)
	}
}

// Each rate meets its share of the keys, the same ones each time, and does to them
// what it says and nothing else.
func TestRates(t *testing.T) {
	for _, c := range []struct {
		name string
		o    fault.Options
		met  func(it l2.Item) bool
		rate float64
	}{
		{"rate", fault.Options{Rate: 0.3}, func(it l2.Item) bool { return errors.Is(it.Err, l2.ErrNotFound) && it.N == 0 }, 0.3},
		{"corrupt", fault.Options{CorruptRate: 0.2}, func(it l2.Item) bool { return it.N == 8 && it.Data[4] == 5^1 }, 0.2},
		{"short", fault.Options{ShortReadRate: 0.5}, func(it l2.Item) bool { return it.N == 4 }, 0.5},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := open(t, c.o)
			defer a.Close()
			all := items(many)
			if err := a.Store(t.Context(), all); err != nil {
				t.Fatal(err)
			}
			var first []kv.Key
			for range 2 {
				var met []kv.Key
				got := items(many)
				if err := a.Load(t.Context(), got); err != nil {
					t.Fatal(err)
				}
				for i, it := range got {
					if c.met(it) {
						met = append(met, it.Key)
					} else if it.Err != nil || it.N != 8 || !cmp.Equal(it.Data, all[i].Data) {
						t.Fatalf("key %d: N %d, error %v, data %v", i, it.N, it.Err, it.Data)
					}
				}
				near(t, c.name, len(met), c.rate)
				if first != nil && !cmp.Equal(first, met) {
					t.Error("the second load meets other keys")
				}
				first = met
			}
		})
	}
}

func TestStoresAndLookups(t *testing.T) {
	a := open(t, fault.Options{StoreErrorRate: 0.4, LookupErrorRate: 0.25, Rate: 1, GapIndices: []int{0, 1}, GapTailRatios: []float64{0.5}})
	defer a.Close()
	all := items(many)
	if err := a.Store(t.Context(), all); err != nil {
		t.Fatal(err)
	}
	keys, failed := make([]kv.Key, many), 0
	for i, it := range all {
		keys[i] = it.Key
		if it.Err != nil {
			failed++
			if !errors.Is(it.Err, l2.ErrIO) || it.N != 0 {
				t.Errorf("a store that fails: N %d, %v", it.N, it.Err)
			}
		}
	}
	near(t, "stores", failed, 0.4)
	found := make([]l2.Found, many)
	if err := a.Lookup(t.Context(), keys, found); err != nil {
		t.Fatal(err)
	}
	there := 0
	for i, f := range found {
		if f.OK && all[i].Err != nil {
			t.Error("a key is found whose store has failed")
		}
		if f.OK {
			there++
		}
	}
	near(t, "lookups", there, 0.6*0.75)
}

// Misses by position are those of each load, not of stores and lookups, and miss
// nothing else.
func TestPositions(t *testing.T) {
	a := open(t, fault.Options{GapIndices: []int{1}, GapTailRatios: []float64{0}})
	defer a.Close()
	all := items(6)
	if err := a.Store(t.Context(), all); err != nil {
		t.Fatal(err)
	}
	if err := a.Load(t.Context(), all); err != nil {
		t.Fatal(err)
	}
	for i, it := range all {
		if missed := errors.Is(it.Err, l2.ErrNotFound); missed != (i == 1 || i == 5) {
			t.Errorf("position %d: %v", i, it.Err)
		}
	}
	// A key that is not there is a miss whatever is injected; one that fails keeps its reason.
	long := []l2.Item{items(1)[0], {Key: items(2)[1].Key, Data: make([]byte, 2)}}
	if err := a.Load(t.Context(), long); err != nil || !errors.Is(long[1].Err, l2.ErrCorrupt) {
		t.Errorf("a load into too little memory: %v, %v", err, long[1].Err)
	}
}

// Keys that hang do not keep the others of their call; they end with the context, or
// a minute later and then succeed, or with the adapter.
func TestHangs(t *testing.T) {
	for _, c := range []struct {
		name string
		o    fault.Options
		took time.Duration
		ok   bool
	}{
		{"hang", fault.Options{HangRate: 0.5}, time.Second, false},
		{"ignore", fault.Options{IgnoreContextRate: 0.5}, time.Second + fault.Deaf, true},
		{"latency", fault.Options{Latency: 300 * time.Millisecond}, 300 * time.Millisecond, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := open(t, c.o)
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				start := time.Now()
				all := items(100)
				if err := a.Store(ctx, all); err != nil {
					t.Fatal(err)
				}
				if d := time.Since(start); d != c.took {
					t.Errorf("the call took %v, want %v", d, c.took)
				}
				stored := 0
				for _, it := range all {
					switch {
					case it.Err == nil && it.N == 8:
						stored++
					case l2.ReasonOf(it.Err) != l2.ReasonTimeout:
						t.Errorf("N %d, error %v", it.N, it.Err)
					}
				}
				if want := stored == 100; want != c.ok || stored < 30 {
					t.Errorf("%d of 100 keys were stored", stored)
				}
				if !c.ok {
					done := make(chan error)
					go func() {
						done <- errors.Join(
							a.Lookup(context.Background(), []kv.Key{all[0].Key, all[1].Key, all[2].Key, all[3].Key, all[4].Key}, make([]l2.Found, 5)),
							a.Delete(context.Background(), nil, nil))
					}()
					synctest.Wait()
					_ = a.Close()
					if err := <-done; !errors.Is(err, l2.ErrClosed) {
						t.Errorf("a lookup during Close: %v", err)
					}
				}
				if err := a.Close(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestLatencyEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := open(t, fault.Options{Latency: time.Hour})
		defer a.Close()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := a.Load(ctx, items(1)); l2.ReasonOf(err) != l2.ReasonTimeout {
			t.Errorf("error %v, want a timeout", err)
		}
	})
}

func TestValidate(t *testing.T) {
	_, err := fault.New(nil, fault.Options{
		Rate: 2, StoreErrorRate: -1, LookupErrorRate: 2, CorruptRate: 2, ShortReadRate: 2, HangRate: 2, IgnoreContextRate: 2,
		GapIndices: []int{-1}, GapTailRatios: []float64{1.5}, Latency: -1,
	})
	for _, name := range []string{
		"Rate", "StoreErrorRate", "LookupErrorRate", "CorruptRate", "ShortReadRate", "HangRate", "IgnoreContextRate", "GapIndices", "GapTailRatios", "Latency",
	} {
		if err == nil || !strings.Contains(err.Error(), "fault: "+name+": ") {
			t.Errorf("%s is not reported: %v", name, err)
		}
	}
}
