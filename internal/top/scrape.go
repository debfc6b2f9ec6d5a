package top

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// MaxPage is how many bytes of a metrics page are read. A page with 10,000 tenants has
// about a tenth of them.
const MaxPage = 64 << 20

// errPageSize says that a page is larger than MaxPage.
var errPageSize = fmt.Errorf("more than %d MiB of metrics", MaxPage>>20)

// Scrape is what one reading of a metrics page found, as far as it is shown.
type Scrape struct {
	At       time.Time
	families map[string][]series // in the order of key
}

// series is one line of a page, or the lines of one histogram.
type series struct {
	labels  map[string]string
	key     string // all labels, for comparison
	value   float64
	buckets []bucket // of a histogram, by bound, cumulative
	sum     float64
}

// bucket is the number of values up to a bound.
type bucket struct{ upTo, count float64 }

// Parse reads a metrics page in Prometheus' text format. Families that are not of the
// cache or of its process are dropped. It reads no more than MaxPage bytes.
func Parse(page io.Reader, at time.Time) (*Scrape, error) {
	limited := &io.LimitedReader{R: page, N: MaxPage + 1}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(limited)
	if limited.N <= 0 {
		return nil, errPageSize
	}
	if err != nil {
		return nil, fmt.Errorf("not a page of metrics: %w", err)
	}
	if len(families) == 0 {
		return nil, errors.New("a page without metrics")
	}
	s := &Scrape{At: at, families: make(map[string][]series)}
	for name, f := range families {
		if !strings.HasPrefix(name, "lmcache_") && !strings.HasPrefix(name, "process_") {
			continue
		}
		list := make([]series, 0, len(f.GetMetric()))
		for _, m := range f.GetMetric() {
			list = append(list, newSeries(m))
		}
		slices.SortStableFunc(list, func(a, b series) int { return cmp.Compare(a.key, b.key) })
		s.families[name] = list
	}
	return s, nil
}

func newSeries(m *dto.Metric) series {
	s := series{labels: make(map[string]string, len(m.GetLabel()))}
	var key strings.Builder
	labels := slices.Clone(m.GetLabel())
	slices.SortFunc(labels, func(a, b *dto.LabelPair) int { return cmp.Compare(a.GetName(), b.GetName()) })
	for _, l := range labels {
		s.labels[l.GetName()] = l.GetValue()
		fmt.Fprintf(&key, "%q=%q,", l.GetName(), l.GetValue())
	}
	s.key = key.String()
	switch {
	case m.Counter != nil:
		s.value = m.GetCounter().GetValue()
	case m.Gauge != nil:
		s.value = m.GetGauge().GetValue()
	case m.Untyped != nil:
		s.value = m.GetUntyped().GetValue()
	case m.Histogram != nil:
		h := m.GetHistogram()
		s.value, s.sum = float64(h.GetSampleCount()), h.GetSampleSum()
		for _, b := range h.GetBucket() {
			s.buckets = append(s.buckets, bucket{b.GetUpperBound(), float64(b.GetCumulativeCount())})
		}
		slices.SortFunc(s.buckets, func(a, b bucket) int { return cmp.Compare(a.upTo, b.upTo) })
	}
	return s
}

// later are names of the same values in LMCache's later releases.
var later = map[string]string{
	"lmcache_mp_l1_read_keys_total":          "lmcache_mp_l1_read_chunks_total",
	"lmcache_mp_l1_write_keys_total":         "lmcache_mp_l1_write_chunks_total",
	"lmcache_mp_l1_evicted_keys_total":       "lmcache_mp_l1_evicted_chunks_total",
	"lmcache_mp_l1_allocation_failure_total": "lmcache_mp_l1_allocation_failure_chunks_total",
	"lmcache_mp_l1_read_failure_total":       "lmcache_mp_l1_read_failure_chunks_total",
	"lmcache_mp_l2_prefetch_failure_total":   "lmcache_mp_l2_prefetch_failure_chunks_total",
	"lmcache_mp_l2_store_completed_total":    "lmcache_mp_l2_store_completed_requests_total",
	"lmcache_mp_l2_load_completed_total":     "lmcache_mp_l2_load_completed_requests_total",
	"lmcache_mp_l0_l1_store_throughput_gbs":  "lmcache_mp_l0_l1_store_throughput_GB_per_second",
	"lmcache_mp_l0_l1_load_throughput_gbs":   "lmcache_mp_l0_l1_load_throughput_GB_per_second",
	"lmcache_mp_l2_store_throughput_gbs":     "lmcache_mp_l2_store_throughput_GB_per_second",
	"lmcache_mp_l2_load_throughput_gbs":      "lmcache_mp_l2_load_throughput_GB_per_second",
	"lmcache_mp_lookups_total":               "lmcache_mp_lookups_requests_total",
	"lmcache_mp_lookup_early_exit_total":     "lmcache_mp_lookup_early_exit_requests_total",
}

// list is the family of a name, or of its later name; nil if the page has neither.
func (s *Scrape) list(name string) []series {
	if s == nil {
		return nil
	}
	if l, ok := s.families[name]; ok {
		return l
	}
	return s.families[later[name]]
}

// gauge is the value of a family with one series; NaN if there is none.
func (s *Scrape) gauge(name string) Number {
	if l := s.list(name); len(l) > 0 {
		return Number(l[0].value)
	}
	return none
}

// find is the series of a family with a key; one that is 0 if there is none.
func find(list []series, key string) series {
	i, ok := slices.BinarySearchFunc(list, key, func(s series, key string) int { return cmp.Compare(s.key, key) })
	if !ok {
		return series{}
	}
	return list[i]
}
