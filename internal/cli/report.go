package cli

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Widths of reports, in characters.
const (
	WidthPing     = 30
	WidthNormal   = 48
	WidthDescribe = 50
	WidthQuotas   = 55
	WidthWide     = 64 // benchmarks and the reports that LMCache does not have
)

// Report is a result of a command: lines of label and value under a title, in
// sections. It has two forms, text for people and JSON.
type Report struct {
	title   string
	width   int
	metrics object
	current *object // the open section; nil before the first
	rows    []row
	foot    string // the last line of the text form
}

// row is one line of the text form.
type row struct {
	section string // title of a section; else label and value
	label   string
	value   string
	line    string // or the whole line
}

// Fixed is a number with its own count of decimals in the JSON form. The text
// form shows it like any other number.
type Fixed struct {
	Value    float64
	Decimals int
}

// NewReport returns an empty report. Width is that of the text form in characters.
func NewReport(title string, width int) *Report { return &Report{title: title, width: width} }

// Line adds a line to the current section, or above all sections: the key is its
// name in JSON, the label that in text. Values may be nil, bool, string, every
// kind of integer and float, Fixed, and, in JSON, slices and maps of those.
func (r *Report) Line(key, label string, value any) {
	r.LineText(key, label, text(value), value)
}

// LineText adds a line whose text form is not derived from the value.
func (r *Report) LineText(key, label, text string, value any) {
	target := &r.metrics
	if r.current != nil {
		target = r.current
	}
	target.add(key, value)
	r.rows = append(r.rows, row{label: label, value: text})
}

// Section starts a section: an object under the key in JSON, a title in text.
func (r *Report) Section(key, title string) {
	r.current = &object{}
	r.metrics.add(key, r.current)
	r.rows = append(r.rows, row{section: title})
}

// ListSection starts a section that is one element of the list under the key.
// All elements of a list have to follow each other.
func (r *Report) ListSection(key, title string) {
	r.current = &object{}
	r.metrics.appendTo(key, r.current)
	r.rows = append(r.rows, row{section: title})
}

// Text is the text form, with a final line break.
func (r *Report) Text() string {
	var b strings.Builder
	b.WriteString(center(r.title, r.width, '=') + "\n")
	for _, row := range r.rows {
		if row.section != "" {
			b.WriteString(center(row.section, r.width, '-') + "\n")
			continue
		}
		if row.line != "" {
			b.WriteString(row.line + "\n")
			continue
		}
		b.WriteString(pad(row.label+":", row.value, r.width) + "\n")
	}
	b.WriteString(strings.Repeat("=", r.width) + "\n")
	if r.foot != "" {
		b.WriteString(r.foot + "\n")
	}
	return b.String()
}

// JSON is the form {"title": …, "metrics": {…}} with a final line break.
func (r *Report) JSON() ([]byte, error) {
	var whole object
	whole.add("title", r.title)
	whole.add("metrics", &r.metrics)
	return encode(&whole)
}

// MetricsJSON is the metrics object alone, with a final line break.
func (r *Report) MetricsJSON() ([]byte, error) { return encode(&r.metrics) }

// center sets text with a space on each side into the middle of a line of fill.
// With n the length of the spaced text, left = ⌊(W−n)/2⌋ + ((W−n) AND W AND 1).
func center(text string, width int, fill rune) string {
	text = " " + text + " "
	room := width - utf8.RuneCountInString(text)
	if room <= 0 {
		return strings.TrimSpace(text)
	}
	left := room/2 + room&width&1
	return strings.Repeat(string(fill), left) + text + strings.Repeat(string(fill), room-left)
}

// pad sets label and value to the two ends of a line, at least one space apart.
func pad(label, value string, width int) string {
	room := width - utf8.RuneCountInString(label) - utf8.RuneCountInString(value)
	return label + strings.Repeat(" ", max(room, 1)) + value
}

// text is a value in the text form.
func text(value any) string {
	switch v := value.(type) {
	case nil:
		return "N/A"
	case bool:
		if v {
			return "True"
		}
		return "False"
	case float64:
		return decimals(v)
	case float32:
		return decimals(float64(v))
	case Fixed:
		return decimals(v.Value)
	}
	return fmt.Sprint(value)
}

func decimals(v float64) string {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return "N/A"
	}
	return strconv.FormatFloat(v, 'f', 2, 64)
}

// EmptyList is a list without elements under the key in JSON; in text it is nothing.
func (r *Report) EmptyList(key string) { r.metrics.add(key, []*object{}) }

// Pair is a value and its name in JSON.
type Pair struct {
	Key   string
	Value any
}

// ListLine adds an element to the list under the key; in text it is one line as given,
// or nothing if that is empty. All elements of a list have to follow each other.
func (r *Report) ListLine(key string, element []Pair, line string) {
	o := &object{}
	for _, p := range element {
		o.add(p.Key, p.Value)
	}
	r.metrics.appendTo(key, o)
	r.TextLine(line)
}

// TextLine adds a line to the text form alone, unless it is empty.
func (r *Report) TextLine(line string) {
	if line != "" {
		r.rows = append(r.rows, row{line: line})
	}
}

// Foot ends the text with a line below everything else; in JSON it is the values.
func (r *Report) Foot(line string, values []Pair) {
	for _, p := range values {
		r.metrics.add(p.Key, p.Value)
	}
	r.foot = line
}
