package artefact

import (
	"fmt"
	"slices"
	"strings"
)

// parseScrape reads the text that a server shows to Prometheus, in the classic
// format or in OpenMetrics. It takes types and label names, and no values.
func parseScrape(text string) (*Inventory, error) {
	v := &Inventory{scrape: true, metrics: map[string]entry{}}
	number := 0
	for line := range strings.Lines(text) {
		number++
		line = strings.TrimSpace(line)
		if after, ok := strings.CutPrefix(line, "# TYPE "); ok {
			name, kind, _ := strings.Cut(after, " ")
			if kind == "counter" && !strings.HasSuffix(name, "_total") { // OpenMetrics names the family without it
				name += "_total"
			}
			if strings.HasPrefix(name, own) {
				v.metrics[name] = entry{kind: kind}
			}
			continue
		}
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, labels, err := parseSample(line)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", number, err)
		}
		v.sample(name, labels)
	}
	return v, nil
}

// sample adds the labels of a series to its metric.
func (v *Inventory) sample(name string, labels []string) {
	m, ok := v.metrics[name]
	if !ok {
		for _, suffix := range []string{"_bucket", "_sum", "_count"} {
			family, cut := strings.CutSuffix(name, suffix)
			if m, ok = v.metrics[family]; cut && ok {
				name = family
				break
			}
		}
	}
	if !ok {
		return
	}
	if m.labels == nil {
		m.labels = []string{}
	}
	for _, l := range labels {
		if !slices.Contains(m.labels, l) && (l != "le" || m.kind != "histogram") {
			m.labels = append(m.labels, l)
		}
	}
	slices.Sort(m.labels)
	v.metrics[name] = m
}

// parseSample takes the name and the label names from the line of a sample.
func parseSample(line string) (name string, labels []string, err error) {
	end := strings.IndexAny(line, "{ \t")
	if end <= 0 {
		return "", nil, fmt.Errorf("is no sample: %.60q", line)
	}
	name = line[:end]
	if line[end] != '{' {
		return name, nil, nil
	}
	rest := line[end+1:]
	for {
		rest = strings.TrimLeft(rest, ", ")
		if strings.HasPrefix(rest, "}") {
			return name, labels, nil
		}
		key, value, ok := strings.Cut(rest, `="`)
		if !ok {
			return "", nil, fmt.Errorf("labels do not end: %.60q", line)
		}
		labels = append(labels, key)
		n := quoted(value)
		if n < 0 {
			return "", nil, fmt.Errorf("the value of label %.60q does not end", key)
		}
		rest = value[n+1:]
	}
}

// quoted is where the quote that ends a text lies; -1: nowhere. A backslash takes
// the meaning from what follows it.
func quoted(text string) int {
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '"':
			return i
		}
	}
	return -1
}
