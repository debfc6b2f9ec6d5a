package kv_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lmcache-go/lmcache/storage/kv"
)

func testHashes(tb testing.TB, n int) []kv.Hash {
	tb.Helper()
	h := newHasher(tb, "", "")
	return h.AppendChain(nil, h.Seed(), tokens(2*n, counting), 2)
}

func TestExpansionIsChunkMajorRankMinor(t *testing.T) {
	hashes := testHashes(t, 3)
	got, err := kv.Request{Model: "m", Salt: "s", World: 2, Worker: kv.AllWorkers}.AppendKeys(nil, 7, hashes)
	fatal(t, err)
	want := []kv.Key{
		{Hash: hashes[0], Model: "m", Salt: "s", Rank: 0x02000200, Group: 7},
		{Hash: hashes[0], Model: "m", Salt: "s", Rank: 0x02010201, Group: 7},
		{Hash: hashes[1], Model: "m", Salt: "s", Rank: 0x02000200, Group: 7},
		{Hash: hashes[1], Model: "m", Salt: "s", Rank: 0x02010201, Group: 7},
		{Hash: hashes[2], Model: "m", Salt: "s", Rank: 0x02000200, Group: 7},
		{Hash: hashes[2], Model: "m", Salt: "s", Rank: 0x02010201, Group: 7},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("all ranks (-want +got):\n%s", diff)
	}
	one := kv.Request{Model: "m", Salt: "s", World: 2, Worker: 1}
	got, err = one.AppendKeys(got[:1], 7, hashes[1:])
	fatal(t, err)
	if diff := cmp.Diff([]kv.Key{want[0], want[3], want[5]}, got); diff != "" {
		t.Errorf("one rank, appended (-want +got):\n%s", diff)
	}
	if n := one.Ranks(); n != 1 {
		t.Errorf("one worker expands to %d ranks", n)
	}
	one.Worker = kv.AllWorkers
	if n := one.Ranks(); n != 2 {
		t.Errorf("all workers expand to %d ranks", n)
	}
}

// TestREQ_E3_NoFieldOfARequestIsLost: any two expansions that differ in content,
// model, salt, world, rank or group have no key in common, and each key is valid
// and says what it was made of.
func TestREQ_E3_NoFieldOfARequestIsLost(t *testing.T) {
	hashes := testHashes(t, 4)
	made := map[kv.Key]string{}
	for _, model := range []string{"m", "n"} {
		for _, salt := range []string{"", "t1", "t2"} {
			for _, world := range []int{1, 2, 8, 255} {
				for group := range uint16(2) {
					all, err := kv.Request{Model: model, Salt: salt, World: world, Worker: kv.AllWorkers}.AppendKeys(nil, group, hashes)
					fatal(t, err)
					if len(all) != world*len(hashes) {
						t.Fatalf("%d keys for %d ranks and %d chunks", len(all), world, len(hashes))
					}
					for worker := range world {
						r := kv.Request{Model: model, Salt: salt, World: world, Worker: worker}
						keys, err := r.AppendKeys(nil, group, hashes)
						fatal(t, err)
						for i, k := range keys {
							fatal(t, k.Validate())
							rank, err := kv.RankOf(world, worker)
							fatal(t, err)
							if want := (kv.Key{Hash: hashes[i], Model: model, Salt: salt, Rank: rank, Group: group}); k != want {
								t.Fatalf("%+v gives %v for chunk %d of group %d", r, k, i, group)
							}
							if all[i*world+worker] != k {
								t.Fatalf("the list of all ranks has %v where rank %d has %v", all[i*world+worker], worker, k)
							}
							if was, ok := made[k]; ok {
								t.Fatalf("%v is made of %+v and of %s", k, r, was)
							}
							made[k] = k.String()
						}
					}
				}
			}
		}
	}
}

func TestRequestRefusals(t *testing.T) {
	hashes := testHashes(t, 2)
	for _, c := range []struct {
		r    kv.Request
		want []string
	}{
		{kv.Request{Model: "m"}, []string{"world size 0"}},
		{kv.Request{Model: "m", World: 256}, []string{"world size 256"}},
		{kv.Request{Model: "m", World: 2, Worker: 2}, []string{"worker 2 is not in a world of 2"}},
		{kv.Request{Model: "m", World: 2, Worker: -2}, []string{"worker -2"}},
		{kv.Request{Model: "a@b", Salt: "/", World: -1, Worker: -7}, []string{"model_name", "cache_salt", "world size -1", "worker -7"}},
	} {
		dst := []kv.Key{exampleKey(t, "")}
		got, err := c.r.AppendKeys(dst, 0, hashes)
		if err == nil || len(got) != 1 || c.r.Validate() == nil {
			t.Errorf("%+v gives %v, %v", c.r, got, err)
			continue
		}
		for _, want := range c.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%+v: error %q does not say %q", c.r, err, want)
			}
		}
	}
	hashes[1] = kv.Hash{}
	if got, err := (kv.Request{Model: "m", World: 1}).AppendKeys(nil, 0, hashes); err == nil || len(got) != 0 || !strings.Contains(err.Error(), "chunk 1") {
		t.Errorf("a missing hash gives %v, %v", got, err)
	}
	if got, err := (kv.Request{Model: "m", World: 1}).AppendKeys(nil, 0, nil); err != nil || len(got) != 0 {
		t.Errorf("no chunks give %v, %v", got, err)
	}
}

func TestExpansionAllocatesNothing(t *testing.T) {
	hashes := testHashes(t, 64)
	r := kv.Request{Model: "meta/llama", Salt: "t1", World: 4, Worker: kv.AllWorkers}
	dst := make([]kv.Key, 0, 4*64)
	if n := testing.AllocsPerRun(100, func() { dst, _ = r.AppendKeys(dst[:0], 1, hashes) }); n != 0 {
		t.Errorf("AppendKeys into a slice with room allocates %v times", n)
	}
	if raceEnabled {
		return // growing a slice allocates twice under the race detector
	}
	if n := testing.AllocsPerRun(100, func() { _, _ = r.AppendKeys(nil, 1, hashes) }); n != 1 {
		t.Errorf("AppendKeys allocates %v times, not one list", n)
	}
}
