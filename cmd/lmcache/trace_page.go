package main

import (
	"bytes"
	"fmt"
	"math"
	"path/filepath"
	"strconv"

	"github.com/lmcache-go/lmcache/internal/cli"
	"github.com/lmcache-go/lmcache/internal/page"
	"github.com/lmcache-go/lmcache/trace"
	"github.com/lmcache-go/lmcache/trace/curve"
)

// writePage writes a page to the file of --html.
func writePage(path string, p *page.Page) error {
	var b bytes.Buffer
	err := p.WriteHTML(&b)
	if err == nil {
		err = cli.WriteFile(path, b.Bytes())
	}
	if err != nil {
		return fmt.Errorf("--html: %w", err)
	}
	return nil
}

// recordingFacts say which recording a page is about.
func recordingFacts(paths []string, h *trace.Header) []page.Fact {
	digest := h.Digest
	if digest == "" {
		digest = "none: the recording does not say"
	}
	return []page.Fact{{Name: "Recording", Value: traceName(paths)}, {Name: "Digest of its configuration", Value: digest}}
}

// configText is a recorded configuration.
func configText(c *curve.Config) string { return fmt.Sprintf("%v, %s", cli.Bytes(c.Bytes), c.Policy) }

// facts are what the result comes from.
func (c *curveResult) facts() []page.Fact {
	w := c.w
	list := []page.Fact{
		{Name: "Duration (s)", Value: strconv.FormatFloat(w.Seconds, 'f', 3, 64)},
		{Name: "Lookups", Value: strconv.FormatInt(w.Requests, 10)},
		{Name: "Keys looked up", Value: strconv.FormatInt(w.Keys, 10)},
		{Name: "Different keys", Value: fmt.Sprintf("%d (%v)", w.Unique, cli.Bytes(w.Size))},
		{Name: "Recorded L1", Value: c.recordedText()},
	}
	if c.sample < 1 {
		list = append(list, page.Fact{Name: "Sample of the keys", Value: strconv.FormatFloat(c.sample, 'g', -1, 64)})
	}
	if w.Lost > 0 {
		list = append(list, page.Fact{Name: "Calls that the recording lost", Value: strconv.FormatInt(w.Lost, 10)})
	}
	if w.LeftOut > 0 {
		list = append(list, page.Fact{Name: "Clears, deletes, quotas left out", Value: strconv.FormatInt(w.LeftOut, 10)})
	}
	return list
}

// page is the result as a page.
func (c *curveResult) page() *page.Page {
	hits, byteHits := c.tables()
	p := &page.Page{
		Title: "Hit ratio by size of L1",
		Lead:  fmt.Sprintf("What L1 of other sizes would have found of the %d keys that %s looks up.", c.w.Keys, filepath.Base(c.paths[0])),
		Plot:  c.plot(),
		Facts: append(recordingFacts(c.paths, &c.header), c.facts()...),
		Notes: []string{
			"A hit is a chunk of a lookup that is in L1 together with all chunks before it. LRU-ideal is exact LRU by stack distances. The policies are the cache itself, " +
				"run over the recording in virtual time. Belady knows the future: it keeps what is asked for next. No policy is better if all objects have one size.",
			"Each lookup is followed by the insertion of what it did not find, as if the host stored it at once. Requests do not overlap.",
		},
	}
	p.Facts = append(p.Facts, page.Fact{Name: "Outer tiers", Value: "none: L1 alone"}, page.Fact{Name: "Seed", Value: "1"})
	p.Tables = append(p.Tables, c.pageTable("Hit ratio", &hits))
	if byteHits != nil {
		p.Tables = append(p.Tables, c.pageTable("Hit ratio of bytes", byteHits))
	} else {
		p.Notes = append(p.Notes, "All objects have the same size: the hit ratio of bytes is that of keys.")
	}
	return p
}

// pageTable is a table in which the recorded size is marked.
func (c *curveResult) pageTable(caption string, t *cli.Table) page.Table {
	out := page.Table{Caption: caption, Head: t.Head}
	for i, row := range t.Rows {
		out.Rows = append(out.Rows, page.Row{Cells: row, Marked: c.r.Sizes[i] == c.w.Config.Bytes})
	}
	return out
}

func (c *curveResult) plot() *page.Plot {
	p := &page.Plot{XName: "Size of L1 (logarithmic)", YName: "Hit ratio"}
	place := func(bytes int64) float64 {
		if bytes == curve.Infinite {
			return math.Inf(1)
		}
		return float64(bytes)
	}
	for _, size := range c.r.Sizes {
		p.X = append(p.X, page.Place{Value: place(size), Label: sizeText(size)})
	}
	for _, name := range c.r.Policies {
		line := page.Line{Name: name, Faint: name == curve.LRUIdeal || name == curve.Belady}
		for _, size := range c.r.Sizes {
			row, _ := c.r.At(size, name)
			line.Points = append(line.Points, page.Point{X: place(size), Y: row.HitRatio, Value: ratioText(row.HitRatio)})
		}
		p.Lines = append(p.Lines, line)
	}
	if ratio, measured, ok := c.recorded(); ok {
		name := fmt.Sprintf("as recorded (%s, %v)", c.w.Config.Policy, cli.Bytes(c.w.Config.Bytes))
		if measured {
			name += ", measured"
		}
		p.Marks = []page.Mark{{Name: name, Point: page.Point{X: float64(c.w.Config.Bytes), Y: ratio, Value: ratioText(ratio)}}}
	}
	return p
}
