package cli

import (
	"strings"
	"unicode/utf8"
)

// Table is rows of values under a heading, as narrow as what is in it. The first
// column is set to the left, the others to the right.
type Table struct {
	Head []string
	Rows [][]string // of as many cells as Head
}

// Text is the table with a rule under the heading and a final line break.
func (t *Table) Text() string {
	widths := make([]int, len(t.Head))
	for _, row := range append([][]string{t.Head}, t.Rows...) {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	var b strings.Builder
	line := func(row []string) {
		for i, cell := range row {
			room := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			switch {
			case i > 0:
				b.WriteString("  " + room + cell)
			case len(row) > 1:
				b.WriteString(cell + room)
			default:
				b.WriteString(cell)
			}
		}
		b.WriteByte('\n')
	}
	line(t.Head)
	rule := make([]string, len(widths))
	for i, w := range widths {
		rule[i] = strings.Repeat("-", w)
	}
	line(rule)
	for _, row := range t.Rows {
		line(row)
	}
	return b.String()
}
