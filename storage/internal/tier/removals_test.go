package tier

import (
	"testing"

	"github.com/lmcache-go/lmcache/storage/kv"
)

// A lookup hears of what was removed while it was under way, and of nothing else; and
// nothing is remembered for longer than the oldest lookup needs it.
func TestRemovals(t *testing.T) {
	k := func(n byte) kv.Key { return kv.Key{Model: "m", Hash: kv.Hash32([32]byte{n})} }
	var r removals
	check := func(at uint64, want ...byte) {
		t.Helper()
		got := r.since(at)
		if len(got) != len(want) {
			t.Errorf("%d keys, want %v", len(got), want)
		}
		for _, n := range want {
			if _, ok := got[k(n)]; !ok {
				t.Errorf("without %d", n)
			}
		}
	}
	r.add(k(1)) // nobody asks
	first := r.begin()
	check(first)
	r.add(k(2))
	second, third := r.begin(), r.begin()
	r.add(k(3))
	r.add(k(3))
	check(first, 2, 3)
	check(second, 3)
	r.end(first)
	check(second, 3)
	if len(r.keys) != 2 || r.keys[0] != k(3) {
		t.Errorf("%v are remembered", r.keys)
	}
	fourth := r.begin()
	r.add(k(4))
	r.end(third)
	check(second, 3, 4)
	r.end(second)
	check(fourth, 4)
	r.end(fourth)
	if r.keys != nil || len(r.lookups) != 0 {
		t.Errorf("%v are remembered for nobody", r.keys)
	}
	r.add(k(5))
	check(r.begin())
}

// Lookups that overlap for ever do not have ever more remembered.
func TestRemovalsAreBounded(t *testing.T) {
	var r removals
	at := r.begin()
	most := 0
	for range 10_000 {
		for range 3 {
			r.add(kv.Key{Model: "m"})
		}
		next := r.begin()
		most = max(most, len(r.keys), cap(r.keys))
		r.end(at)
		at = next
	}
	if most > 16 {
		t.Errorf("room for %d keys", most)
	}
}
