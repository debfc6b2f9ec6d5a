package page

import (
	_ "embed" // for the form of the page
	"html/template"
	"io"
)

// Page is what a file shows, from the top to the bottom.
type Page struct {
	Title  string
	Lead   string // one or two sentences below the title
	Plot   *Plot  // nil: none
	Bars   *Bars  // nil: none
	Tables []Table
	Facts  []Fact
	Notes  []string
}

// Fact is a line of what the result comes from.
type Fact struct{ Name, Value string }

// Table is rows of cells under a heading. The cells of the first column name their
// row; the others are numbers, or texts that read like them.
type Table struct {
	Caption string
	Head    []string
	Rows    []Row
}

// Row is one row of a table.
type Row struct {
	Cells  []string
	Marked bool // set off from the others
}

//go:embed page.html
var form string

// WriteHTML writes the page. Equal pages are equal bytes.
func (p *Page) WriteHTML(w io.Writer) error {
	t, err := template.New("page").Parse(form)
	if err != nil {
		return err
	}
	view := struct {
		*Page
		Legend   []legend
		Drawings []drawing
		BarRows  []barRow
	}{Page: p}
	if p.Bars != nil {
		view.BarRows = p.Bars.rows()
	}
	if p.Plot != nil {
		view.Legend = p.Plot.legend()
		view.Drawings = []drawing{p.Plot.draw(&wide), p.Plot.draw(&narrow)}
	}
	return t.Execute(w, view)
}
