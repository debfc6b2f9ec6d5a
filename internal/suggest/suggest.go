// Package suggest finds what somebody meant who mistyped a name.
package suggest

import "strings"

// Nearest returns the candidate that s most likely means, or "" if none is
// near: the distance may be a third of the length of s, and at most four. Of
// equally near candidates the first wins. If none is near, the only candidate
// that begins with s is meant.
func Nearest(s string, candidates []string) string {
	best, limit := "", min(max(len(s)/3, 1), 4)
	for _, c := range candidates {
		if d := distance(s, c); d <= limit {
			best, limit = c, d-1
		}
	}
	if best != "" || len(s) < minPrefix {
		return best
	}
	for _, c := range candidates {
		if !strings.HasPrefix(c, s) {
			continue
		}
		if best != "" {
			return ""
		}
		best = c
	}
	return best
}

// minPrefix is the length of s in bytes from which on it may stand for what
// begins with it.
const minPrefix = 3

// distance is the number of single-byte insertions, deletions, replacements and
// swaps of neighbours between a and b (optimal string alignment).
func distance(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
