package export_test

import (
	"fmt"
	"maps"
	"math"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/lmcache-go/lmcache"
	"github.com/lmcache-go/lmcache/eventbus"
	"github.com/lmcache-go/lmcache/observe"
	"github.com/lmcache-go/lmcache/observe/export"
	"github.com/lmcache-go/lmcache/storage/kv"
)

var epoch = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// fakeEngine has the Stats it is told.
type fakeEngine struct{ stats lmcache.Stats }

func (e *fakeEngine) Stats() lmcache.Stats { return e.stats }

// rig is a live bus with the default observer and a scraper, all of it real.
type rig struct {
	bus *eventbus.Bus
	ob  *observe.Observer
	m   *export.Metrics
	url string
}

func newRig(t testing.TB, bus eventbus.Options, o observe.Options, s observe.Sources) *rig {
	t.Helper()
	r := &rig{bus: eventbus.New(bus), m: open(t, export.Options{Compat: o.Compat})}
	r.url = listen(t, r.m)
	var err error
	if r.ob, err = observe.Start(r.bus, r.m.MeterProvider(), o); err != nil {
		t.Fatal(err)
	}
	s.Bus = r.bus
	if err := r.ob.Watch(s); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.bus.Close(t.Context()); err != nil && t.Context().Err() == nil {
			t.Error(err)
		}
		if err := r.ob.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

func publish[E eventbus.Event](r *rig, e E) { publishAt(r, 10, e) }

func publishAt[E eventbus.Event](r *rig, seconds float64, e E) {
	eventbus.TopicOf[E](r.bus).PublishAt(e, epoch.Add(time.Duration(seconds*float64(time.Second))))
}

func (r *rig) flush(t testing.TB) {
	t.Helper()
	if err := r.bus.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// scrape fetches and parses, and checks what must hold for every scrape: one HELP
// and one TYPE line per name, and the same label keys on all points of a name.
func (r *rig) scrape(t testing.TB) map[string]*dto.MetricFamily {
	t.Helper()
	res, body := fetch(t, r.url, nil)
	if res.StatusCode != http.StatusOK {
		t.Fatalf("scrape: %d %s", res.StatusCode, body)
	}
	return parse(t, body)
}

func parse(t testing.TB, body string) map[string]*dto.MetricFamily {
	t.Helper()
	seen := make(map[string]int)
	for line := range strings.Lines(body) {
		if f := strings.Fields(line); f[0] == "#" {
			seen[f[1]+" "+f[2]]++
		}
	}
	for what, n := range seen {
		if n != 1 {
			t.Errorf("%d lines of %s", n, what)
		}
	}
	p := expfmt.NewTextParser(model.LegacyValidation)
	families, err := p.TextToMetricFamilies(strings.NewReader(body))
	if err != nil {
		t.Fatalf("parse: %v\n%s", err, body)
	}
	for name, f := range families {
		if seen["HELP "+name] != 1 || seen["TYPE "+name] != 1 {
			t.Errorf("%s lacks HELP or TYPE", name)
		}
		var keys []string
		for i, m := range f.Metric {
			if k := labelKeys(m); i == 0 {
				keys = k
			} else if !slices.Equal(keys, k) {
				t.Errorf("%s: label keys %q and %q", name, keys, k)
			}
		}
	}
	return families
}

func labelKeys(m *dto.Metric) []string {
	var keys []string
	for _, l := range m.Label {
		keys = append(keys, l.GetName())
	}
	slices.Sort(keys)
	return keys
}

// series spells every series of the families with its value; of a histogram, count and sum.
func series(families map[string]*dto.MetricFamily) map[string]float64 {
	out := make(map[string]float64)
	for name, f := range families {
		for _, m := range f.Metric {
			var labels []string
			for _, l := range m.Label {
				labels = append(labels, fmt.Sprintf("%s=%q", l.GetName(), l.GetValue()))
			}
			slices.Sort(labels)
			text := ""
			if len(labels) > 0 {
				text = "{" + strings.Join(labels, ",") + "}"
			}
			switch {
			case m.Counter != nil:
				out[name+text] = m.Counter.GetValue()
			case m.Gauge != nil:
				out[name+text] = m.Gauge.GetValue()
			case m.Histogram != nil:
				out[name+"_count"+text] = float64(m.Histogram.GetSampleCount())
				out[name+"_sum"+text] = math.Round(m.Histogram.GetSampleSum()*1e9) / 1e9
			default:
				out[name+text] = math.NaN()
			}
		}
	}
	return out
}

// nonZero are the series that moved, without those that describe the process.
func nonZero(all map[string]float64) map[string]float64 {
	moved := maps.Clone(all)
	maps.DeleteFunc(moved, func(s string, v float64) bool {
		for _, other := range []string{"target_info", "lmcache_mp_build_info", "lmcache_mp_observability_"} { // they have tests of their own
			if strings.HasPrefix(s, other) {
				return true
			}
		}
		return v == 0
	})
	return moved
}

func keys(models ...string) []kv.Key {
	ks := make([]kv.Key, len(models))
	for i, m := range models {
		ks[i] = kv.Key{Hash: kv.Hash32([32]byte{byte(i)}), Model: m}
	}
	return ks
}

func someKeys(n int) []kv.Key { return keys(make([]string, n)...) }
