package kv_test

import (
	"strings"
	"testing"

	"github.com/lmcache-go/lmcache/storage/kv"
)

func TestRankVectors(t *testing.T) {
	for _, c := range []struct {
		world, rank int
		want        uint32
	}{
		{1, 0, 0x01000100},
		{2, 1, 0x02010201},
		{4, 2, 0x04020402},
		{255, 254, 0xfffefffe},
	} {
		got, err := kv.RankOf(c.world, c.rank)
		fatal(t, err)
		if got != c.want {
			t.Errorf("RankOf(%d, %d) = %#08x, want %#08x", c.world, c.rank, got, c.want)
		}
	}
	got, err := kv.PackRank(16, 9, 8, 1)
	fatal(t, err)
	if got != 0x10090801 {
		t.Errorf("PackRank(16, 9, 8, 1) = %#08x", got)
	}
	if w, g, lw, l := kv.UnpackRank(got); w != 16 || g != 9 || lw != 8 || l != 1 {
		t.Errorf("UnpackRank = %d, %d, %d, %d", w, g, lw, l)
	}
}

func TestRankRefusals(t *testing.T) {
	for _, c := range []struct {
		world, global, localWorld, local int
		want                             []string
	}{
		{0, 0, 1, 0, []string{"world size 0", "rank 0 is not in"}},
		{-1, 0, 1, 0, []string{"world size -1"}},
		{256, 0, 1, 0, []string{"world size 256 is not 1 to 255"}},
		{2, 2, 2, 0, []string{"rank 2 is not in a world of 2"}},
		{2, -1, 2, 0, []string{"rank -1 is not in"}},
		{2, 0, 256, 0, []string{"local world size 256"}},
		{2, 0, -1, 0, []string{"local world size -1"}},
		{2, 0, 2, 256, []string{"local rank 256"}},
		{256, 256, 256, -1, []string{"world size 256", "rank 256", "local world size 256", "local rank -1"}},
	} {
		got, err := kv.PackRank(c.world, c.global, c.localWorld, c.local)
		if err == nil || got != 0 {
			t.Errorf("PackRank(%d, %d, %d, %d) = %#x, %v", c.world, c.global, c.localWorld, c.local, got, err)
			continue
		}
		for _, want := range c.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("PackRank(%d, %d, %d, %d): %q does not say %q", c.world, c.global, c.localWorld, c.local, err, want)
			}
		}
	}
}

func TestRankRoundTrip(t *testing.T) {
	for world := 1; world <= kv.MaxWorldSize; world++ {
		for rank := range world {
			r, err := kv.RankOf(world, rank)
			fatal(t, err)
			if w, g, lw, l := kv.UnpackRank(r); w != world || g != rank || lw != world || l != rank {
				t.Fatalf("rank %d of %d comes back as %d of %d, local %d of %d", rank, world, g, w, l, lw)
			}
		}
	}
}
