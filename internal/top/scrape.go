package top

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
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
	buckets []bucket // of a histogram, by bound, cumulative; the last bound is infinite
	sum     float64
	traces  []traced // of a histogram
}

// traced is a value of a histogram whose trace is known.
type traced struct {
	value float64
	at    time.Time
	trace string
}

// bucket is the number of values up to a bound.
type bucket struct{ upTo, count float64 }

// Parse reads a metrics page in one of Prometheus' formats, as its content type says:
// delimited protocol buffers, which have traces, or text. Families that are not of the
// cache or of its process are dropped. It reads no more than MaxPage bytes.
func Parse(page io.Reader, contentType string, at time.Time) (*Scrape, error) {
	limited := &io.LimitedReader{R: page, N: MaxPage + 1}
	var families map[string]*dto.MetricFamily
	var err error
	if format := expfmt.ResponseFormat(http.Header{"Content-Type": {contentType}}); format.FormatType() == expfmt.TypeProtoDelim {
		families, err = parseDelimited(limited, format)
	} else {
		parser := expfmt.NewTextParser(model.UTF8Validation)
		families, err = parser.TextToMetricFamilies(limited)
	}
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

// parseDelimited reads families with their lengths before them. No length may be more than
// what is there: the decoder would ask for so much memory.
func parseDelimited(page io.Reader, format expfmt.Format) (map[string]*dto.MetricFamily, error) {
	all, err := io.ReadAll(page)
	if err != nil {
		return nil, err
	}
	for rest := all; len(rest) > 0; {
		n, used := binary.Uvarint(rest)
		if used <= 0 || n > uint64(len(rest)-used) {
			return nil, io.ErrUnexpectedEOF
		}
		rest = rest[used+int(n):]
	}
	families := make(map[string]*dto.MetricFamily)
	for decoder := expfmt.NewDecoder(bytes.NewReader(all), format); ; {
		f := new(dto.MetricFamily)
		if err := decoder.Decode(f); errors.Is(err, io.EOF) {
			return families, nil
		} else if err != nil {
			return nil, err
		}
		families[f.GetName()] = f
	}
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
			for _, l := range b.GetExemplar().GetLabel() {
				if l.GetName() == "trace_id" {
					s.traces = append(s.traces, traced{b.GetExemplar().GetValue(), b.GetExemplar().GetTimestamp().AsTime(), l.GetValue()})
				}
			}
		}
		if n := len(s.buckets); n > 0 && !math.IsInf(s.buckets[n-1].upTo, 1) { // text has it, the other format need not
			s.buckets = append(s.buckets, bucket{math.Inf(1), s.value})
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
