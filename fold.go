package lmcache

// row is the presence of one rank's objects of one group over the chunks of a
// prompt.
type row struct {
	present []bool
	window  int // chunks at the end that are needed; 0: all
}

// gap is the last chunk below n that the row needs and does not have, or -1.
func (r *row) gap(n int) int {
	lo := 0
	if r.window > 0 {
		lo = max(0, n-r.window)
	}
	for c := n - 1; c >= lo; c-- {
		if c >= len(r.present) || !r.present[c] {
			return c
		}
	}
	return -1
}

// fold is the longest prefix, of at most n chunks, that every row can supply: a
// full row all of it, a windowed one its last chunks.
func fold(n int, rows []row) int {
	for i := range rows { // full rows first: they never get better by going back
		if r := &rows[i]; r.window == 0 {
			lead := 0
			for lead < min(n, len(r.present)) && r.present[lead] {
				lead++
			}
			n = lead
		}
	}
	for again := true; again; {
		again = false
		for i := range rows {
			// A gap is in the window of every length above it, down to its own place.
			if c := rows[i].gap(n); c >= 0 && rows[i].window > 0 {
				n, again = c, true
			}
		}
	}
	return n
}
