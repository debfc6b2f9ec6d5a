package page

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Plot is lines over a horizontal axis of places, from left to right.
type Plot struct {
	XName, YName string
	X            []Place
	Lines        []Line
	Marks        []Mark
}

// Place is a value of the horizontal axis that has a label. The axis is logarithmic; a
// place at infinity is behind a gap at its end.
type Place struct {
	Value float64 // above 0; infinite
	Label string
}

// Line is one line of a plot.
type Line struct {
	Name   string
	Points []Point
	Faint  bool // a bound or an ideal: drawn lighter than the others
}

// Point is one value; Value is how texts show it.
type Point struct {
	X, Y  float64
	Value string
}

// Mark is a point of its own, set off from the lines.
type Mark struct {
	Name string
	Point
}

// size is the geometry of one drawing, in units of the drawing.
type size struct {
	class                    string
	width, height            float64
	left, right, top, bottom float64 // margins
	ticks                    int     // about how many on the vertical axis
	between                  float64 // room that the label of a place needs
}

var (
	wide   = size{"wide", 960, 430, 64, 34, 20, 54, 6, 74}
	narrow = size{"narrow", 380, 330, 58, 24, 16, 52, 4, 62}
)

// drawing is a plot as the form needs it. Coordinates are rounded.
type drawing struct {
	Class              string
	Width, Height      float64
	Left, Right        float64 // ends of the horizontal axis
	Top, Bottom        float64 // ends of the vertical one
	Middle, Side       float64 // where the name of the vertical axis is
	Center, Foot       float64 // where that of the horizontal one is
	XName, YName, Text string
	Rows               []tick
	Columns            []tick
	Break              float64 // where the axis is broken; 0: nowhere
	Lines              []drawnLine
	Marks              []drawnPoint
}

type tick struct {
	At, Text float64 // of the line, and of the label
	Label    string
}

type drawnLine struct {
	Style  int
	Faint  bool
	Path   string
	Points []drawnPoint
}

type drawnPoint struct {
	X, Y  float64
	Shape string // a path around the point
	Title string
}

// legend is an entry below the plot.
type legend struct {
	Name  string
	Style int // -1: of a mark
	Faint bool
	Shape string
}

// styles is how many ways of dashes and colours there are.
const styles = 6

func (p *Plot) legend() (list []legend) {
	for i, l := range p.Lines {
		list = append(list, legend{l.Name, i % styles, l.Faint, shape(i, 22, 8, 4.5)})
	}
	for _, m := range p.Marks {
		list = append(list, legend{Name: m.Name, Style: -1, Shape: star(22, 8, 8)})
	}
	return list
}

func (p *Plot) draw(s *size) drawing {
	d := drawing{
		Class: s.class, Width: s.width, Height: s.height,
		Left: s.left, Right: s.width - s.right, Top: s.top, Bottom: s.height - s.bottom,
		Foot: s.height - 8, Side: 13, XName: p.XName, YName: p.YName,
		Text: fmt.Sprintf("%s by %s. The values are in the tables below.", p.YName, p.XName),
	}
	d.Middle, d.Center = round((d.Top+d.Bottom)/2), round((d.Left+d.Right)/2)
	x := p.scale(&d)
	top, step := p.top(s.ticks)
	y := func(v float64) float64 { return round(d.Bottom - (d.Bottom-d.Top)*v/top) }
	for v := 0.0; v <= top+step/2; v += step {
		d.Rows = append(d.Rows, tick{y(v), round(y(v) + 4), strconv.FormatFloat(math.Round(v*1000)/1000, 'g', -1, 64)})
	}
	d.Columns = p.columns(&d, s, x)
	for i, l := range p.Lines {
		line := drawnLine{Style: i % styles, Faint: l.Faint}
		for j, pt := range l.Points {
			px, py := x(pt.X), y(pt.Y)
			command := " L"
			if j == 0 {
				command = "M"
			}
			line.Path += fmt.Sprintf("%s%v %v", command, px, py)
			line.Points = append(line.Points, drawnPoint{px, py, shape(i, px, py, 4.5), p.title(l.Name, &pt)})
		}
		d.Lines = append(d.Lines, line)
	}
	for _, m := range p.Marks {
		px, py := x(m.X), y(m.Y)
		d.Marks = append(d.Marks, drawnPoint{px, py, star(px, py, 10), p.title(m.Name, &m.Point)})
	}
	return d
}

// title is the tooltip of a point.
func (p *Plot) title(name string, pt *Point) string {
	return fmt.Sprintf("%s, %s: %s", name, p.label(pt.X), pt.Value)
}

// label is how a place is called.
func (p *Plot) label(x float64) string {
	for _, c := range p.X {
		if c.Value == x {
			return c.Label
		}
	}
	return strconv.FormatFloat(x, 'g', 4, 64)
}

// scale maps values of the horizontal axis, and sets where it is broken.
func (p *Plot) scale(d *drawing) func(float64) float64 {
	lo, hi, infinite := math.Inf(1), math.Inf(-1), false
	see := func(v float64) {
		if infinite = infinite || math.IsInf(v, 1); !math.IsInf(v, 1) {
			lo, hi = min(lo, math.Log(v)), max(hi, math.Log(v))
		}
	}
	for _, c := range p.X {
		see(c.Value)
	}
	for _, m := range p.Marks {
		see(m.X)
	}
	end := d.Right - 12
	if infinite && !math.IsInf(lo, 1) {
		end = d.Right - (d.Right-d.Left)/6
		d.Break = round((end + d.Right) / 2)
	}
	begin := d.Left + 12
	return func(v float64) float64 {
		switch {
		case math.IsInf(v, 1):
			return round(d.Right - 12)
		case hi <= lo:
			return round((begin + end) / 2)
		}
		return round(begin + (end-begin)*(math.Log(v)-lo)/(hi-lo))
	}
}

// columns are the places that have room for their label, the last one always.
func (p *Plot) columns(d *drawing, s *size, x func(float64) float64) (list []tick) {
	free := math.Inf(1)
	for _, place := range slices.Backward(p.X) {
		at := x(place.Value)
		if free-at < s.between {
			list = append(list, tick{At: at})
			continue
		}
		free = at
		list = append(list, tick{at, round(d.Bottom + 18), place.Label})
	}
	return list
}

// top is the end of the vertical axis, and the distance of its ticks.
func (p *Plot) top(ticks int) (top, step float64) {
	most := 0.0
	for _, l := range p.Lines {
		for _, pt := range l.Points {
			most = max(most, pt.Y)
		}
	}
	for _, m := range p.Marks {
		most = max(most, m.Y)
	}
	if most <= 0 {
		most = 1
	}
	step = math.Pow(10, math.Floor(math.Log10(most/float64(ticks))))
	for _, f := range []float64{1, 2, 5, 10} {
		if f*step*float64(ticks) >= most {
			step *= f
			break
		}
	}
	return math.Ceil(most/step-1e-9) * step, step
}

// shape is the path of the i-th kind of point.
func shape(i int, x, y, r float64) string {
	switch i % styles {
	case 0: // a circle
		return fmt.Sprintf("M%v %va%v %v 0 1 0 %v 0a%v %v 0 1 0 %v 0z", round(x-r), y, r, r, 2*r, r, r, -2*r)
	case 1: // a square
		return fmt.Sprintf("M%v %vh%vv%vh%vz", round(x-r), round(y-r), 2*r, 2*r, -2*r)
	case 2: // a triangle
		return fmt.Sprintf("M%v %vl%v %vh%vz", x, round(y-r-1), r+1, 2*r+1, -2*r-2)
	case 3: // a diamond
		return fmt.Sprintf("M%v %vl%v %vl%v %vl%v %vz", x, round(y-r-1), r+1, r+1, -r-1, r+1, -r-1, -r-1)
	case 4: // a triangle that stands on its point
		return fmt.Sprintf("M%v %vl%v %vh%vz", x, round(y+r+1), r+1, -2*r-1, -2*r-2)
	default: // a cross
		return fmt.Sprintf("M%v %vv%vM%v %vh%v", x, round(y-r), 2*r, round(x-r), y, 2*r)
	}
}

// star is the path of a star with five rays.
func star(x, y, r float64) string {
	var path strings.Builder
	for i := range 10 {
		radius, command := r, "L"
		if i%2 == 1 {
			radius = r * 0.45
		}
		if i == 0 {
			command = "M"
		}
		a := math.Pi/5*float64(i) - math.Pi/2
		fmt.Fprintf(&path, "%s%v %v", command, round(x+radius*math.Cos(a)), round(y+radius*math.Sin(a)))
	}
	return path.String() + "z"
}

// round keeps one decimal.
func round(v float64) float64 { return math.Round(v*10) / 10 }
