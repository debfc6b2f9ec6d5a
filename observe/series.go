package observe

import "go.opentelemetry.io/otel/metric"

// maxKeys is the largest number of attributes of a metric in the table.
const maxKeys = 3

// values are the attribute values of one series in order of declaration; what a
// metric does not have is empty.
type values [maxKeys]string

// of are the values that m has.
func (v values) of(m *Metric) []string { return v[:len(m.Attributes)] }

// single adds up in a plain integer that belongs to the goroutine of its
// subscriber, and gives the sum to its instrument once per batch.
type single struct {
	n       int64
	counter metric.Int64Counter
	refused *refused
	name    string
}

// add counts n, or refuses it if it is negative.
func (s *single) add(n int) {
	if n < 0 {
		s.refused.count(s.name, reasonNegative)
		return
	}
	s.n += int64(n)
}

func (s *single) flush() {
	if s.n != 0 {
		s.counter.Add(background(), s.n)
		s.n = 0
	}
}

// series is one series of a family.
type series struct {
	n       int64
	touched bool // and not flushed since
	opts    []metric.AddOption
}

// family is single with attributes. Series are built once; a batch flushes only
// those that it touched.
type family struct {
	m       *Metric
	counter metric.Int64Counter
	labels  *Labels
	refused *refused
	series  map[values]*series
	touched []*series
	last    *series // of lastKey, which no guard had to fold
	lastKey values
}

// add counts n for the series of k, or refuses it if it is negative. Adding 0
// shows the series.
func (f *family) add(n int, k values) {
	if n < 0 {
		f.refused.count(f.m.Name, reasonNegative)
		return
	}
	s := f.last
	if s == nil || f.lastKey != k {
		s = f.find(k)
	}
	s.n += int64(n)
	if !s.touched {
		s.touched = true
		f.touched = append(f.touched, s)
	}
}

// find looks up or makes the series of k behind the label guard.
func (f *family) find(k values) *series {
	raw := k
	for i, a := range f.m.Attributes {
		k[i] = f.labels.fold(a.Key, k[i])
	}
	s, ok := f.series[k]
	if !ok {
		s = &series{opts: []metric.AddOption{metric.WithAttributeSet(f.labels.census.set(f.m, 1, k.of(f.m)...))}}
		f.series[k] = s
	}
	f.last = nil
	if raw == k { // what is folded is counted each time
		f.last, f.lastKey = s, k
	}
	return s
}

func (f *family) flush() {
	for i, s := range f.touched {
		f.counter.Add(background(), s.n, s.opts...)
		s.n, s.touched = 0, false
		f.touched[i] = nil
	}
	f.touched = f.touched[:0]
}

// bound is single for what one bound of one subscriber pushed out.
type bound struct {
	n       int64
	counter metric.Int64Counter
	opts    []metric.AddOption
}

// count counts one if it was pushed out.
func (b *bound) count(pushed bool) {
	if pushed {
		b.n++
	}
}

func (b *bound) flush() {
	if b.n != 0 {
		b.counter.Add(background(), b.n, b.opts...)
		b.n = 0
	}
}
