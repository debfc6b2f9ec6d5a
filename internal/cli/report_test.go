package cli

import (
	"encoding/json"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func ping() *Report {
	r := NewReport("Ping KV Cache", WidthPing)
	r.Line("status", "Status", "OK")
	r.Line("round_trip_time_ms", "Round trip time (ms)", 4.3)
	return r
}

func quotas() *Report {
	r := NewReport("Quota List", WidthQuotas)
	for _, q := range []struct {
		salt  string
		limit float64
	}{{"_default", 1.5}, {"u1", 2}} {
		r.ListSection("quotas", "Salt: "+q.salt)
		r.Line("cache_salt", "Cache salt", q.salt)
		r.Line("limit_gb", "Limit (GB)", q.limit)
		r.Line("current_usage_gb", "Current usage (GB)", 0.0)
	}
	return r
}

func mixed() *Report {
	r := NewReport("Mixed", WidthNormal)
	r.Line("none", "None", nil)
	r.Line("yes", "Yes", true)
	r.Line("no", "No", false)
	r.Line("count", "Count", 276491)
	r.Line("big", "Big", uint64(math.MaxUint64))
	r.Line("nan", "NaN", math.NaN())
	r.LineText("hit_ratio", "Hit ratio", "0.3063 (optimal 0.3820, 80.2 %)", Fixed{0.30634, 4})
	r.Section("config", "Configuration")
	r.Line("rpc_url", "RPC URL", "tcp://127.0.0.1:36555/?a=<b>&c")
	r.Line("a_label_that_is_long", "A label that is far too long for the line it is in", "and its value")
	r.Line("latency", "Latency", Fixed{2.0654, 3})
	return r
}

// REQ-C1: the terminal form, byte for byte.
func TestReportText(t *testing.T) {
	for _, c := range []struct {
		name   string
		report *Report
		want   string
	}{
		{"ping", ping(), `
======= Ping KV Cache ========
Status:                     OK
Round trip time (ms):     4.30
==============================
`},
		{"quotas", quotas(), `
====================== Quota List =====================
-------------------- Salt: _default -------------------
Cache salt:                                    _default
Limit (GB):                                        1.50
Current usage (GB):                                0.00
----------------------- Salt: u1 ----------------------
Cache salt:                                          u1
Limit (GB):                                        2.00
Current usage (GB):                                0.00
=======================================================
`},
		{"mixed", mixed(), `
==================== Mixed =====================
None:                                        N/A
Yes:                                        True
No:                                        False
Count:                                    276491
Big:                        18446744073709551615
NaN:                                         N/A
Hit ratio:       0.3063 (optimal 0.3820, 80.2 %)
---------------- Configuration -----------------
RPC URL:          tcp://127.0.0.1:36555/?a=<b>&c
A label that is far too long for the line it is in: and its value
Latency:                                    2.07
================================================
`},
	} {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(strings.TrimPrefix(c.want, "\n"), c.report.Text()); diff != "" {
				t.Errorf("text form (-want +got):\n%s", diff)
			}
		})
	}
}

// The titles of LMCache's reports, whose widths are odd and even and whose
// titles leave odd and even room.
func TestCenter(t *testing.T) {
	for _, c := range []struct {
		text  string
		width int
		fill  rune
		want  string
	}{
		{"KV Cache Clear", 48, '=', "================ KV Cache Clear ================"},
		{"Quota Set", 48, '=', "================== Quota Set ==================="},
		{"LMCache KV Cache Service", 50, '=', "============ LMCache KV Cache Service ============"},
		{"Model: demo-model", 50, '-', "--------------- Model: demo-model ----------------"},
		{"L2: FSL2Adapter", 50, '-', "---------------- L2: FSL2Adapter -----------------"},
		{"Server Bench Result", 64, '=', "===================== Server Bench Result ======================"},
		{"Warm Retrieve (ms)", 64, '-', "---------------------- Warm Retrieve (ms) ----------------------"},
		{"Salt: u1", 55, '-', "----------------------- Salt: u1 ----------------------"},
		{"Größe", 11, '=', "== Größe =="},
		{"wider than the line", 10, '=', "wider than the line"},
	} {
		if got := center(c.text, c.width, c.fill); got != c.want {
			t.Errorf("center(%q, %d):\n got %q\nwant %q", c.text, c.width, got, c.want)
		}
	}
}

// REQ-C2: keys in the order of the lines, two decimals, null.
func TestReportJSON(t *testing.T) {
	for _, c := range []struct {
		name   string
		report *Report
		want   string
	}{
		{"ping", ping(), `
{
  "title": "Ping KV Cache",
  "metrics": {
    "status": "OK",
    "round_trip_time_ms": 4.3
  }
}
`},
		{"quotas", quotas(), `
{
  "title": "Quota List",
  "metrics": {
    "quotas": [
      {
        "cache_salt": "_default",
        "limit_gb": 1.5,
        "current_usage_gb": 0.0
      },
      {
        "cache_salt": "u1",
        "limit_gb": 2.0,
        "current_usage_gb": 0.0
      }
    ]
  }
}
`},
		{"mixed", mixed(), `
{
  "title": "Mixed",
  "metrics": {
    "none": null,
    "yes": true,
    "no": false,
    "count": 276491,
    "big": 18446744073709551615,
    "nan": null,
    "hit_ratio": 0.3063,
    "config": {
      "rpc_url": "tcp://127.0.0.1:36555/?a=<b>&c",
      "a_label_that_is_long": "and its value",
      "latency": 2.065
    }
  }
}
`},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := c.report.JSON()
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(strings.TrimPrefix(c.want, "\n"), string(got)); diff != "" {
				t.Errorf("JSON form (-want +got):\n%s", diff)
			}
		})
	}
}

func TestMetricsJSONIsTheInnerObject(t *testing.T) {
	got, err := ping().MetricsJSON()
	if err != nil {
		t.Fatal(err)
	}
	var values map[string]any
	if err := json.Unmarshal(got, &values); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]any{"status": "OK", "round_trip_time_ms": 4.3}, values); diff != "" {
		t.Errorf("values (-want +got):\n%s", diff)
	}
}

func TestReportJSONReportsWhatCannotBeEncoded(t *testing.T) {
	r := NewReport("T", WidthNormal)
	r.Line("bad", "Bad", func() {})
	if _, err := r.JSON(); err == nil {
		t.Error("a function was encoded")
	}
}

func TestRounded(t *testing.T) {
	for _, c := range []struct {
		v        float64
		decimals int
		want     string
	}{
		{2, 2, "2.0"},
		{2.5, 2, "2.5"},
		{2.555, 2, "2.56"},
		{-0.001, 2, "-0.0"},
		{1234567.891, 3, "1234567.891"},
		{7, 0, "7.0"},
		{100, 0, "100.0"},
	} {
		if got := rounded(c.v, c.decimals); got != number(c.want) {
			t.Errorf("rounded(%v, %d) = %v, want %s", c.v, c.decimals, got, c.want)
		}
	}
}

// A list of lines is a table in text and a list of objects in JSON, also without any.
func TestListLines(t *testing.T) {
	r := NewReport("T", 20)
	r.ListLine("rows", []Pair{{"key", "a"}, {"n", 1}}, "1 a")
	r.ListLine("rows", []Pair{{"key", "b"}, {"n", 2.5}}, "2.5 b")
	r.EmptyList("none")
	if got, want := r.Text(), "======== T =========\n1 a\n2.5 b\n====================\n"; got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	got, err := r.MetricsJSON()
	want := "{\n  \"rows\": [\n    {\n      \"key\": \"a\",\n      \"n\": 1\n    },\n    {\n      \"key\": \"b\",\n      \"n\": 2.5\n    }\n  ],\n  \"none\": []\n}\n"
	if err != nil || string(got) != want {
		t.Errorf("%v\n%s", err, got)
	}
}
