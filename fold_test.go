package lmcache

import (
	"math/rand/v2"
	"testing"
)

func bits(s string) []bool {
	out := make([]bool, len(s))
	for i := range s {
		out[i] = s[i] == '1'
	}
	return out
}

// TestREQ_E4_Fold: the longest prefix that every row can supply, by the table of
// worked cases and against a search that tries every length.
func TestREQ_E4_Fold(t *testing.T) {
	for _, c := range []struct {
		name string
		rows []row
		want int
	}{
		{"window at the end", []row{{bits("11110"), 0}, {bits("00111"), 2}}, 4},
		{"windows with holes", []row{{bits("11110"), 0}, {bits("11010"), 2}}, 2},
		{"window longer than the prefix", []row{{bits("11110"), 0}, {bits("11000"), 3}}, 2},
		{"two ranks", []row{{bits("11111"), 0}, {bits("11011"), 0}}, 2},
		{"recurrent", []row{{bits("11111"), 0}, {bits("00010"), 1}}, 4},
		{"nothing", []row{{bits("01111"), 0}}, 0},
		{"windows alone", []row{{bits("00110"), 2}}, 4},
		{"no rows", nil, 5},
	} {
		if got := fold(5, c.rows); got != c.want {
			t.Errorf("%s: %d chunks, want %d", c.name, got, c.want)
		}
	}
	rng := rand.New(rand.NewPCG(1, 1))
	for range 20000 {
		n := rng.IntN(12)
		rows := make([]row, rng.IntN(5))
		for i := range rows {
			rows[i].window = max(0, rng.IntN(6)-2)
			rows[i].present = make([]bool, n)
			for c := range n {
				rows[i].present[c] = rng.IntN(4) > 0
			}
		}
		if got, want := fold(n, rows), longest(n, rows); got != want {
			t.Fatalf("fold(%d, %v) = %d, want %d", n, rows, got, want)
		}
	}
}

// longest tries every length from the longest down.
func longest(n int, rows []row) int {
	for ; n > 0; n-- {
		all := true
		for _, r := range rows {
			lo := 0
			if r.window > 0 {
				lo = n - min(r.window, n)
			}
			for c := lo; c < n; c++ {
				all = all && r.present[c]
			}
		}
		if all {
			return n
		}
	}
	return 0
}
