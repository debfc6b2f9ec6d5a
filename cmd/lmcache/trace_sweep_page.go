package main

import (
	"context"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/lmcache-go/lmcache/internal/page"
	"github.com/lmcache-go/lmcache/trace"
	"github.com/lmcache-go/lmcache/trace/curve"
	"github.com/lmcache-go/lmcache/trace/replay"
)

// How many lines and bars a page of a sweep has. The best ones are drawn; the table has
// all.
const (
	maxLines = 6
	maxBars  = 40
)

// sizeFlag is the axis that a plot is drawn over.
const sizeFlag = "l1-size-gb"

// sweepPage is the result of a sweep for a page, and where it comes from.
type sweepPage struct {
	c               *traceReplayCommand
	f               *trace.File
	bound           *curve.Result // nil: none
	requested, hits int64         // as recorded
	recorded        curve.Config
}

// sweepPage gathers what the page of a sweep shows besides its points.
func (c *traceReplayCommand) sweepPage(ctx context.Context, f *trace.File, tape *replay.Tape) (*sweepPage, error) {
	h := f.Header()
	s := &sweepPage{c: c, f: f, recorded: curve.ParseConfig(h.Config)}
	s.requested, s.hits = tape.Recorded()
	if err := s.computeBound(ctx, &h); err != nil {
		return nil, err
	}
	return s, nil
}

// sizes are the different sizes that were swept, ascending; nil if there are not two.
func (s *sweepPage) sizes() (list []int64) {
	for i := range s.c.points {
		list = append(list, s.c.points[i].l1.Bytes())
	}
	slices.Sort(list)
	if list = slices.Compact(list); len(list) < 2 {
		return nil
	}
	return list
}

// computeBound computes the Belady bound of the sizes. It is one of L1 alone and of the
// whole recording.
func (s *sweepPage) computeBound(ctx context.Context, h *trace.Header) error {
	sizes := s.sizes()
	if sizes == nil || len(s.c.Configs) > 0 || s.c.From > 0 || s.c.To > 0 {
		return nil
	}
	w, err := curve.Load(h, until(ctx, s.f.Records()), curve.LoadOptions{Sample: 1})
	if err != nil || w.Requests == 0 {
		return err
	}
	s.bound, err = w.Run(ctx, curve.Options{Sizes: sizes, Parallel: s.c.Parallel})
	return err
}

// page is the result as a page.
func (s *sweepPage) page() *page.Page {
	c := s.c
	h := s.f.Header()
	requested := int64(0)
	if len(c.points) > 0 {
		requested = c.points[0].result.Requested
	}
	p := &page.Page{
		Title: "Hit ratio by configuration",
		Lead:  fmt.Sprintf("%d configurations, replayed over the %d keys that %s looks up.", len(c.points), requested, filepath.Base(s.f.Paths[0])),
		Facts: append(recordingFacts(s.f.Paths, &h), page.Fact{Name: "Recorded L1", Value: s.recordedText()}),
		Notes: []string{
			"Each configuration is the cache itself, run over the recording in virtual time. A hit is a key of a lookup that is retained: it is there together with all keys before it. " +
				"A replay makes the recorded calls: a request that would have found more stores no less, since what is there is not stored again.",
		},
		Tables: []page.Table{s.table()},
	}
	if s.sizes() != nil {
		p.Title = "Hit ratio by size of L1"
		p.Plot = s.plot(p)
	} else {
		p.Bars = s.bars(p)
	}
	if s.bound != nil {
		p.Notes = append(p.Notes, "Belady knows the future: it keeps what is asked for next. No policy is better with L1 alone if all objects have one size.")
	}
	p.Facts = append(p.Facts, s.fixed()...)
	return p
}

// fixed are the facts that no axis changes.
func (s *sweepPage) fixed() (list []page.Fact) {
	c := s.c
	l1 := &c.points[0].l1 // as everywhere
	for _, f := range []struct{ flag, name, value string }{
		{sizeFlag, "Size of L1", sizeText(l1.Bytes())}, {"eviction-policy", "Policy", l1.Policy}, {"eviction-mode", "Mode of eviction", l1.Mode},
	} {
		if !c.swept(f.flag) && f.value != "" {
			list = append(list, page.Fact{Name: f.name, Value: f.value})
		}
	}
	tiers := "none: L1 alone"
	if len(c.Configs) > 0 {
		tiers = strings.Join(c.modelTexts(), ", ")
	}
	list = append(list, page.Fact{Name: "Outer tiers", Value: tiers}, page.Fact{Name: "Seed", Value: strconv.FormatUint(c.Seed, 10)})
	if c.From > 0 || c.To > 0 {
		to := "the end"
		if c.To > 0 {
			to = fmt.Sprintf("%v s", c.To)
		}
		list = append(list, page.Fact{Name: "Part of the recording", Value: fmt.Sprintf("from %v s to %s", c.From, to)})
	}
	return list
}

// measured is the hit ratio that the recording itself tells; ok is false if it does not.
func (s *sweepPage) measured() (ratio float64, ok bool) {
	if s.requested == 0 || s.recorded.Bytes == 0 || s.c.From > 0 || s.c.To > 0 {
		return 0, false
	}
	return float64(s.hits) / float64(s.requested), true
}

func (s *sweepPage) recordedText() string {
	if s.recorded.Bytes == 0 {
		return "not in the recording"
	}
	text := configText(&s.recorded)
	if ratio, ok := s.measured(); ok {
		text += ": " + ratioText(ratio) + " measured"
	}
	return text
}

// called names a point by its axes, with or without the size.
func (s *sweepPage) called(p *point, withSize bool) string {
	var parts []string
	for i, a := range s.c.axes {
		switch a.flag {
		case sizeFlag:
			if withSize {
				parts = append(parts, sizeText(p.l1.Bytes()))
			}
		case "eviction-policy", "eviction-mode":
			parts = append(parts, p.values[i])
		default:
			parts = append(parts, a.flag+" "+p.values[i])
		}
	}
	if len(parts) == 0 {
		return p.l1.Policy
	}
	return strings.Join(parts, ", ")
}

// ratioOf is the hit ratio of a point; without lookups there is none.
func ratioOf(r *replay.Result) (ratio float64, text string) {
	if r.Requested == 0 {
		return 0, "no lookups"
	}
	return r.HitRatio(), ratioText(r.HitRatio())
}

// plot has a line for each configuration besides the size. Points are sorted, the best
// first, so the first lines are those that have the best points.
func (s *sweepPage) plot(p *page.Page) *page.Plot {
	plot := &page.Plot{XName: "Size of L1 (logarithmic)", YName: "Hit ratio"}
	for _, size := range s.sizes() {
		plot.X = append(plot.X, page.Place{Value: float64(size), Label: sizeText(size)})
	}
	left := 0
	for i := range s.c.points {
		pt := &s.c.points[i]
		name := s.called(pt, false)
		at := slices.IndexFunc(plot.Lines, func(l page.Line) bool { return l.Name == name })
		if at < 0 && len(plot.Lines) == maxLines {
			left++
			continue
		}
		if at < 0 {
			at = len(plot.Lines)
			plot.Lines = append(plot.Lines, page.Line{Name: name})
		}
		ratio, text := ratioOf(pt.result)
		plot.Lines[at].Points = append(plot.Lines[at].Points, page.Point{X: float64(pt.l1.Bytes()), Y: ratio, Value: text})
	}
	for i := range plot.Lines {
		slices.SortFunc(plot.Lines[i].Points, func(a, b page.Point) int { return int(math.Copysign(1, a.X-b.X)) })
	}
	if left > 0 {
		p.Notes = append(p.Notes, fmt.Sprintf("The plot has the %d configurations with the best points; the other %d rows are in the table only.", maxLines, left))
	}
	if s.bound != nil {
		line := page.Line{Name: curve.Belady, Faint: true}
		for _, size := range s.bound.Sizes {
			row, _ := s.bound.At(size, curve.Belady)
			line.Points = append(line.Points, page.Point{X: float64(size), Y: row.HitRatio, Value: ratioText(row.HitRatio)})
		}
		plot.Lines = append(plot.Lines, line)
	}
	if ratio, ok := s.measured(); ok {
		plot.Marks = []page.Mark{{
			Name:  fmt.Sprintf("as recorded (%s), measured", configText(&s.recorded)),
			Point: page.Point{X: float64(s.recorded.Bytes), Y: ratio, Value: ratioText(ratio)},
		}}
	}
	return plot
}

// bars has one for each configuration, and one for the recorded one.
func (s *sweepPage) bars(p *page.Page) *page.Bars {
	b := &page.Bars{Caption: "Hit ratio"}
	for i := range s.c.points[:min(len(s.c.points), maxBars)] {
		pt := &s.c.points[i]
		ratio, text := ratioOf(pt.result)
		b.List = append(b.List, page.Bar{Name: s.called(pt, true), Value: ratio, Text: text})
	}
	if n := len(s.c.points) - maxBars; n > 0 {
		p.Notes = append(p.Notes, fmt.Sprintf("The best %d configurations have a bar; the other %d are in the table only.", maxBars, n))
	}
	if ratio, ok := s.measured(); ok {
		b.List = append(b.List, page.Bar{Name: fmt.Sprintf("as recorded (%s), measured", configText(&s.recorded)), Value: ratio, Text: ratioText(ratio), Marked: true})
	}
	return b
}

// table is the CSV with the hit ratio first, the digests cut short, and without the
// columns of tiers where there are none.
func (s *sweepPage) table() page.Table {
	head := s.c.header()
	var order []int
	for i := range s.c.axes {
		order = append(order, i)
	}
	ratio := slices.Index(head, "hit_ratio")
	order = append(order, ratio)
	for i := len(s.c.axes); i < len(head); i++ {
		if i != ratio && s.c.shows(head[i]) {
			order = append(order, i)
		}
	}
	t := page.Table{Caption: "All configurations, the best first"}
	for _, i := range order {
		name := strings.ReplaceAll(head[i], "_", " ")
		if name == sizeFlag {
			name = "L1 size"
		}
		t.Head = append(t.Head, name)
	}
	for i := range s.c.points {
		p := &s.c.points[i]
		row := s.c.sweepRow(p)
		var cells []string
		for _, j := range order {
			switch head[j] {
			case sizeFlag:
				cells = append(cells, sizeText(p.l1.Bytes()))
			case "outcome_digest":
				cells = append(cells, row[j][:16])
			default:
				cells = append(cells, row[j])
			}
		}
		t.Rows = append(t.Rows, page.Row{Cells: cells, Marked: s.isRecorded(p)})
	}
	return t
}

// isRecorded reports whether a point is the configuration of the recording.
func (s *sweepPage) isRecorded(p *point) bool {
	h := s.f.Header()
	so, err := s.c.options(p)
	return err == nil && h.Digest != "" && !replayDigest(&h, so).mismatch()
}
