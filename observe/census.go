package observe

import (
	"sync"

	"go.opentelemetry.io/otel/attribute"
)

// census knows the series of the counters and histograms of one provider, which
// are made by several subscribers. It is safe for concurrent use.
type census struct {
	mu sync.Mutex
	by map[string]*counted // by OTel name
}

// counted are the series of one metric.
type counted struct {
	lines int // of a series in a scrape
	sets  map[attribute.Distinct]struct{}
}

// set is the attribute set of a series that is about to exist.
func (c *census) set(m *Metric, lines int, values ...string) attribute.Set {
	set := m.set(values...)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.by == nil {
		c.by = make(map[string]*counted)
	}
	n := c.by[m.Name]
	if n == nil {
		n = &counted{lines: lines, sets: make(map[attribute.Distinct]struct{})}
		c.by[m.Name] = n
	}
	n.sets[set.Equivalent()] = struct{}{}
	return set
}

// each gives the number of lines that a scrape has of each metric.
func (c *census) each(f func(name string, lines int)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for name, n := range c.by {
		f(name, n.lines*len(n.sets))
	}
}
