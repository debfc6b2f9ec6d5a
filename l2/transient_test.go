package l2_test

import (
	"context"
	"testing"

	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/l2/l2test"
	"github.com/lmcache-go/lmcache/l2/mem"
	"github.com/lmcache-go/lmcache/storage/kv"
)

func inMemory(tb testing.TB, store *mem.Store) l2.Adapter {
	tb.Helper()
	a, err := mem.Open(mem.Options{Capacity: 1 << 30, Store: store})
	if err != nil {
		tb.Fatal(err)
	}
	return a
}

func TestTransientContract(t *testing.T) {
	l2test.Run(t, func(tb testing.TB) l2.Adapter { return l2.Transient(tb.Context(), inMemory(tb, nil)) })
}

// What it has stored goes with it, what others have stored stays.
func TestTransient(t *testing.T) {
	var store mem.Store
	item := func(n byte) []l2.Item {
		return []l2.Item{{Key: kv.Key{Hash: kv.Hash32([32]byte{n}), Model: "m"}, Data: make([]byte, 100)}}
	}
	put := func(a l2.Adapter, n byte) {
		t.Helper()
		it := item(n)
		if err := a.Store(t.Context(), it); err != nil || it[0].Err != nil {
			t.Fatal(err, it[0].Err)
		}
	}
	others := inMemory(t, &store)
	defer others.Close()
	put(others, 1)
	ctx, cancel := context.WithCancel(t.Context())
	ours := l2.Transient(ctx, inMemory(t, &store))
	put(ours, 1) // it is there already
	put(ours, 2)
	put(ours, 3)
	if err := ours.Delete(t.Context(), []kv.Key{item(3)[0].Key}, make([]int64, 1)); err != nil {
		t.Fatal(err)
	}
	put(others, 3) // after ours was removed
	cancel()
	if store.Len() != 3 {
		t.Fatalf("%d objects, want 3", store.Len())
	}
	if err := ours.Close(); err != nil {
		t.Fatal(err)
	}
	found := make([]l2.Found, 3)
	if err := others.Lookup(t.Context(), []kv.Key{item(1)[0].Key, item(2)[0].Key, item(3)[0].Key}, found); err != nil {
		t.Fatal(err)
	}
	if !found[0].OK || found[1].OK || !found[2].OK {
		t.Errorf("found %v, want the first and the last", found)
	}
}

// persist_enabled: false makes an adapter transient.
func TestParsePersist(t *testing.T) {
	for text, wrapped := range map[string]bool{
		`{"type":"mem","max_size_gb":1}`:                                                         false,
		`{"type":"mem","max_size_gb":1,"persist_enabled":false}`:                                 true,
		`{"type":"mem","max_size_gb":1,"persist_enabled":true}`:                                  false,
		`{"type":"fault_inject","inner":{"type":"mem","max_size_gb":1},"persist_enabled":false}`: true,
	} {
		c := parseOne(t, nil, text, nil)
		a, err := c.Open(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		_, fault := a.(interface{ Unwrap() l2.Adapter })
		if fault != wrapped {
			t.Errorf("%s: wrapped: %v", text, fault)
		}
		if _, ok := l2.AbilityOf[l2.Scanner](a); !ok {
			t.Errorf("%s: the abilities are lost", text)
		}
		a.Close()
	}
}
