package top_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"

	"github.com/lmcache-go/lmcache/internal/top"
)

// delimited writes what a registry has gathered in the format with traces.
func delimited(t *testing.T, families []*dto.MetricFamily) []byte {
	t.Helper()
	var b bytes.Buffer
	enc := expfmt.NewEncoder(&b, expfmt.NewFormat(expfmt.TypeProtoDelim))
	for _, f := range families {
		if err := enc.Encode(f); err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes()
}

var protobuf = string(expfmt.NewFormat(expfmt.TypeProtoDelim))

// The format with traces says the same as text, and which trace the last slow operation
// belongs to. A bucket that appears with its first exemplar is no reset.
func TestDelimited(t *testing.T) {
	registry := prometheus.NewRegistry()
	seconds := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "lmcache_mp_operation_duration_seconds", Buckets: []float64{0.1, 1, 10},
	}, []string{"op", "outcome"})
	written := prometheus.NewCounter(prometheus.CounterOpts{Name: "lmcache_mp_l1_write_keys_total"})
	registry.MustRegister(seconds, written)
	gather := func(at time.Time) (text, proto *top.Scrape) {
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		var page bytes.Buffer
		for _, f := range families {
			if _, err := expfmt.MetricFamilyToText(&page, f); err != nil {
				t.Fatal(err)
			}
		}
		if text, err = top.Parse(&page, "text/plain; version=0.0.4", at); err != nil {
			t.Fatal(err)
		}
		if proto, err = top.Parse(bytes.NewReader(delimited(t, families)), protobuf, at); err != nil {
			t.Fatal(err)
		}
		return text, proto
	}
	observe := func(v float64, trace string) {
		seconds.WithLabelValues("store", "ok").(prometheus.ExemplarObserver).ObserveWithExemplar(v, prometheus.Labels{"trace_id": trace})
	}
	written.Add(5)
	observe(0.05, "fast")
	observe(5, "slow")
	text0, proto0 := gather(start)
	written.Add(20)
	observe(50, "slowest")
	observe(0.06, "fast too")
	text1, proto1 := gather(start.Add(interval))
	want, got := top.Build(text0, text1, top.Options{}), top.Build(proto0, proto1, top.Options{})
	if got.Slow[0].Trace != "slowest" || got.Slow[0].Now != 1 || got.Slow[0].Total != 2 {
		t.Errorf("slow: %+v", got.Slow)
	}
	if shown := top.Render(got, top.View{Width: 100}); !strings.Contains(shown, "last trace") || !strings.Contains(shown, "slowest\n") {
		t.Errorf("the trace is not shown:\n%s", shown)
	}
	got.Slow[0].Trace = ""
	if diff := cmp.Diff(want, got, numbers); diff != "" {
		t.Errorf("frame (-text +delimited):\n%s", diff)
	}
}

// A length that is a lie costs no memory.
func TestDelimitedLies(t *testing.T) {
	for name, page := range map[string][]byte{
		"a huge length":  {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 1, 2, 3},
		"a cut family":   delimited(t, []*dto.MetricFamily{{Name: new("lmcache_mp_x")}})[:5],
		"no end":         bytes.Repeat([]byte{0xff}, 20),
		"another format": []byte("lmcache_mp_x 1\n"),
	} {
		if _, err := top.Parse(bytes.NewReader(page), protobuf, start); err == nil || !strings.Contains(err.Error(), "not a page of metrics") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
