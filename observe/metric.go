package observe

import (
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.opentelemetry.io/otel/attribute"
)

// Kind is the kind of an instrument.
type Kind uint8

// Kinds of metrics. Both counters are cumulative and look the same to a reader.
const (
	Counter           Kind = iota // moved by events
	ObservableCounter             // read when scraped
	Gauge                         // read when scraped
	Histogram                     // moved by events
)

// String is the kind as documents spell it.
func (k Kind) String() string {
	return [...]string{"counter", "observable counter", "gauge", "histogram"}[k]
}

// PrometheusType is the text behind TYPE in a scrape.
func (k Kind) PrometheusType() string {
	return [...]string{"counter", "counter", "gauge", "histogram"}[k]
}

// Attribute is one label of a metric. Every point of the metric has it; a value
// that is not known is the empty string.
type Attribute struct {
	Key    string
	Values []string // every value it can take, in order of documentation; nil: not known beforehand
	Int    bool     // the value is a number
}

// Metric declares one metric. The table of all of them is the only place where
// instruments come from.
type Metric struct {
	Row         int    // number in the documentation of the original; 0: an addition
	Name        string // OTel name
	Kind        Kind
	Float       bool // values are floating point; histograms always are
	Sampled     bool // moved only by what is in the sample
	Unpublished bool // nothing in this module publishes its events yet
	Unit        string
	Attributes  []Attribute
	Meter       string // OTel instrumentation scope
	Help        string
	Source      string // wire names of the events, or whose Stats
	Value       string // what an event adds, or what is read
	Grid        Grid   // of a histogram
	Alias       string // Prometheus name of later releases of LMCache; empty: the same
}

// PrometheusName is the name in a scrape: dots become underscores, and a counter
// ends in exactly one _total. No unit is ever added.
func (m Metric) PrometheusName() string {
	name := strings.ReplaceAll(m.Name, ".", "_")
	if m.Kind == Counter || m.Kind == ObservableCounter {
		name = strings.TrimSuffix(name, "_total") + "_total"
	}
	return name
}

// Keys are the attribute keys in order of declaration.
func (m Metric) Keys() []string {
	keys := make([]string, len(m.Attributes))
	for i, a := range m.Attributes {
		keys[i] = a.Key
	}
	return keys
}

// Metrics returns a copy of the table, in order of documentation.
func Metrics() []Metric {
	t := table()
	for i := range t {
		t[i].Attributes = slices.Clone(t[i].Attributes)
	}
	return t
}

// set pairs values with the keys in order of declaration. Text that is not UTF-8
// is made so: one hostile value must not cost a scrape the metric.
func (m *Metric) set(values ...string) attribute.Set {
	if len(values) != len(m.Attributes) {
		panic("observe: " + m.Name + ": wrong number of attribute values")
	}
	kvs := make([]attribute.KeyValue, len(values))
	for i, v := range values {
		if a := &m.Attributes[i]; a.Int {
			kvs[i] = attribute.Int64(a.Key, number(v))
			continue
		}
		if !utf8.ValidString(v) {
			v = strings.ToValidUTF8(v, "\uFFFD")
		}
		kvs[i] = attribute.String(m.Attributes[i].Key, v)
	}
	return attribute.NewSet(kvs...)
}

// number is the value of an attribute that is one, which this package spelled.
func number(v string) int64 {
	n, err := strconv.ParseInt(v, 10, 64)
	if err != nil {
		panic("observe: " + err.Error())
	}
	return n
}

// combinations yields the attribute values of every series that is known before
// anything happens: the enumerated values of an attribute, or the given one. ok
// is false if some attribute has neither.
func (m *Metric) combinations(given map[string]string) (all [][]string, ok bool) {
	all = [][]string{nil}
	for _, a := range m.Attributes {
		values := a.Values
		if v, has := given[a.Key]; has {
			values = []string{v}
		}
		if len(values) == 0 {
			return nil, false
		}
		var next [][]string
		for _, head := range all {
			for _, v := range values {
				next = append(next, append(slices.Clip(head), v))
			}
		}
		all = next
	}
	return all, true
}
