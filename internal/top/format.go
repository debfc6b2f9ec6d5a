package top

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/rivo/uniseg"
)

// unknown is what is shown for what is not a number.
const unknown = "-"

// columns is the width of a text on a terminal.
func columns(s string) int { return uniseg.StringWidth(s) }

// count writes a number of things: exactly up to four digits, then with three.
func count(n Number) string {
	v := float64(n)
	switch {
	case !n.Known():
		return unknown
	case math.IsInf(v, 0):
		return "inf"
	case v < 10000:
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	for _, unit := range []string{"k", "M", "G", "T"} {
		if v /= 1000; v < 999.5 || unit == "T" {
			return three(v) + unit
		}
	}
	return unknown
}

// rate writes a number per second, with a decimal if it is small.
func rate(n Number) string {
	if v := float64(n); n.Known() && v > 0 && v < 9.95 {
		return strconv.FormatFloat(max(v, 0.1), 'f', 1, 64)
	}
	return count(n)
}

// three writes a number below 1000 with three digits.
func three(v float64) string {
	switch {
	case v < 9.995:
		return strconv.FormatFloat(v, 'f', 2, 64)
	case v < 99.95:
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return strconv.FormatFloat(v, 'f', 0, 64)
}

// percent writes a ratio.
func percent(n Number) string {
	if !n.Known() {
		return unknown
	}
	return strconv.FormatFloat(100*float64(n), 'f', 1, 64) + "%"
}

// size writes bytes.
func size(n Number) string {
	v := float64(n)
	if !n.Known() {
		return unknown
	}
	for _, unit := range []string{"B", "KiB", "MiB", "GiB"} {
		if v < 999.5 {
			if unit == "B" {
				return strconv.FormatFloat(v, 'f', 0, 64) + " B"
			}
			return three(v) + " " + unit
		}
		v /= 1024
	}
	return three(v) + " TiB"
}

// gbs writes a throughput; one since the server's start has a mark.
func gbs(t Throughput) string {
	if !t.P50.Known() {
		return unknown
	}
	if t.All {
		return "~" + three(float64(t.P50))
	}
	return three(float64(t.P50))
}

// latency writes a short time in seconds.
func latency(n Number) string {
	v := float64(n)
	switch {
	case !n.Known():
		return unknown
	case v == 0:
		return "0s"
	case v < 0.9995e-3:
		return three(v*1e6) + "µs"
	case v < 0.9995:
		return three(v*1e3) + "ms"
	case math.IsInf(v, 1):
		return "inf"
	}
	return three(v) + "s"
}

// bound writes a round time in seconds, such as the bound of a bucket.
func bound(n Number) string {
	v, unit := float64(n), "s"
	switch {
	case v == 0:
		return "0s"
	case v < 0.9995e-3:
		v, unit = v*1e6, "µs"
	case v < 0.9995:
		v, unit = v*1e3, "ms"
	}
	return strconv.FormatFloat(v, 'g', 4, 64) + unit
}

// age writes a longer time in seconds with its two largest units.
func age(n Number) string {
	if !n.Known() {
		return unknown
	}
	s := int64(n)
	switch {
	case s < 60:
		return fmt.Sprintf("%ds", s)
	case s < 3600:
		return fmt.Sprintf("%dm%02ds", s/60, s%60)
	case s < 86400:
		return fmt.Sprintf("%dh%02dm", s/3600, s%3600/60)
	}
	return fmt.Sprintf("%dd%02dh", s/86400, s%86400/3600)
}

// long writes a time in seconds that may be a short or a long one.
func long(n Number) string {
	if n < 60 {
		return latency(n)
	}
	return age(n)
}

// bar is a ratio as a bar of so many columns, with a mark at another ratio if that is
// below 1.
func bar(n, mark Number, width int, ascii bool) string {
	full, empty, line := "█", "░", "┃"
	if ascii {
		full, empty, line = "#", ".", "|"
	}
	filled := 0
	if n.Known() {
		filled = int(math.Round(min(max(float64(n), 0), 1) * float64(width)))
	}
	at := -1
	if mark.Known() && mark > 0 && mark < 1 {
		at = min(int(float64(mark)*float64(width)), width-1)
	}
	var b strings.Builder
	for i := range width {
		switch {
		case i == at:
			b.WriteString(line)
		case i < filled:
			b.WriteString(full)
		default:
			b.WriteString(empty)
		}
	}
	return b.String()
}

// trend is a row of ratios, the last ones that fit, one column each.
func trend(list []Number, width int, ascii bool) string {
	levels := []rune("▁▂▃▄▅▆▇█")
	if ascii {
		levels = []rune("_.-~=+*#")
	}
	list = list[max(len(list)-width, 0):]
	out := make([]rune, len(list))
	for i, n := range list {
		out[i] = ' '
		if n.Known() {
			out[i] = levels[min(int(max(n, 0)*Number(len(levels))), len(levels)-1)]
		}
	}
	return string(out)
}
