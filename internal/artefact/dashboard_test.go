package artefact

import (
	"bytes"
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// panelList is every panel, by section, in its order. It is written by hand: a panel
// does not go away because a golden file was written anew.
var panelList = [][]string{
	{"", "Alerts firing", "Servers", "Hit rate", "Lookups per second", "Slow lookups", "L1 used", "Keys failed", "Events dropped"},
	{
		"System health", "L1 allocation failures", "L1 read failures", "L2 prefetch failures",
		"L1 usage", "L1 memory", "L1 memory pinned", "L1 operations", "L1 eviction loop", "L1 removals by cause",
		"L1 objects", "Storage manager", "Leases and jobs out of time",
		"L2 store pipeline", "L2 stores dropped", "L2 prefetch pipeline", "In flight",
		"L2 tasks in flight", "L1 reserved by loads", "L2 memory", "L2 breakers", "L2 read over written", "Timeouts",
		"Event bus queue", "Event bus lag", "Events dropped by type", "Subscriber faults", "Refused values and folded labels", "Versions",
		"Background loops", "Spans given up", "Recorded calls", "Cost of observing", "Series by metric",
	},
	{
		"Performance", "Hit rate by model", "Hit rate by tier and model", "Hit rate by server",
		"Lookups", "Tokens looked up", "Chunks delivered",
		"Operation latency, p50", "Operation latency, p99", "Operations by outcome",
		"L0 ↔ L1 throughput", "L1 ↔ L2 throughput", "L2 operations per second", "L2 tasks submitted", "L2 keys per task",
	},
	{
		"Production insights", "Life of chunks in L1", "Life of blocks in L0", "Evicted and written again",
		"Where tokens came from", "Why chunks were missed", "Time between uses by tenant",
		"Chunks between uses by tenant", "Tokens asked for by tenant", "Hit rate by tenant", "Chunks delivered by tenant", "Objects evicted from L2 by tenant",
	},
	{"CacheBlend", "Blend lookups", "Blend tokens", "Blend chunks found", "Blend transfers", "Blend chunks transferred", "Blend fingerprints"},
	{"Request traces", "Requests"},
}

// titles are those of each section and its panels.
func titles(sections []row) [][]string {
	var all [][]string
	for _, s := range sections {
		line := []string{s.title}
		for _, p := range s.panels {
			line = append(line, p.title)
		}
		all = append(all, line)
	}
	return all
}

func differsFromList(sections []row) string { return cmp.Diff(panelList, titles(sections)) }

func TestPanels(t *testing.T) {
	if diff := differsFromList(rows(newPromQL("$__rate_interval", true))); diff != "" {
		t.Errorf("panels (-want +got):\n%s", diff)
	}
}

// decoded is the dashboard as Grafana reads it, with all panels in one list.
func decoded(t *testing.T) (d dashboardJSON, all []panelJSON) {
	t.Helper()
	var b bytes.Buffer
	if err := WriteDashboard(&b); err != nil {
		t.Fatal(err)
	}
	dec := json.NewDecoder(&b)
	dec.DisallowUnknownFields()
	if err := dec.Decode(&d); err != nil {
		t.Fatal(err)
	}
	for _, p := range d.Panels {
		all = append(all, p)
		all = append(all, p.Panels...)
	}
	return d, all
}

func TestDashboard(t *testing.T) {
	d, all := decoded(t)
	if d.Title != "LMCache" || d.UID != "lmcache-standard" || d.Refresh != "5s" || d.Time != (timeRange{"now-1h", "now"}) {
		t.Errorf("head: %q %q %q %v", d.Title, d.UID, d.Refresh, d.Time)
	}
	ids, names := map[int]bool{}, map[string]bool{}
	for _, p := range all {
		if ids[p.ID] || p.ID < 1 {
			t.Errorf("%q: id %d is used twice or no id", p.Title, p.ID)
		}
		if names[p.Title] {
			t.Errorf("%q: title used twice", p.Title)
		}
		ids[p.ID], names[p.Title] = true, true
		if p.Type != "row" {
			checkPanel(t, &p)
		}
	}
	checkGrid(t, d.Panels)
}

// checkPanel checks what every panel must have.
func checkPanel(t *testing.T, p *panelJSON) {
	t.Helper()
	if len(p.Description) < 20 || !strings.HasSuffix(p.Description, ".") {
		t.Errorf("%q: description %q", p.Title, p.Description)
	}
	if p.FieldConfig == nil || p.FieldConfig.Defaults.Unit == "" || p.Datasource == nil || len(p.Targets) == 0 {
		t.Fatalf("%q: unit, data source or queries are missing", p.Title)
	}
	f := p.FieldConfig.Defaults
	if p.Type == kindGraph && f.Min == nil && f.Custom["scaleDistribution"].(map[string]any)["type"] != "log" {
		t.Errorf("%q: the axis begins anywhere", p.Title)
	}
	if (f.Unit == unitRatio && p.Type == kindGraph) != (f.Max != nil) {
		t.Errorf("%q: an axis of ratios, and no other, ends at 1", p.Title)
	}
	for i, s := range f.Thresholds.Steps {
		if (s.Value == nil) != (i == 0) || i > 1 && *s.Value <= *f.Thresholds.Steps[i-1].Value {
			t.Errorf("%q: thresholds are not in order", p.Title)
		}
	}
	refs := map[string]bool{}
	for _, target := range p.Targets {
		if refs[target.RefID] {
			t.Errorf("%q: two queries %s", p.Title, target.RefID)
		}
		refs[target.RefID] = true
		if target.Datasource != *p.Datasource || (target.Expr == "") == (target.Query == "") {
			t.Errorf("%q: query %+v", p.Title, target)
		}
		if p.Type == kindGraph && target.LegendFormat == "" {
			t.Errorf("%q %s: no legend", p.Title, target.RefID)
		}
		// A legend names exactly the labels that the query keeps.
		if p.Type == kindGraph {
			checkLegend(t, p.Title, &target)
		}
	}
	for _, o := range p.FieldConfig.Overrides {
		if !refs[o.Matcher.Options] {
			t.Errorf("%q: override of query %s, which is not there", p.Title, o.Matcher.Options)
		}
	}
}

var (
	grouping = regexp.MustCompile(` by \(([^)]*)\)`)
	template = regexp.MustCompile(`\{\{(\w+)\}\}`)
)

func checkLegend(t *testing.T, title string, target *targetJSON) {
	t.Helper()
	var kept, shown []string
	if m := grouping.FindStringSubmatch(target.Expr); m != nil {
		kept = slices.DeleteFunc(strings.Split(m[1], ", "), func(l string) bool { return l == "le" })
	}
	for _, m := range template.FindAllStringSubmatch(target.LegendFormat, -1) {
		shown = append(shown, m[1])
	}
	slices.Sort(kept)
	slices.Sort(shown)
	if !slices.Equal(kept, shown) {
		t.Errorf("%q %s: the legend shows %q, the query keeps %q", title, target.RefID, shown, kept)
	}
}

// checkGrid finds panels that overlap or leave the grid, and gaps between lines.
func checkGrid(t *testing.T, panels []panelJSON) {
	t.Helper()
	for i, p := range panels {
		g := p.GridPos
		if g.W < 1 || g.H < 1 || g.X < 0 || g.Y < 0 || g.X+g.W > gridWidth {
			t.Errorf("%q lies outside of the grid: %+v", p.Title, g)
		}
		for _, o := range panels[:i] {
			h := o.GridPos
			if g.X < h.X+h.W && h.X < g.X+g.W && g.Y < h.Y+h.H && h.Y < g.Y+g.H {
				t.Errorf("%q and %q overlap: %+v %+v", p.Title, o.Title, g, h)
			}
		}
		if i > 0 && g.X == 0 && g.Y > 0 && !slices.ContainsFunc(panels[:i], func(o panelJSON) bool { return o.GridPos.Y+o.GridPos.H == g.Y }) {
			t.Errorf("there is a gap above %q", p.Title)
		}
	}
	width := map[int]int{}
	for _, p := range panels {
		width[p.GridPos.Y] += p.GridPos.W
	}
	for y, w := range width {
		if w != gridWidth {
			t.Errorf("the line at %d is %d wide", y, w)
		}
	}
}

// Every variable that is used is defined, and every one that is defined is used.
func TestVariables(t *testing.T) {
	d, all := decoded(t)
	defined, used := map[string]bool{}, map[string]bool{"datasource": false, "tempo": false}
	for _, v := range d.Templating.List {
		defined[v.Name] = true
	}
	variable := regexp.MustCompile(`\$\{?(\w+)\}?`)
	use := func(text string) {
		for _, m := range variable.FindAllStringSubmatch(text, -1) {
			if !strings.HasPrefix(m[1], "__") {
				used[m[1]] = true
			}
		}
	}
	for _, p := range all {
		if p.Datasource != nil {
			use(p.Datasource.UID)
		}
		for _, target := range p.Targets {
			use(target.Expr)
			use(target.Query)
		}
	}
	want := map[string]bool{"datasource": true, "instance": true, "model": true, "salt": true, "adapter": true, "tempo": true}
	if diff := cmp.Diff(want, defined); diff != "" {
		t.Errorf("defined (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(want, used); diff != "" {
		t.Errorf("used (-want +got):\n%s", diff)
	}
}
