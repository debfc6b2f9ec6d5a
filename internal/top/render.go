package top

import (
	"fmt"
	"strings"
	"time"
)

// View is how a frame is shown.
type View struct {
	Width, Height int  // of the screen, in characters; Height 0: as many lines as there are
	Color         bool // with the terminal's colours
	ASCII         bool // with ASCII characters only
	Keys          bool // somebody is at the keys: numbers and help are shown

	Interval time.Duration // between scrapes
	Sort     Order         // of tenants; empty: ByTokens
	Tenants  int           // at most so many; 0: all that fit
	Zoom     int           // number of the only panel that is shown; 0: all
	Paused   bool
	Help     bool
	Away     time.Duration // since the last answer, if the server did not answer
	Problem  string        // why it did not; empty: it did
}

func (v *View) order() Order {
	if v.Sort == "" {
		return ByTokens
	}
	return v.Sort
}

// layouts are the panels of each column, from top to bottom, by the number of columns.
var layouts = [][][]int{
	1: {{1, 2, 3, 4, 6, 5, 7, 8, 9}},
	2: {{1, 2, 4, 7}, {3, 8, 5, 6, 9}},
	3: {{1, 2, 5, 9}, {3, 8, 6}, {4, 7}},
}

// keep is the order in which panels get room.
var keep = []int{1, 2, 3, 9, 4, 6, 5, 7, 8}

// Render is the text of a frame: lines that end in a line break, except the last one of
// a screen. A nil frame shows that there is none yet.
func Render(f *Frame, v View) string {
	v.Width = max(v.Width, 20)
	top := topLines(f, &v)
	var foot []line
	if v.Keys && v.Height > 0 {
		foot = append(foot, footLine(&v))
	}
	room := 0
	if v.Height > 0 {
		room = max(v.Height-len(top)-len(foot), 0)
	}
	var body []line
	switch {
	case v.Help:
		body = helpLines()
	case f != nil:
		body = bodyLines(f, &v, room)
	}
	all := append(top, body...)
	if v.Height > 0 {
		all = all[:min(len(all), max(v.Height-len(foot), 0))]
		for len(all) < v.Height-len(foot) {
			all = append(all, nil)
		}
		all = append(all, foot...)
	}
	texts := make([]string, len(all))
	for i, l := range all {
		texts[i] = l.fit(v.Width).text(v.Color)
	}
	out := strings.Join(texts, "\n")
	if v.ASCII {
		out = ascii.Replace(out)
	}
	if v.Height > 0 {
		return out
	}
	return out + "\n"
}

// ascii writes without other characters what the renderer writes with them.
var ascii = strings.NewReplacer("µ", "u", "…", "~", "│", "|", "·", ".", "▾", "^")

// topLines are the header and what is wrong.
func topLines(f *Frame, v *View) []line {
	var h line
	h.add(header, " lmcache top")
	end := ""
	if f != nil {
		h.add(header, "  ", strings.TrimSuffix(strings.TrimPrefix(f.URL, "http://"), "/metrics"))
		if f.Uptime.Known() {
			h.add(header, "  up ", age(f.Uptime))
		}
		if f.Version != "" {
			h.add(header, "  ", f.Version)
		}
		end = f.At.Format("15:04:05")
	}
	if f != nil && f.Seconds.Known() {
		end = fmt.Sprintf("over %s  %s", latency(f.Seconds), end)
	}
	if v.Paused {
		end = "PAUSED  " + end
	}
	end += " "
	if gap := v.Width - h.width() - columns(end); gap > 0 {
		h.add(header, strings.Repeat(" ", gap))
	} else {
		h = h.fit(max(v.Width-columns(end)-1, 0))
		h.add(header, " ")
	}
	h.add(header, end)
	for i := range h {
		h[i].style = header
	}
	lines := []line{h}
	if v.Problem != "" {
		lines = append(lines, line{{bad, fmt.Sprintf("disconnected for %s: %s", age(Number(v.Away.Seconds())), clean(v.Problem))}})
	}
	if f == nil {
		if v.Problem == "" {
			lines = append(lines, line{{dim, "waiting for the first scrape"}})
		}
		return lines
	}
	if len(f.Warnings) > 0 {
		lines = append(lines, warningLines(f.Warnings, v)...)
	}
	return lines
}

// warningLines sets the warnings one behind the other, on two lines at most.
func warningLines(list []string, v *View) []line {
	var out []line
	var l line
	for i, text := range list {
		if len(l) > 0 && l.width()+columns(text)+2 > v.Width {
			out, l = append(out, l), nil
			if len(out) == 2 {
				out[1] = out[1].fit(v.Width - 12)
				out[1].add(bad, fmt.Sprintf("  %d more", len(list)-i))
				return out
			}
		}
		l.label("", bad, "! "+text)
	}
	return append(out, l)
}

func footLine(v *View) line {
	var l line
	for _, k := range [][2]string{{"q", "quit"}, {"p", "pause"}, {"s", "sort " + string(v.order())}, {"t", "tenants"}, {"1-9", "one panel"}, {"0", "all"}, {"?", "help"}} {
		l.add(plain, " ")
		l.add(bold, k[0])
		l.add(dim, " ", k[1], " ")
	}
	return l
}

func helpLines() []line {
	texts := []string{
		"",
		"q, Ctrl-C   quit",
		"p, space    stop and go on; what happened meanwhile is in the next rates",
		"s           order of tenants: tokens, total, hits (lowest first), salt",
		"t           tenants only, and back",
		"1 to 9      one panel only; the number again or 0: all",
		"+, -        longer or shorter interval",
		"?           this page",
		"",
		"Rates and quantiles are of the time between the last two scrapes. A throughput with ~ is",
		"of all time: only a sample of transfers is measured, and none was since the last scrape.",
		"Hit rates are shares of the tokens that were asked for; L1 and L2 are parts of them.",
	}
	out := make([]line, len(texts))
	for i, t := range texts {
		out[i] = line{{plain, " " + t}}
	}
	return out
}

// bodyLines are the panels, side by side, in so many lines; 0: as many as there are.
func bodyLines(f *Frame, v *View, room int) []line {
	if v.Zoom > 0 {
		p := panelOf(v.Zoom, f, v, v.Width)
		if len(p.rows) == 0 {
			p.rows = []line{{{dim, "nothing to show"}}}
		}
		return limit(p, room-1, room > 0)
	}
	n := 1
	switch {
	case v.Width >= 180:
		n = 3
	case v.Width >= 110:
		n = 2
	}
	const gap = 3
	width := (v.Width - gap*(n-1)) / n
	var cols [][]line
	height := 0
	for _, numbers := range layouts[n] {
		col := columnLines(f, v, numbers, width, room)
		cols, height = append(cols, col), max(height, len(col))
	}
	out := make([]line, height)
	for i := range out {
		for c, col := range cols {
			if c > 0 {
				out[i].add(dim, " │ ")
			}
			var l line
			if i < len(col) {
				l = col[i]
			}
			out[i] = append(out[i], l.fit(width)...)
		}
	}
	return out
}

// columnLines sets panels one below the other. If there is too little room, each gets its
// least, the more important ones first, and then what is left goes round.
func columnLines(f *Frame, v *View, numbers []int, width, room int) []line {
	panels := make(map[int]panel)
	for _, n := range numbers {
		if p := panelOf(n, f, v, width); len(p.rows) > 0 {
			panels[n] = p
		}
	}
	rows := make(map[int]int) // of each panel that is shown
	left := room
	for _, n := range keep {
		p, ok := panels[n]
		switch {
		case !ok:
		case room == 0:
			rows[n] = len(p.rows)
		case left >= p.min+1:
			rows[n] = p.min
			left -= p.min + 1
		}
	}
	for given := room > 0; given; {
		given = false
		for _, n := range keep {
			if shown, ok := rows[n]; ok && left > 0 && shown < len(panels[n].rows) {
				rows[n], left, given = shown+1, left-1, true
			}
		}
	}
	spare := room == 0 || left >= len(rows)-1 // for empty lines between
	var out []line
	for _, n := range numbers {
		shown, ok := rows[n]
		if !ok {
			continue
		}
		if spare && len(out) > 0 {
			out = append(out, nil)
		}
		out = append(out, limit(panels[n], shown, true)...)
	}
	return out
}

// limit is a panel with at most so many rows; if some are left out, the last one says
// how many.
func limit(p panel, rows int, limited bool) []line {
	out := append([]line{p.head}, p.rows...)
	if rows = max(rows, 1); !limited || len(p.rows) <= rows {
		return out
	}
	if rows < 3 { // too little room to say so
		return out[:rows+1]
	}
	return append(out[:rows:rows], line{{dim, fmt.Sprintf("… %d more", len(p.rows)-rows+1)}})
}
