package observe

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lmcache-go/lmcache/eventbus"
	"github.com/lmcache-go/lmcache/storage"
)

var update = flag.Bool("update", false, "write the golden files")

// golden compares got with a file, or writes it.
func golden(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s differs (-want +got); if it should, run the test with -update:\n%s", path, diff)
	}
}

// Names are API: every change of one shows in the golden file.
func TestREQ_O1_names(t *testing.T) {
	var b bytes.Buffer
	for _, m := range Metrics() {
		fmt.Fprintf(&b, "%s\n  prometheus  %s\n  kind        %s\n  meter       %s\n  unit        %q\n  help        %s\n",
			m.Name, m.PrometheusName(), m.Kind, m.Meter, m.Unit, m.Help)
		for _, a := range m.Attributes {
			fmt.Fprintf(&b, "  attribute   %s %s\n", a.Key, strings.Join(a.Values, "|"))
		}
		if bounds := Tuned.Bounds(m.Grid); bounds != nil {
			fmt.Fprintf(&b, "  buckets     %v\n", bounds)
		}
	}
	golden(t, "testdata/metrics.golden", b.Bytes())
}

func TestMetricsMarkdown(t *testing.T) {
	var b bytes.Buffer
	if err := WriteMetricsMarkdown(&b); err != nil {
		t.Fatal(err)
	}
	golden(t, "../docs/METRICS.md", b.Bytes())
}

func TestTable(t *testing.T) {
	names, rows := make(map[string]bool), make(map[int]bool)
	for _, m := range Metrics() {
		t.Run(m.Name, func(t *testing.T) {
			prom := m.PrometheusName()
			if names[m.Name] || names[prom] {
				t.Error("name used twice")
			}
			names[m.Name], names[prom] = true, true
			if m.Row > 0 && rows[m.Row] {
				t.Errorf("row %d used twice", m.Row)
			}
			rows[m.Row] = true
			counter := m.Kind == Counter || m.Kind == ObservableCounter
			if counter != strings.HasSuffix(prom, "_total") || strings.Count(prom, "_total") > 1 {
				t.Errorf("%s is a %s", prom, m.Kind)
			}
			if strings.Trim(prom, "abcdefghijklmnopqrstuvwxyz0123456789_") != "" {
				t.Errorf("%q is no Prometheus name", prom)
			}
			if m.Meter == "" || m.Source == "" || m.Value == "" {
				t.Error("meter, source or value missing")
			}
			if !strings.HasSuffix(m.Help, ".") || strings.ContainsAny(m.Help, "\n|") {
				t.Errorf("help: %q", m.Help)
			}
			if (m.Kind == Histogram) != (m.Grid != NoGrid) || m.Kind == Histogram && !m.Float {
				t.Error("a histogram, and nothing else, has a grid and is floating point")
			}
			keys := m.Keys()
			if len(keys) > maxKeys {
				t.Errorf("%d attributes, limit %d", len(keys), maxKeys)
			}
			slices.Sort(keys)
			if len(slices.Compact(keys)) != len(m.Attributes) {
				t.Error("attribute key twice")
			}
		})
	}
}

// The table is not shared: a caller cannot change what instruments are made from.
func TestMetricsIsACopy(t *testing.T) {
	a := Metrics()
	a[0].Name = "x"
	for i := range a {
		for j := range a[i].Attributes {
			a[i].Attributes[j].Key = "x"
		}
	}
	for _, m := range Metrics() {
		if m.Name == "x" || slices.Contains(m.Keys(), "x") {
			t.Fatal("the table was changed")
		}
	}
}

// Everything that is registered is in the table, and the other way round.
func TestNothingElseIsRegistered(t *testing.T) {
	for _, buckets := range []Buckets{"", Tuned, Default} {
		rec, bus := newRecorder(), eventbus.New(eventbus.Options{Manual: true})
		ob := start(t, bus, rec, Options{Buckets: buckets})
		if err := ob.Watch(Sources{Engine: &fakeEngine{}, Bus: bus, Spans: []SpanStatsSource{&fakeSpans{}}, Recorder: fakeRecorder{}}); err != nil {
			t.Fatal(err)
		}
		want := make(map[string]instrument)
		for _, m := range Metrics() {
			want[m.Name] = instrument{meter: m.Meter, kind: m.Kind.String(), unit: m.Unit, help: m.Help, bounds: buckets.Bounds(m.Grid)}
		}
		if diff := cmp.Diff(want, rec.created, cmp.AllowUnexported(instrument{})); diff != "" {
			t.Errorf("buckets %q (-table +registered):\n%s", buckets, diff)
		}
	}
}

// REQ-O29.
func TestBuckets(t *testing.T) {
	for b, want := range map[Buckets]string{
		Default: "0 5 10 25 50 75 100 250 500 750 1000 2500 5000 7500 10000",
		Tuned: "0.00001 0.000025 0.00005 0.0001 0.00025 0.0005 0.001 0.0025 0.005 0.01 0.025 0.05 " +
			"0.1 0.25 0.5 1 2.5 5 10 25 50 60",
	} {
		var got []string
		for _, v := range b.Bounds(OperationGrid) {
			got = append(got, strconv.FormatFloat(v, 'f', -1, 64))
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: got %v, want %s", b, got, want)
		}
		if b.Bounds(NoGrid) != nil {
			t.Errorf("%s: bounds without a grid", b)
		}
	}
	if err := Buckets("fine").Validate(); err == nil || !strings.Contains(err.Error(), `"fine"`) {
		t.Errorf("unknown grid: %v", err)
	}
}

// The reasons of chunk_misses are those of the storage layer, none missing.
func TestMissReasons(t *testing.T) {
	names := missReasons()
	if len(names) != len(storage.MissCounts{})-1 || slices.Contains(names, "") || slices.Contains(names, "unknown") {
		t.Errorf("%d reasons: %q", len(names), names)
	}
	if names[0] != "absent" || names[len(names)-1] != "no_layout" {
		t.Errorf("reasons: %q", names)
	}
}

func TestCombinations(t *testing.T) {
	m := Metric{Attributes: []Attribute{{Key: "a", Values: []string{"1", "2"}}, {Key: "m"}, {Key: "b", Values: []string{"x", "y"}}}}
	if _, ok := m.combinations(nil); ok {
		t.Error("known without m")
	}
	got, ok := m.combinations(map[string]string{"m": ""})
	want := [][]string{{"1", "", "x"}, {"1", "", "y"}, {"2", "", "x"}, {"2", "", "y"}}
	if diff := cmp.Diff(want, got); !ok || diff != "" {
		t.Errorf("ok=%v (-want +got):\n%s", ok, diff)
	}
	if got, ok := (&Metric{}).combinations(nil); !ok || len(got) != 1 || len(got[0]) != 0 {
		t.Errorf("without attributes: %v %v", got, ok)
	}
}
