package observe

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// WriteMetricsMarkdown writes the reference of all metrics, from the table that
// the instruments come from.
func WriteMetricsMarkdown(w io.Writer) error {
	var b strings.Builder
	b.WriteString(markdownHead)
	var meters []string
	for _, m := range table() {
		if !slices.Contains(meters, m.Meter) {
			meters = append(meters, m.Meter)
		}
	}
	for _, meter := range meters {
		fmt.Fprintf(&b, "\n## Meter `%s`\n", meter)
		for _, m := range table() {
			if m.Meter == meter {
				m.markdown(&b)
			}
		}
	}
	b.WriteString(markdownFoot)
	_, err := io.WriteString(w, b.String())
	return err
}

const markdownHead = `# Metrics

Generated from the table in package observe; do not edit.

Every metric has an OpenTelemetry name and a Prometheus name: dots become underscores, counters end in one ` + "`_total`" + `, and no unit is
added. Histograms have ` + "`_bucket`, `_sum` and `_count`" + ` under the Prometheus name. *Row* is the number in LMCache's documentation; metrics
without one are additions. Every point of a metric has all its attributes; a value that is not known is empty.

What is *sampled* follows a share of all chunks, blocks or transfers (` + "`--metrics-sample-rate`, 0.01" + `). Chunks are chosen by a hash of
their key, so that every server and every run chooses the same ones. What a subscriber remembers is bounded; what it had to forget is
counted in ` + "`lmcache_mp_subscriber_overflow_total`" + `.
`

const markdownFoot = `
## Labels

The values of ` + "`cache_salt` and `model_name`" + ` come from outside. Of each, the first 200 (` + "`--metrics-label-limit`" + `) have series of their
own; further ones count under ` + "`__other__`" + `, so that totals stay exact, and ` + "`lmcache_mp_metrics_label_overflow_total`" + ` says that it
happened. A Prometheus that should not store tenants drops the label as it scrapes. Where one tenant is used, nothing else changes; with
several, series that differ in the label alone fall together, and a recording rule that sums them (` + "`sum without (cache_salt)`" + `) has to
be kept instead:

` + "```yaml" + `
scrape_configs:
  - job_name: lmcache-mp
    static_configs:
      - targets: ["<lmcache-host>:9090"]
    metric_relabel_configs:
      - action: labeldrop
        regex: cache_salt
` + "```" + `

## Later names

Later releases of LMCache have other Prometheus names for some metrics. With ` + "`--metrics-compat later`" + ` a scrape has each of these a second
time under its *later name*, with the same labels and value. They are not pushed by OTLP, which has the OTel names.

## Hit rate

` + "```promql" + `
sum(rate(lmcache_mp_lookup_hit_tokens_total[5m])) / sum(rate(lmcache_mp_lookup_requested_tokens_total[5m]))
` + "```" + `

Use ` + "`by (model_name)` or `by (cache_salt)`" + ` on both sides for a part of it, and always sum first.
`

// markdown writes the section of one metric.
func (m *Metric) markdown(b *strings.Builder) {
	fmt.Fprintf(b, "\n### `%s`\n\n%s\n\n| | |\n|---|---|\n", m.PrometheusName(), m.Help)
	row := func(name, text string) {
		if text != "" {
			fmt.Fprintf(b, "| %s | %s |\n", name, text)
		}
	}
	if m.Row > 0 {
		row("Row", strconv.Itoa(m.Row))
	}
	row("OTel name", "`"+m.Name+"`")
	if m.Alias != "" {
		row("Later name", "`"+m.Alias+"`")
	}
	kind := m.Kind.String()
	if m.Sampled {
		kind += ", sampled"
	}
	row("Kind", kind)
	if m.Unit != "" {
		row("Unit", "`"+m.Unit+"`")
	}
	for _, a := range m.Attributes {
		text := "`" + a.Key + "`"
		if a.Int {
			text += ", a number"
		}
		if len(a.Values) > 0 {
			text += ": `" + strings.Join(a.Values, "`, `") + "`"
		}
		row("Attribute", text)
	}
	row("From", "`"+strings.ReplaceAll(m.Source, ", ", "`, `")+"`")
	if m.Unpublished {
		row("Publisher", "none yet: nothing in this version publishes the event")
	}
	row("Value", m.Value)
	if bounds := Tuned.Bounds(m.Grid); len(bounds) > 0 {
		text := make([]string, len(bounds))
		for i, v := range bounds {
			text[i] = strconv.FormatFloat(v, 'f', -1, 64)
		}
		row("Buckets", strings.Join(text, ", "))
	}
}
