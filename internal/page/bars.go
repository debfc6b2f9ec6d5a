package page

import "math"

// Bars are values that are compared with each other and have no order of their own, one
// below the other.
type Bars struct {
	Caption string
	List    []Bar
}

// Bar is one value, not below 0; Text is how it is shown.
type Bar struct {
	Name   string
	Value  float64
	Text   string
	Marked bool // set off from the others
}

// barRow is a bar as the form needs it.
type barRow struct {
	Bar
	Percent float64 // of the longest one
}

func (b *Bars) rows() (list []barRow) {
	most := 0.0
	for _, x := range b.List {
		if !math.IsNaN(x.Value) {
			most = max(most, x.Value)
		}
	}
	for _, x := range b.List {
		row := barRow{Bar: x}
		if most > 0 && !math.IsNaN(x.Value) {
			row.Percent = round(100 * x.Value / most)
		}
		list = append(list, row)
	}
	return list
}
