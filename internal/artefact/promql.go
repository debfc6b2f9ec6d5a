package artefact

import (
	"slices"
	"strings"

	"github.com/lmcache-go/lmcache/observe"
)

// prefix is that of OTel names, which the tables leave out. Names of CacheBlend
// have another one and are written whole.
const prefix = "lmcache_mp."

// The variables of the dashboard, by the label that they choose values of. Every
// series that Prometheus scrapes has an instance.
const (
	labelInstance = "instance"
	labelModel    = "model_name"
	labelSalt     = "cache_salt"
	labelAdapter  = "l2_name"
)

// variableOf is the dashboard's variable for a label; empty if it has none.
func variableOf(label string) string {
	switch label {
	case labelInstance:
		return "instance"
	case labelModel:
		return "model"
	case labelSalt:
		return "salt"
	case labelAdapter:
		return "adapter"
	}
	return ""
}

// promql writes expressions over the metrics of the registry. Its methods take the
// labels to group by as one text ("instance, op"; empty: none), and some of them
// matchers in addition to those of the dashboard's variables (`op="store"`).
type promql struct {
	metrics map[string]observe.Metric // by OTel name
	window  string                    // range of rates
	filter  bool                      // match the dashboard's variables
}

func newPromQL(window string, filter bool) promql {
	q := promql{metrics: map[string]observe.Metric{}, window: window, filter: filter}
	for _, m := range observe.Metrics() {
		q.metrics[m.Name] = m
	}
	return q
}

// over is q with another range of rates.
func (q promql) over(window string) promql {
	q.window = window
	return q
}

// metric is a row of the registry. The name may lack the prefix.
func (q promql) metric(name string) observe.Metric {
	if m, ok := q.metrics[prefix+name]; ok {
		return m
	}
	m, ok := q.metrics[name]
	if !ok {
		panic("artefact: " + name + " is not in the registry of metrics")
	}
	return m
}

// series selects the series of a metric. Suffix is that of a histogram's parts.
func (q promql) series(name, suffix string, match ...string) string {
	m := q.metric(name)
	if (m.Kind == observe.Histogram) != (suffix != "") {
		panic("artefact: " + name + " is a " + m.Kind.String())
	}
	var matchers []string
	if q.filter {
		for _, label := range append([]string{labelInstance}, m.Keys()...) {
			if v := variableOf(label); v != "" {
				matchers = append(matchers, label+`=~"$`+v+`"`)
			}
		}
	}
	matchers = append(matchers, match...)
	text := m.PrometheusName() + suffix
	if len(matchers) > 0 {
		text += "{" + strings.Join(matchers, ",") + "}"
	}
	return text
}

// by is the grouping of an aggregation. A label that the metric does not have is a
// mistake.
func (q promql) by(labels, name string) string {
	if labels == "" {
		return ""
	}
	known := append(q.metric(name).Keys(), labelInstance, "le")
	for label := range strings.SplitSeq(labels, ", ") {
		if !slices.Contains(known, label) {
			panic("artefact: " + name + " has no label " + label)
		}
	}
	return " by (" + labels + ") "
}

// sum adds the values of a gauge.
func (q promql) sum(by, name string) string {
	return "sum" + q.by(by, name) + "(" + q.series(name, "") + ")"
}

// max is the greatest value of a gauge.
func (q promql) max(by, name string, match ...string) string {
	return "max" + q.by(by, name) + "(" + q.series(name, "", match...) + ")"
}

// rate is the increase of a counter per second.
func (q promql) rate(by, name string) string {
	return q.counter("rate", by, name, "", nil)
}

// increase is that of a counter within the range.
func (q promql) increase(by, name string) string {
	return q.counter("increase", by, name, "", nil)
}

// samples is how many values a histogram got per second.
func (q promql) samples(by, name string) string {
	return q.counter("rate", by, name, "_count", nil)
}

func (q promql) counter(function, by, name, suffix string, match []string) string {
	return "sum" + q.by(by, name) + "(" + function + "(" + q.series(name, suffix, match...) + "[" + q.window + "]))"
}

// ratio is the rate of one counter over that of another, each summed first: a
// quotient of single series breaks where the label sets differ.
func (q promql) ratio(by, part, whole string) string {
	return q.rate(by, part) + " / " + q.rate(by, whole)
}

// mean is the average of a histogram's values.
func (q promql) mean(by, name string) string {
	return q.counter("rate", by, name, "_sum", nil) + " / " + q.counter("rate", by, name, "_count", nil)
}

// quantile is a quantile of a histogram, of all series of a group together.
func (q promql) quantile(p, by, name string, match ...string) string {
	if by != "" {
		by = ", " + by
	}
	return "histogram_quantile(" + p + ", " + q.counter("rate", "le"+by, name, "_bucket", match) + ")"
}

// since is how much a counter grew within the range. Unlike increase it counts a
// series that appeared with its first event.
func (q promql) since(by, name string) string {
	sum := func(offset string) string { return "sum" + q.by(by, name) + "(" + q.series(name, "") + offset + ")" }
	return sum("") + " - (" + sum(" offset "+q.window) + " or " + sum("") + " * 0)"
}
