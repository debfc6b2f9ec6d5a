package artefact

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/lmcache-go/lmcache/observe"
)

// Reference is the metrics of one build, for programs. Its JSON form is read by
// Diff, also that of other versions.
type Reference struct {
	Program string      `json:"program"` // name and version
	Metrics []MetricRef `json:"metrics"` // in order of documentation
}

// MetricRef is one metric.
type MetricRef struct {
	Name     string     `json:"name"`            // Prometheus
	OTelName string     `json:"otel_name"`       //
	Alias    string     `json:"alias,omitempty"` // second Prometheus name, if it was asked for (--metrics-compat=later)
	Type     string     `json:"type"`            // counter, gauge or histogram, as in a scrape
	Unit     string     `json:"unit,omitempty"`  // OTel
	Labels   []LabelRef `json:"labels"`          // on every series, in order of documentation
	Buckets  []float64  `json:"buckets,omitempty"`
	Sampled  bool       `json:"sampled,omitempty"`     // moved only by what is in the sample
	Pending  bool       `json:"unpublished,omitempty"` // nothing publishes its events yet
	Meter    string     `json:"meter"`
	Row      int        `json:"row,omitempty"` // in LMCache's documentation
	Help     string     `json:"help"`
	Source   string     `json:"source"`
	Value    string     `json:"value"`
}

// LabelRef is one label of a metric.
type LabelRef struct {
	Key    string   `json:"key"`
	Values []string `json:"values,omitempty"` // if all are known
}

// NewReference describes the registry of this binary.
func NewReference(program string) Reference {
	r := Reference{Program: program}
	for _, m := range observe.Metrics() {
		ref := MetricRef{
			Name: m.PrometheusName(), OTelName: m.Name, Alias: m.Alias, Type: m.Kind.PrometheusType(), Unit: m.Unit, Labels: []LabelRef{},
			Buckets: observe.Tuned.Bounds(m.Grid), Sampled: m.Sampled, Pending: m.Unpublished,
			Meter: m.Meter, Row: m.Row, Help: m.Help, Source: m.Source, Value: m.Value,
		}
		for _, a := range m.Attributes {
			ref.Labels = append(ref.Labels, LabelRef{a.Key, a.Values})
		}
		r.Metrics = append(r.Metrics, ref)
	}
	return r
}

// Write writes the JSON form.
func (r Reference) Write(w io.Writer) error {
	data, err := marshal(r)
	if err != nil {
		return err
	}
	_, err = w.Write(data)
	return err
}

// Inventory is the metrics of something that may be compared: a reference, or a
// scrape. Only names that begin with lmcache count.
type Inventory struct {
	scrape  bool
	metrics map[string]entry
	second  map[string]bool // names that may be there as well
}

// entry is what is known of a metric. Of a scrape, labels are nil for a metric
// without series.
type entry struct {
	kind    string
	unit    string
	labels  []string // sorted
	buckets []float64
}

// own is how the names of metrics begin that are compared.
const own = "lmcache"

// Inventory is the reference as something to compare.
func (r Reference) Inventory() *Inventory {
	v := &Inventory{metrics: map[string]entry{}, second: map[string]bool{}}
	for i := range r.Metrics {
		m := &r.Metrics[i]
		labels := []string{}
		for _, l := range m.Labels {
			labels = append(labels, l.Key)
		}
		slices.Sort(labels)
		v.metrics[m.Name] = entry{m.Type, m.Unit, labels, m.Buckets}
		if m.Alias != "" {
			v.second[m.Alias] = true
		}
	}
	return v
}

// ReadInventory reads the JSON form of a reference, or the text of a scrape.
func ReadInventory(r io.Reader) (*Inventory, error) {
	data, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	var v *Inventory
	if strings.HasPrefix(strings.TrimSpace(string(data)), "{") {
		var ref Reference
		if err := json.Unmarshal(data, &ref); err != nil {
			return nil, fmt.Errorf("not the JSON of metrics docs: %w", err)
		}
		v = ref.Inventory()
	} else if v, err = parseScrape(string(data)); err != nil {
		return nil, err
	}
	if len(v.metrics) == 0 {
		return nil, fmt.Errorf("holds no metric whose name begins with %s", own)
	}
	return v, nil
}

func (v *Inventory) names() []string { return slices.Sorted(maps.Keys(v.metrics)) }
