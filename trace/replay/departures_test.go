package replay

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lmcache-go/lmcache/storage/kv"
)

// The last departure of a key is found, whatever else has its fingerprint: hashes that
// differ behind their beginning only have the same.
func TestDepartures(t *testing.T) {
	var d departures
	want := make(map[kv.Key]eviction)
	rng := rand.New(rand.NewPCG(1, 2))
	key := func() kv.Key {
		var b [32]byte
		b[0], b[31] = byte(rng.IntN(4)), byte(rng.IntN(4))
		return kv.Key{Hash: kv.Hash32(b), Model: fmt.Sprint("m", rng.IntN(2)), Salt: fmt.Sprint(rng.IntN(2)), Rank: uint32(rng.IntN(2)), Group: uint16(rng.IntN(2))}
	}
	for i := range 100_000 {
		list := make([]kv.Key, rng.IntN(4))
		e := eviction{at: float64(i), cause: fmt.Sprint("c", i%3), owner: fmt.Sprint("o", i%5)}
		for j := range list {
			list[j] = key()
			want[list[j]] = e
		}
		d.add(list, e)
		k := key()
		got := d.of(&k)
		e, there := want[k]
		if there != (got != nil) || there && *got != e {
			t.Fatalf("after %d departures: %v left at %v, got %v", i+1, k, e, got)
		}
	}
	if d.size > 2*garbage {
		t.Errorf("%d keys are kept for %d", d.size, len(want))
	}
	if len(d.other) == 0 || len(want) < 200 {
		t.Errorf("%d keys, %d of a fingerprint that others have: the test has not everything", len(want), len(d.other))
	}
	if diff := cmp.Diff((*eviction)(nil), new(departures).of(&kv.Key{})); diff != "" {
		t.Error(diff)
	}
}
