package page_test

import (
	"bytes"
	"encoding/xml"
	"errors"
	"flag"
	"io"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lmcache-go/lmcache/internal/page"
)

var update = flag.Bool("update", false, "write the golden files anew")

// curves is a page as the curves of a recording make it.
func curves() *page.Page {
	inf := math.Inf(1)
	places := []page.Place{
		{Value: 500 << 20, Label: "500 MiB"},
		{Value: 1000 << 20, Label: "1000 MiB"},
		{Value: 2000 << 20, Label: "1.95 GiB"},
		{Value: 4000 << 20, Label: "3.91 GiB"},
		{Value: inf, Label: "infinite"},
	}
	line := func(name string, faint bool, values ...string) page.Line {
		l := page.Line{Name: name, Faint: faint}
		for i, v := range values {
			y := map[string]float64{"0.0468": .0468, "0.0579": .0579, "0.1239": .1239, "0.2241": .2241, "0.3819": .3819, "0.0825": .0825, "0.1131": .1131, "0.1809": .1809, "0.2459": .2459, "0.1990": .199, "0.2701": .2701, "0.3557": .3557, "0.3815": .3815}[v]
			l.Points = append(l.Points, page.Point{X: places[i].Value, Y: y, Value: v})
		}
		return l
	}
	return &page.Page{
		Title: "Hit ratio by size of L1",
		Lead:  "run.lct: 12,031 lookups",
		Plot: &page.Plot{
			XName: "Size of L1", YName: "Hit ratio", X: places,
			Lines: []page.Line{
				line("LRU-ideal", true, "0.0468", "0.0579", "0.1239", "0.2241", "0.3819"),
				line("RecencyFrequency", false, "0.0825", "0.1131", "0.1809", "0.2459", "0.3819"),
				line("Belady", true, "0.1990", "0.2701", "0.3557", "0.3815", "0.3819"),
			},
			Marks: []page.Mark{{Name: "recorded: LRU, 1000 MiB", Point: page.Point{X: 1000 << 20, Y: .0579, Value: "0.0579"}}},
		},
		Tables: []page.Table{{
			Caption: "Hit ratio", Head: []string{"Size of L1", "LRU-ideal", "RecencyFrequency", "Belady"},
			Rows: []page.Row{
				{Cells: []string{"500 MiB", "0.0468", "0.0825", "0.1990"}},
				{Cells: []string{"1000 MiB", "0.0579", "0.1131", "0.2701"}, Marked: true},
				{Cells: []string{"1.95 GiB", "0.1239", "0.1809", "0.3557"}},
				{Cells: []string{"3.91 GiB", "0.2241", "0.2459", "0.3815"}},
				{Cells: []string{"infinite", "0.3819", "0.3819", "0.3819"}},
			},
		}},
		Facts: []page.Fact{{Name: "Recording", Value: "run.lct"}, {Name: "Seed", Value: "1"}},
		Notes: []string{"A note."},
	}
}

func render(t *testing.T, p *page.Page) string {
	t.Helper()
	var b bytes.Buffer
	if err := p.WriteHTML(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got; -update writes it anew):\n%s", name, diff)
	}
}

func TestREQ_T33_PageOfCurves(t *testing.T) { golden(t, "curves.html", render(t, curves())) }

// A sweep has a table of its own and no plot.
func TestPageOfATable(t *testing.T) {
	p := curves()
	p.Plot, p.Lead, p.Notes = nil, "", nil
	got := render(t, p)
	golden(t, "table.html", got)
	if strings.Contains(got, "<svg class") || strings.Contains(got, `class="legend"`) {
		t.Error("a page without a plot has a drawing")
	}
}

// Values without an order are bars: the longest one fills the room.
func TestPageOfBars(t *testing.T) {
	p := curves()
	p.Plot = nil
	p.Bars = &page.Bars{Caption: "Hit ratio", List: []page.Bar{
		{Name: "eviction-policy <LRU>", Value: .4, Text: "0.4000"}, {Name: "none", Value: .1, Text: "0.1000", Marked: true}, {Name: "nothing", Value: math.NaN(), Text: "no lookups"},
	}}
	got := render(t, p)
	golden(t, "bars.html", got)
	for _, want := range []string{`style="width: 100%"`, `<li class="marked"><span class="name">none</span><span class="track"><span class="fill" style="width: 25%">`, `style="width: 0%"`, "eviction-policy &lt;LRU&gt;"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q", want)
		}
	}
	p.Bars.List = p.Bars.List[2:]
	if text := render(t, p); strings.Contains(text, "NaN") || strings.Contains(text, "ZgotmplZ") {
		t.Error("a width is no number")
	}
}

// Nothing is loaded from anywhere: there is no address at all, and the page's own policy
// forbids it.
func TestPageNeedsNothing(t *testing.T) {
	text := render(t, curves())
	for _, bad := range []string{"http:", "https:", "//", "<script", "<link", "<img", "@import", "url(", "@font-face", "src="} {
		if strings.Contains(strings.ReplaceAll(text, "<!--", ""), bad) {
			t.Errorf("it has %q", bad)
		}
	}
	if !strings.Contains(text, `content="default-src 'none'; style-src 'unsafe-inline'"`) {
		t.Error("no policy")
	}
}

// Texts from files do not become markup, wherever they are shown.
func TestTextsAreEscaped(t *testing.T) {
	const evil = `"><script>alert(1)</script>&'{{.}}`
	p := curves()
	p.Title, p.Lead = evil, evil
	p.Plot.XName, p.Plot.YName, p.Plot.X[0].Label, p.Plot.Lines[0].Name, p.Plot.Marks[0].Name = evil, evil, evil, evil, evil
	p.Plot.Lines[0].Points[0].Value = evil
	p.Tables[0].Caption, p.Tables[0].Head[1], p.Tables[0].Rows[0].Cells[1] = evil, evil, evil
	p.Facts[0] = page.Fact{Name: evil, Value: evil}
	p.Notes[0] = evil
	text := render(t, p)
	if strings.Contains(text, "<script") {
		t.Error("a text became markup")
	}
	if n := strings.Count(text, "&lt;script&gt;"); n < 15 {
		t.Errorf("it is shown %d times", n)
	}
}

// Each point is in both drawings with its value as a tooltip, the lines differ without
// colour, and everything is inside of the drawing.
func TestDrawings(t *testing.T) {
	text := render(t, curves())
	if n := strings.Count(text, "<title>RecencyFrequency, 1.95 GiB: 0.1809</title>"); n != 2 {
		t.Errorf("a point is there %d times, want once in each drawing", n)
	}
	if n := strings.Count(text, "<title>recorded: LRU, 1000 MiB, 1000 MiB: 0.0579</title>"); n != 2 {
		t.Errorf("the mark is there %d times", n)
	}
	for _, style := range []string{".line.s1 {", ".line.s2 {", ".line.s3 {", ".line.s4 {", ".line.s5 {"} {
		_, rest, found := strings.Cut(text, style)
		if rule, _, _ := strings.Cut(rest, "}"); !found || !strings.Contains(rule, "stroke-dasharray") {
			t.Errorf("%s has no dashes", style)
		}
	}
	svg := regexp.MustCompile(`(?s)<svg class="(wide|narrow)".*?</svg>`).FindAllString(text, -1)
	if len(svg) != 2 {
		t.Fatalf("%d drawings", len(svg))
	}
	for _, s := range svg {
		d := xml.NewDecoder(strings.NewReader(s))
		for {
			if _, err := d.Token(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("not well formed: %v", err)
			}
		}
		if strings.Contains(s, "NaN") || strings.Contains(s, "Inf") {
			t.Error("a coordinate is no number")
		}
	}
}

// Results that are nothing, or one point, are drawn too.
func TestOddPlots(t *testing.T) {
	for name, change := range map[string]func(*page.Plot){
		"no lines": func(p *page.Plot) { p.Lines, p.Marks = nil, nil },
		"zero": func(p *page.Plot) {
			for i := range p.Lines {
				for j := range p.Lines[i].Points {
					p.Lines[i].Points[j].Y = 0
				}
			}
			p.Marks = nil
		},
		"one place": func(p *page.Plot) {
			p.X = p.X[:1]
			for i := range p.Lines {
				p.Lines[i].Points = p.Lines[i].Points[:1]
			}
		},
		"only infinite": func(p *page.Plot) {
			p.X, p.Marks = p.X[4:], nil
			for i := range p.Lines {
				p.Lines[i].Points = p.Lines[i].Points[4:]
			}
		},
		"many lines": func(p *page.Plot) { p.Lines = append(append(p.Lines, p.Lines...), p.Lines...) },
	} {
		p := curves()
		change(p.Plot)
		if text := render(t, p); strings.Contains(text, "NaN") || strings.Contains(text, "+Inf") || strings.Count(text, "<svg class") != 2 {
			t.Errorf("%s: %.200s", name, text)
		}
	}
}
