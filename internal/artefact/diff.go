package artefact

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// Difference is what lies between the metrics of two builds, by name.
type Difference struct {
	Added   []string `json:"added"`
	Removed []string `json:"removed"`
	Changed []Change `json:"changed"`

	// Unseen are in one of the two, a reference, and not in the other, a scrape: a
	// series may not have come into being yet, so nothing follows from it.
	Unseen []string `json:"unseen"`
	Equal  int      `json:"equal"`
}

// Change is one property of one metric that differs.
type Change struct {
	Name string `json:"name"`
	What string `json:"what"` // type, unit, labels or buckets
	From string `json:"from"`
	To   string `json:"to"`
}

// Breaks reports that a dashboard or a rule over the older metrics may stop to work.
func (d *Difference) Breaks() bool { return len(d.Removed)+len(d.Changed) > 0 }

// Diff compares two builds, the older one first. What one side does not know of
// itself is not compared: a scrape has no units, and no labels without series. The
// second names that a reference has for some metrics may be there or not.
func Diff(old, now *Inventory) Difference {
	d := Difference{Added: []string{}, Removed: []string{}, Changed: []Change{}, Unseen: []string{}}
	for _, name := range old.names() {
		before := old.metrics[name]
		after, ok := now.metrics[name]
		switch {
		case !ok && now.second[name]:
			d.Equal++
		case !ok && now.scrape && !old.scrape:
			d.Unseen = append(d.Unseen, name)
		case !ok:
			d.Removed = append(d.Removed, name)
		default:
			changes := before.compare(name, after, old.scrape || now.scrape)
			if d.Changed = append(d.Changed, changes...); len(changes) == 0 {
				d.Equal++
			}
		}
	}
	for _, name := range now.names() {
		_, ok := old.metrics[name]
		switch {
		case ok:
		case old.second[name]:
			d.Equal++
		case old.scrape && !now.scrape:
			d.Unseen = append(d.Unseen, name)
		default:
			d.Added = append(d.Added, name)
		}
	}
	return d
}

// compare lists what differs. Coarse means that one side is a scrape.
func (e entry) compare(name string, to entry, coarse bool) (all []Change) {
	changed := func(what, a, b string) {
		if a != b {
			all = append(all, Change{name, what, a, b})
		}
	}
	changed("type", e.kind, to.kind)
	if e.labels != nil && to.labels != nil {
		changed("labels", list(e.labels), list(to.labels))
	}
	if coarse {
		return all
	}
	changed("unit", e.unit, to.unit)
	if !slices.Equal(e.buckets, to.buckets) {
		changed("buckets", numbers(e.buckets), numbers(to.buckets))
	}
	return all
}

func list(texts []string) string { return strings.Join(texts, ", ") }

func numbers(values []float64) string {
	texts := make([]string, len(values))
	for i, v := range values {
		texts[i] = strconv.FormatFloat(v, 'f', -1, 64)
	}
	return list(texts)
}

// WriteText writes the difference for people, a line per metric or change.
func (d *Difference) WriteText(w io.Writer) error {
	var b strings.Builder
	for _, name := range d.Removed {
		fmt.Fprintf(&b, "- %s\n", name)
	}
	for _, name := range d.Added {
		fmt.Fprintf(&b, "+ %s\n", name)
	}
	for _, c := range d.Changed {
		fmt.Fprintf(&b, "~ %s: %s %s, was %s\n", c.Name, c.What, orNone(c.To), orNone(c.From))
	}
	for _, name := range d.Unseen {
		fmt.Fprintf(&b, "? %s (no series in the scrape)\n", name)
	}
	fmt.Fprintf(&b, "%d removed, %d added, %d changed, %d unseen, %d equal\n",
		len(d.Removed), len(d.Added), len(d.Changed), len(d.Unseen), d.Equal)
	_, err := io.WriteString(w, b.String())
	return err
}

func orNone(text string) string {
	if text == "" {
		return "(none)"
	}
	return text
}

// WriteJSON writes the difference for programs.
func (d *Difference) WriteJSON(w io.Writer) error {
	data, err := marshal(d)
	if err != nil {
		return err
	}
	_, err = w.Write(data)
	return err
}
