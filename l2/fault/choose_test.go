package fault

import (
	"testing"

	"github.com/lmcache-go/lmcache/storage/kv"
)

// The numbers are SHA-256 of seed, canonical key and name, computed elsewhere.
func TestChosen(t *testing.T) {
	unsalted, err := kv.ParseKey("meta/llama@01000100@0@00ff10")
	if err != nil {
		t.Fatal(err)
	}
	salted := unsalted
	salted.Salt = "t1"
	for _, c := range []struct {
		seed uint64
		key  kv.Key
		name string
		at   float64 // the key is met by rates above it, in millionths
	}{
		{0, unsalted, missName, 634593},
		{0, salted, missName, 776665},
		{1, unsalted, missName, 746434},
		{42, unsalted, missName, 362147},
		{0, unsalted, storeName, 921806},
		{0, salted, lookupName, 127638},
		{1, unsalted, corruptName, 845170},
		{42, unsalted, shortName, 491},
		{0, unsalted, hangName, 129266},
		{1, salted, ignoreName, 238469},
	} {
		o := Options{Seed: c.seed}
		if o.chosen(c.key, (c.at+0.5)/million, c.name) {
			t.Errorf("seed %d, %v, %q: met by %v millionths", c.seed, c.key, c.name, c.at)
		}
		if !o.chosen(c.key, (c.at+1.5)/million, c.name) {
			t.Errorf("seed %d, %v, %q: not met by %v millionths", c.seed, c.key, c.name, c.at+1)
		}
		if o.chosen(c.key, 0, c.name) || !o.chosen(c.key, 1, c.name) {
			t.Errorf("seed %d, %v, %q: rate 0 or 1", c.seed, c.key, c.name)
		}
	}
}

func TestGap(t *testing.T) {
	for _, c := range []struct {
		o    Options
		n    int
		want []int
	}{
		{Options{}, 5, nil},
		{Options{GapIndices: []int{0, 3, 9}}, 5, []int{0, 3}},
		{Options{GapTailRatios: []float64{0.25}}, 11, []int{8}}, // 7.5
		{Options{GapTailRatios: []float64{0.5}}, 10, []int{4}},  // 4.5
		{Options{GapTailRatios: []float64{0.5}}, 8, []int{4}},   // 3.5
		{Options{GapTailRatios: []float64{0.5}}, 2, []int{0}},   // 0.5
		{Options{GapTailRatios: []float64{0, 1}}, 5, []int{0, 4}},
		{Options{GapTailRatios: []float64{0.1}}, 16, []int{14}}, // 13.5
		{Options{GapTailRatios: []float64{0.7}}, 1, []int{0}},
		{Options{GapIndices: []int{1}, GapTailRatios: []float64{0.5}}, 5, []int{1, 2}},
	} {
		for i := range c.n {
			want := false
			for _, w := range c.want {
				want = want || w == i
			}
			if got := c.o.gap(i, c.n); got != want {
				t.Errorf("%+v, position %d of %d: %v, want %v", c.o, i, c.n, got, want)
			}
		}
	}
}
