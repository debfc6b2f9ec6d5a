package top

import (
	"slices"
	"strconv"
)

// panel is one part of the screen: a title line and rows, the most important first.
type panel struct {
	name string
	head line
	rows []line
	min  int // rows that it should not have fewer of
}

// panelNames are the panels in the order of their keys, from 1 on.
var panelNames = []string{"Hit rate", "L1", "Latency", "Tenants", "In flight", "L2", "Misses", "Slow operations", "Event bus"}

// panelOf makes a panel for a width. One that has nothing to show has no rows.
func panelOf(number int, f *Frame, v *View, width int) panel {
	p := panel{name: panelNames[number-1]}
	title := p.name
	if v.Keys {
		title = strconv.Itoa(number) + " " + p.name
	}
	switch number {
	case 1:
		p.head.add(bold, title)
		p.rows, p.min = hitRows(f, v, width), 2
	case 2:
		p.head.add(bold, title)
		p.rows, p.min = l1Rows(f, v, width), 2
	case 3:
		p.head, p.rows = latencyTable(f, title).lines(width)
		p.min = 3
	case 4:
		p.head, p.rows = tenantTable(f, v, title).lines(width)
		p.min = 3
	case 5:
		p.head, p.rows = inFlightRows(f, title, width)
		p.min = 1
	case 6:
		p.head, p.rows = l2Table(f, title).lines(width)
		p.min = 1
	case 7:
		p.head, p.rows = missTable(f, title).lines(width)
		p.min = 1
	case 8:
		p.head, p.rows = slowTable(f, title).lines(width)
		p.min = 1
	case 9:
		p.head.add(bold, title)
		p.rows, p.min = busRows(f), 1
	}
	p.min = min(p.min, len(p.rows))
	return p
}

func hitRows(f *Frame, v *View, width int) []line {
	h := &f.Hits
	var first line
	first.label("now", hitStyle(h.Hit), percent(h.Hit))
	if h.Hit10s.Known() {
		first.label("10s", plain, percent(h.Hit10s))
	}
	if h.Hit1m.Known() {
		first.label("1m", plain, percent(h.Hit1m))
	}
	first.label("since start", plain, percent(h.HitTotal))
	if room := width - first.width() - 2; room >= 8 && len(h.Trend) > 0 {
		first.add(plain, "  ")
		first.add(bar1, trend(h.Trend, min(room, 60), v.ASCII))
	}
	var second line
	second.label("from L1", plain, percent(h.HitL1))
	second.label("L2", plain, percent(h.HitL2))
	second.label("lookups/s", plain, rate(h.Lookups))
	second.label("tokens/s", plain, rate(h.Requested))
	t := table{titles: []string{"model", "lookups/s", "tokens/s", "hit", "L1", "L2"}, widths: []int{9, 8, 6, 6, 6}}
	for _, m := range f.Models {
		t.rows = append(t.rows, []cell{
			{plain, orNone(m.Name)},
			{plain, rate(m.Lookups)},
			{plain, rate(m.Requested)},
			{hitStyle(m.Hit), percent(m.Hit)},
			{plain, percent(m.HitL1)},
			{plain, percent(m.HitL2)},
		})
	}
	rows := []line{first, second}
	if len(t.rows) == 0 {
		return rows
	}
	head, models := t.lines(width)
	for i := range head {
		head[i].style = dim
	}
	return append(append(rows, head), models...)
}

// hitStyle colours a hit rate as the dashboard does: from 0.8 on it is good, below 0.5 it
// deserves a look.
func hitStyle(n Number) style {
	switch {
	case n >= 0.8:
		return good
	case n < 0.5:
		return warning
	}
	return plain
}

func orNone(s string) string {
	if s == "" {
		return "(none)"
	}
	return s
}

func l1Rows(f *Frame, v *View, width int) []line {
	l := &f.L1
	var first line
	first.add(bar1, bar(l.Ratio, l.Watermark, min(max(width/5, 8), 40), v.ASCII))
	first.label("", plain, percent(l.Ratio))
	first.add(plain, "  ", size(l.Used))
	if l.Capacity.Known() {
		first.add(plain, " of ", size(l.Capacity))
	}
	if l.Watermark < 1 {
		first.label("watermark", plain, percent(l.Watermark))
	}
	var second line
	second.label("objects", plain, count(l.Objects()))
	second.label("reading", plain, count(l.Reading))
	second.label("writing", plain, count(l.Writing))
	if l.Pinned.Known() && l.Pinned > 0 {
		second.label("pinned", plain, percent(l.Pinned))
	}
	var third line
	third.label("written/s", plain, rate(l.Written))
	third.label("read", plain, rate(l.Read))
	third.label("evicted", plain, rate(l.Evicted))
	third.add(plain, " (", count(l.EvictedTotal), ")")
	if l.Removed > 0 {
		third.label("removed", plain, rate(l.Removed))
	}
	var fourth line
	fourth.label("failed: no memory", some(l.AllocationFailures), count(l.AllocationFailures))
	fourth.label("unreadable", some(l.ReadFailures), count(l.ReadFailures))
	fourth.label("leases expired", some(l.ExpiredLeases), count(l.ExpiredLeases))
	return []line{first, third, second, fourth}
}

// some marks what should be 0.
func some(n Number) style {
	if n > 0 {
		return bad
	}
	return plain
}

func latencyTable(f *Frame, title string) *table {
	t := &table{titles: []string{title, "per s", "p50", "p95", "p99", "failed/s"}, widths: []int{7, 7, 7, 8, 8}}
	for _, o := range f.Latency {
		p99 := latency(o.P99)
		if o.Beyond {
			p99 = ">" + p99
		}
		t.rows = append(t.rows, []cell{
			{plain, o.Name},
			{plain, rate(o.PerSecond)},
			{plain, latency(o.P50)},
			{plain, latency(o.P95)},
			{plain, p99},
			{some(o.Failed), rate(o.Failed)},
		})
	}
	return t
}

func tenantTable(f *Frame, v *View, title string) *table {
	t := &table{
		titles: []string{title, "tokens/s", "hit", "L1", "L2", "tokens", "hit"},
		widths: []int{9, 6, 6, 6, 7, 6},
	}
	t.titles[map[Order]int{BySalt: 0, ByTokens: 1, ByHits: 2, ByTotal: 5}[v.order()]] += "▾"
	SortTenants(f.Tenants, v.order())
	for i, r := range f.Tenants {
		if v.Tenants > 0 && i == v.Tenants {
			break
		}
		t.rows = append(t.rows, []cell{
			{plain, orNone(r.Salt)},
			{plain, rate(r.Requested)},
			{hitStyle(r.Hit), percent(r.Hit)},
			{plain, percent(r.HitL1)},
			{plain, percent(r.HitL2)},
			{plain, count(r.Tokens)},
			{plain, percent(r.HitTotal)},
		})
	}
	return t
}

func inFlightRows(f *Frame, title string, width int) (line, []line) {
	t := &table{titles: []string{title, "stores", "retrieves", "store GB/s", "load GB/s"}, widths: []int{6, 9, 10, 9}}
	for _, d := range f.InFlight.Devices {
		t.rows = append(t.rows, []cell{
			{plain, orNone(d.Name)},
			{plain, count(d.Stores)},
			{plain, count(d.Retrieves)},
			{plain, gbs(d.StoreGBs)},
			{plain, gbs(d.LoadGBs)},
		})
	}
	head, rows := t.lines(width)
	var jobs line
	jobs.label("prefetch jobs", plain, count(f.InFlight.Prefetches))
	jobs.label("expired", some(f.InFlight.Expired), count(f.InFlight.Expired))
	return head, append(rows, jobs)
}

func l2Table(f *Frame, title string) *table {
	t := &table{
		titles: []string{title, "storing", "loading", "st GB/s", "ld GB/s", "st/s", "ld/s", "in L1", "used"},
		widths: []int{7, 7, 7, 7, 6, 6, 8, 8},
	}
	for _, r := range f.L2 {
		var sum Adapter
		for _, a := range r.Adapters {
			sum.Stores, sum.Loads, sum.Bytes = sum.Stores+a.Stores, sum.Loads+a.Loads, sum.Bytes+a.Bytes
		}
		name := r.Name
		if len(r.Adapters) == 1 {
			name += " #" + r.Adapters[0].Index
		}
		used := size(r.Used)
		if r.Capacity > 0 && r.Used.Known() {
			used = percent(r.Used / r.Capacity)
		}
		t.rows = append(t.rows, []cell{
			{plain, name},
			{plain, count(sum.Stores)},
			{plain, count(sum.Loads)},
			{plain, gbs(r.StoreGBs)},
			{plain, gbs(r.LoadGBs)},
			{plain, rate(r.Stores)},
			{plain, rate(r.Loads)},
			{plain, size(sum.Bytes)},
			{plain, used},
		})
		if len(r.Adapters) < 2 {
			continue
		}
		for _, a := range r.Adapters {
			t.rows = append(t.rows, []cell{
				{dim, "  #" + a.Index}, {plain, count(a.Stores)}, {plain, count(a.Loads)}, {}, {}, {}, {}, {plain, size(a.Bytes)}, {},
			})
		}
	}
	return t
}

func missTable(f *Frame, title string) *table {
	t := &table{titles: []string{title, "chunks/s", "share", "total"}, widths: []int{8, 6, 7}}
	for _, m := range f.Misses {
		t.rows = append(t.rows, []cell{{plain, m.Reason}, {plain, rate(m.PerSecond)}, {plain, percent(m.Share)}, {plain, count(m.Total)}})
	}
	return t
}

func slowTable(f *Frame, title string) *table {
	t := &table{titles: []string{title, ">" + bound(f.SlowAfter), "total", "slowest"}, widths: []int{7, 7, 14}}
	if slices.ContainsFunc(f.Slow, func(s Slow) bool { return s.Trace != "" }) {
		t.titles, t.widths = append(t.titles, "last trace"), append(t.widths, 32)
	}
	for _, s := range f.Slow {
		slowest := bound(s.From) + " to " + bound(s.To)
		if s.To > 1e9 {
			slowest = "over " + bound(s.From)
		}
		style := plain
		if s.Now > 0 {
			style = warning
		}
		t.rows = append(t.rows, []cell{{style, s.Name + " " + s.Outcome}, {style, count(s.Now)}, {plain, count(s.Total)}, {plain, slowest}, {plain, s.Trace}})
	}
	return t
}

func busRows(f *Frame) []line {
	b := &f.Bus
	var first line
	first.label("waiting", plain, count(b.Depth))
	if b.Limit.Known() {
		first.add(plain, " of ", count(b.Limit))
	}
	lag := plain
	if b.Lag > lagging {
		lag = bad
	}
	first.label("lag", lag, latency(b.Lag))
	first.label("dropped", some(b.DroppedTotal), count(b.DroppedTotal))
	first.label("panics", some(b.Panics), count(b.Panics))
	rows := []line{first}
	if l := loopLine(f.Loops); l != nil {
		rows = append(rows, l)
	}
	for _, d := range b.Drops {
		var l line
		l.label("dropped", bad, rate(d.PerSecond)+"/s")
		l.add(plain, "  ", count(d.Total), " ", d.Type, " ("+d.Class+")")
		rows = append(rows, l)
	}
	if b.Overflow > 0 || b.Folded > 0 {
		var l line
		l.label("forgotten by subscribers", plain, count(b.Overflow))
		l.label("labels folded", some(b.Folded), count(b.Folded))
		rows = append(rows, l)
	}
	if len(b.Costs) > 0 {
		rows = append(rows, costLine(b.Costs))
	}
	return rows
}

// loopLine names the loops that have something to do and have not got on since; nil if the
// page has no loops.
func loopLine(list []Loop) line {
	if len(list) == 0 {
		return nil
	}
	l := line{{dim, "loops"}}
	for _, loop := range list {
		s := plain
		if loop.Stale {
			s = bad
		}
		if loop.Age > 0 {
			l.label(loop.Name, s, long(loop.Age))
		}
	}
	if len(l) == 1 {
		l.add(plain, " ", count(Number(len(list))), ", none waits")
	}
	return l
}

// costLine is the time that subscribers take, and the dearest of them.
func costLine(list []Costing) line {
	sum := Number(0)
	for _, c := range list {
		sum += c.CPU
	}
	var l line
	l.label("cpu of observing", plain, percent(sum))
	for _, c := range list[:min(len(list), 2)] {
		l.label(c.Subscriber, plain, percent(c.CPU))
	}
	return l
}
