package artefact

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// scrapeText is a scrape with what is hard to read in one.
const scrapeText = `# HELP lmcache_mp_lookups_total Lookups.
# TYPE lmcache_mp_lookups_total counter
lmcache_mp_lookups_total{cache_salt="a\"},b=\"c",model_name="m\\"} 3
lmcache_mp_lookups_total{cache_salt="", model_name="n",} 4 1700000000000
# TYPE lmcache_mp_operation_duration_seconds histogram
lmcache_mp_operation_duration_seconds_bucket{op="store",outcome="ok",le="1"} 1 # {trace_id="abc"} 0.5
lmcache_mp_operation_duration_seconds_bucket{op="store",outcome="ok",le="+Inf"} 1
lmcache_mp_operation_duration_seconds_sum{op="store",outcome="ok"} 0.5
lmcache_mp_operation_duration_seconds_count{op="store",outcome="ok"} 1
# TYPE lmcache_mp_l1_usage_ratio gauge
lmcache_mp_l1_usage_ratio 0.5
# TYPE lmcache_mp_l1_objects gauge
# TYPE go_goroutines gauge
go_goroutines 7
`

func inventoryOf(t *testing.T, text string) *Inventory {
	t.Helper()
	v, err := ReadInventory(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestReadScrape(t *testing.T) {
	want := map[string]entry{
		"lmcache_mp_lookups_total":              {kind: "counter", labels: []string{"cache_salt", "model_name"}},
		"lmcache_mp_operation_duration_seconds": {kind: "histogram", labels: []string{"op", "outcome"}},
		"lmcache_mp_l1_usage_ratio":             {kind: "gauge", labels: []string{}},
		"lmcache_mp_l1_objects":                 {kind: "gauge"},
	}
	open := strings.NewReplacer("# TYPE lmcache_mp_lookups_total", "# TYPE lmcache_mp_lookups").Replace(scrapeText) + "# EOF\n"
	for name, text := range map[string]string{"classic": scrapeText, "OpenMetrics": open} {
		got := inventoryOf(t, text)
		if diff := cmp.Diff(want, got.metrics, cmp.AllowUnexported(entry{})); diff != "" || !got.scrape {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestReadInventoryRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"":                             "no metric whose name begins with lmcache",
		"# TYPE go_goroutines gauge\n": "no metric whose name begins with lmcache",
		"{}":                           "no metric whose name begins with lmcache",
		`{"metrics": 1}`:               "not the JSON of metrics docs",
		"<html>":                       "line 1: is no sample",
		"# x\n\nlmcache_a{b=\"c\n":     `line 3: the value of label "b" does not end`,
		"lmcache_a{b} 1\n":             "line 1: labels do not end",
		"lmcache_a{b=\"\\\"} 1\n":      "line 1: the value of label",
		strings.Repeat("x", 200) + "y 1\n=====\n": "line 2: is no sample",
	} {
		if _, err := ReadInventory(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.30q: %v, want %s", text, err, want)
		}
	}
}

// The JSON of this binary, read again, is equal to itself; a changed name, type,
// unit, label or bucket is found.
func TestDiff(t *testing.T) {
	text := func(change ...string) string {
		var b bytes.Buffer
		if err := NewReference("lmcache-go x").Write(&b); err != nil {
			t.Fatal(err)
		}
		got := b.String()
		for i := 0; i < len(change); i += 2 {
			next := strings.Replace(got, change[i], change[i+1], 1)
			if next == got {
				t.Fatalf("there is no %s", change[i])
			}
			got = next
		}
		return got
	}
	all := len(NewReference("").Metrics)
	before := inventoryOf(t, text())
	if d := Diff(before, NewReference("").Inventory()); d.Breaks() || d.Equal != all || len(d.Added)+len(d.Unseen) > 0 {
		t.Errorf("itself: %+v", d)
	}
	after := inventoryOf(t, text(
		`"name": "lmcache_mp_sm_read_requests_total"`, `"name": "lmcache_mp_sm_reads_total"`,
		`"type": "gauge"`, `"type": "counter"`,
		`"unit": "{chunks}"`, `"unit": "chunks"`,
		`"key": "during"`, `"key": "when"`,
		"262144", "262145",
	))
	got := Diff(before, after)
	grid := "1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216"
	want := Difference{
		Added: []string{"lmcache_mp_sm_reads_total"}, Removed: []string{"lmcache_mp_sm_read_requests_total"}, Unseen: []string{},
		Changed: []Change{
			{"lmcache_mp_active_prefetch_jobs", "type", "gauge", "counter"},
			{"lmcache_mp_l1_allocation_failure_total", "labels", "during, model_name", "model_name, when"},
			{"lmcache_mp_real_reuse_gap_chunks", "unit", "{chunks}", "chunks"},
			{"lmcache_mp_real_reuse_gap_chunks", "buckets", grid, strings.Replace(grid, "262144", "262145", 1)},
		},
		Equal: all - 4,
	}
	if diff := cmp.Diff(want, got); diff != "" || !got.Breaks() {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// A scrape shows what has happened: what it lacks is no loss, and units and buckets
// are not compared. Two scrapes are compared as they are.
func TestDiffOfScrapes(t *testing.T) {
	ref, scrape := NewReference("").Inventory(), inventoryOf(t, scrapeText)
	if d := Diff(ref, scrape); d.Breaks() || d.Equal != 4 || len(d.Unseen) != len(ref.metrics)-4 || len(d.Added) > 0 {
		t.Errorf("reference, scrape: %+v", d)
	}
	if d := Diff(scrape, ref); d.Breaks() || d.Equal != 4 || len(d.Unseen) != len(ref.metrics)-4 || len(d.Added) > 0 {
		t.Errorf("scrape, reference: %+v", d)
	}
	less := inventoryOf(t, strings.NewReplacer("# TYPE lmcache_mp_l1_objects gauge\n", "", `,outcome="ok"`, "").Replace(scrapeText)+"# TYPE lmcache_x gauge\n")
	d := Diff(scrape, less)
	want := Difference{
		Added: []string{"lmcache_x"}, Removed: []string{"lmcache_mp_l1_objects"}, Unseen: []string{},
		Changed: []Change{{"lmcache_mp_operation_duration_seconds", "labels", "op, outcome", "op"}}, Equal: 2,
	}
	if diff := cmp.Diff(want, d); diff != "" {
		t.Errorf("two scrapes (-want +got):\n%s", diff)
	}
	var b bytes.Buffer
	if err := d.WriteText(&b); err != nil {
		t.Fatal(err)
	}
	text := "- lmcache_mp_l1_objects\n+ lmcache_x\n~ lmcache_mp_operation_duration_seconds: labels op, was op, outcome\n" +
		"1 removed, 1 added, 1 changed, 0 unseen, 2 equal\n"
	if b.String() != text {
		t.Errorf("got\n%swant\n%s", b.String(), text)
	}
}

// A server that was asked for later names exports them besides its own.
func TestDiffLaterNames(t *testing.T) {
	ref := NewReference("").Inventory()
	later := inventoryOf(t, scrapeText+"# TYPE lmcache_mp_lookups_requests_total counter\nlmcache_mp_lookups_requests_total{cache_salt=\"\",model_name=\"\"} 0\n")
	for name, d := range map[string]Difference{"reference, scrape": Diff(ref, later), "scrape, reference": Diff(later, ref)} {
		if d.Breaks() || len(d.Added) > 0 || d.Equal != 5 {
			t.Errorf("%s: %d equal, added %v, removed %v", name, d.Equal, d.Added, d.Removed)
		}
	}
}

func FuzzReadInventory(f *testing.F) {
	f.Add(scrapeText)
	f.Add(`{"metrics":[{"name":"lmcache_x","type":"gauge","labels":[{"key":"a"}]}]}`)
	f.Add("lmcache_a{b=\"c\\")
	f.Fuzz(func(t *testing.T, text string) {
		v, err := ReadInventory(strings.NewReader(text))
		if err != nil {
			return
		}
		if d := Diff(v, v); d.Breaks() || d.Equal != len(v.metrics) {
			t.Errorf("differs from itself: %+v", d)
		}
	})
}
