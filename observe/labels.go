package observe

import (
	"fmt"
	"sync"

	"go.opentelemetry.io/otel/metric"
)

// DefaultLabelLimit is how many values of one label keep series of their own.
const DefaultLabelLimit = 200

// otherLabel is the value under which further values count.
const otherLabel = "__other__"

// Labels bounds the number of values of the labels that come from outside,
// cache_salt and model_name: the first ones keep series of their own, further
// ones count under __other__, so that totals stay exact. The subscribers of one
// provider share one. It is safe for concurrent use; the zero value lets
// everything pass. It also knows what series the subscribers have made, and what has
// been counted of sources that keep their own counts.
type Labels struct {
	census census
	taken  taken

	limit    int
	m        *Metric
	overflow metric.Int64Counter
	mu       struct {
		sync.RWMutex
		seen map[string]map[string]struct{} // label → values
	}
}

// NewLabels returns a guard that admits limit values per label, 0 meaning
// [DefaultLabelLimit], and counts on mp how often others were folded.
func NewLabels(mp metric.MeterProvider, limit int) (*Labels, error) {
	if mp == nil {
		return nil, errNoProvider
	}
	if limit < 0 {
		return nil, fmt.Errorf("observe: label limit %d: must be at least 1", limit)
	}
	if limit == 0 {
		limit = DefaultLabelLimit
	}
	l := &Labels{limit: limit, m: find(nameOverflow)}
	in := instruments{mp: mp, labels: l}
	l.overflow = in.int64Counter(l.m)
	l.mu.seen = map[string]map[string]struct{}{keySalt: {}, keyModel: {}}
	return l, in.err()
}

// orAll is l, or a guard that lets everything pass.
func (l *Labels) orAll() *Labels {
	if l == nil {
		return &Labels{}
	}
	return l
}

// fold returns value if it may have a series of its own, else the common one.
func (l *Labels) fold(label, value string) string {
	if l.overflow == nil || (label != keySalt && label != keyModel) {
		return value
	}
	if l.admit(label, value) {
		return value
	}
	l.overflow.Add(background(), 1, metric.WithAttributeSet(l.census.set(l.m, 1, label)))
	return otherLabel
}

func (l *Labels) admit(label, value string) bool {
	l.mu.RLock()
	_, ok := l.mu.seen[label][value]
	full := len(l.mu.seen[label]) >= l.limit
	l.mu.RUnlock()
	if ok || full {
		return ok
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, ok = l.mu.seen[label][value]; !ok && len(l.mu.seen[label]) < l.limit {
		l.mu.seen[label][value] = struct{}{}
		ok = true
	}
	return ok
}
