package top

import (
	"strings"

	"github.com/rivo/uniseg"
)

// style is how a piece of text looks.
type style uint8

const (
	plain style = iota
	bold
	dim
	good
	bad
	warning
	bar1   // the bars and trends
	header // first line of the screen
)

// codes are the styles as a terminal takes them; colours of the basic sixteen, which
// every theme makes readable.
var codes = [...]string{plain: "", bold: "\x1b[1m", dim: "\x1b[2m", good: "\x1b[32m", bad: "\x1b[1;31m", warning: "\x1b[33m", bar1: "\x1b[36m", header: "\x1b[7m"}

const reset = "\x1b[0m"

// span is a text in one style.
type span struct {
	style style
	text  string
}

// line is one line of the screen.
type line []span

// add appends texts in a style.
func (l *line) add(s style, texts ...string) { *l = append(*l, span{s, strings.Join(texts, "")}) }

// label appends a name, dimmed, and its value, with two columns before it.
func (l *line) label(name string, s style, value string) {
	if len(*l) > 0 {
		l.add(plain, "  ")
	}
	if name != "" {
		l.add(dim, name, " ")
	}
	l.add(s, value)
}

// width is the number of columns.
func (l line) width() int {
	n := 0
	for _, s := range l {
		n += columns(s.text)
	}
	return n
}

// fit cuts or fills a line to a width.
func (l line) fit(width int) line {
	var out line
	left := width
	for _, s := range l {
		n := columns(s.text)
		if n <= left {
			out, left = append(out, s), left-n
			continue
		}
		text, n := cut(s.text, left)
		out, left = append(out, span{s.style, text}), left-n
		break
	}
	if left > 0 {
		out.add(plain, strings.Repeat(" ", left))
	}
	return out
}

// cut is the front of a text that fits into a width, and its own width.
func cut(s string, width int) (front string, used int) {
	g := uniseg.NewGraphemes(s)
	var b strings.Builder
	for g.Next() {
		if used+g.Width() > width {
			break
		}
		b.WriteString(g.Str())
		used += g.Width()
	}
	return b.String(), used
}

// shorten is a text in at most so many columns; what is left out shows.
func shorten(s string, width int) string {
	if columns(s) <= width {
		return s
	}
	front, _ := cut(s, max(width-1, 0))
	return front + "…"
}

// text writes a line without spaces at its end.
func (l line) text(color bool) string {
	last := len(l)
	for last > 0 && l[last-1].style != header && strings.TrimRight(l[last-1].text, " ") == "" {
		last--
	}
	var b strings.Builder
	for i, s := range l[:last] {
		if i == last-1 && s.style != header {
			s.text = strings.TrimRight(s.text, " ")
		}
		if color && codes[s.style] != "" {
			b.WriteString(codes[s.style] + s.text + reset)
			continue
		}
		b.WriteString(s.text)
	}
	if !color {
		return strings.TrimRight(b.String(), " ")
	}
	return b.String()
}

// cell is one field of a table.
type cell struct {
	style style
	text  string
}

// table is rows of cells under titles. The first column takes the room that the others
// leave, and is on the left; the others are on the right.
type table struct {
	titles []string
	widths []int // of the columns behind the first
	rows   [][]cell
}

// lines are the title line and the rows for a width; columns that do not fit are left
// out, from the right.
func (t *table) lines(width int) (head line, rows []line) {
	const least = 10 // columns of the first
	n, used := 0, 0
	for _, w := range t.widths {
		if used+w+1+least > width {
			break
		}
		used, n = used+w+1, n+1
	}
	longest := 40 // or as long as the longest text; else the numbers would be far from it
	for _, r := range t.rows {
		longest = max(longest, columns(r[0].text))
	}
	first := min(max(width-used, 0), longest)
	head.add(bold, left(t.titles[0], first))
	for i := range n {
		head.add(dim, " ", right(t.titles[i+1], t.widths[i]))
	}
	for _, r := range t.rows {
		var l line
		l.add(r[0].style, left(r[0].text, first))
		for i := range n {
			l.add(r[i+1].style, " ", right(r[i+1].text, t.widths[i]))
		}
		rows = append(rows, l)
	}
	return head, rows
}

func left(s string, width int) string {
	s = shorten(s, width)
	return s + strings.Repeat(" ", max(width-columns(s), 0))
}

func right(s string, width int) string {
	s = shorten(s, width)
	return strings.Repeat(" ", max(width-columns(s), 0)) + s
}
