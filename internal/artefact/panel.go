package artefact

// Units of axes, by Grafana's ids.
const (
	unitShort   = "short"
	unitRatio   = "percentunit"
	unitBytes   = "bytes" // powers of 1024, as capacities are given
	unitSeconds = "s"
	unitGBs     = "GBs" // 10^9 bytes per second
	unitKeys    = "suffix: keys/s"
	unitChunks  = "suffix: chunks/s"
	unitTokens  = "suffix: tokens/s"
	unitRate    = "ops"
)

// Kinds of panels, by Grafana's plugin ids.
const (
	kindGraph = "timeseries"
	kindStat  = "stat"
	kindTable = "table"
)

// Colours of thresholds.
const (
	green  = "green"
	yellow = "yellow"
	red    = "red"
)

// panel is one panel of the dashboard.
type panel struct {
	title  string
	text   string // what it shows, and what to make of it
	kind   string // kindGraph if empty
	unit   string
	lines  []line
	width  int // of 24
	height int // panelHeight if 0

	ratio  bool   // the axis ends at 1
	log    bool   // logarithmic axis
	stack  string // "normal" or "percent"
	steps  []step // thresholds
	shade  bool   // show thresholds behind a graph, in place of lines
	traces bool   // its lines are TraceQL
}

// line is a query of a panel.
type line struct {
	legend string // with {{label}}
	expr   string
	limit  bool // a bound rather than a measurement: red, dashed, not filled
}

// step is a value from which on a colour holds; the first has none.
type step struct {
	from  float64
	color string
}

// row is a section of the dashboard.
type row struct {
	title     string // empty: the panels above all sections
	collapsed bool
	panels    []panel
}

// rows are all sections, from top to bottom.
func rows(q promql) []row {
	return []row{
		{panels: headline(q)},
		{title: "System health", panels: healthPanels(q)},
		{title: "Performance", panels: performancePanels(q)},
		{title: "Production insights", panels: insightPanels(q)},
		{title: "CacheBlend", collapsed: true, panels: blendPanels(q)},
		{title: "Request traces", panels: []panel{{
			title: "Requests", kind: kindTable, unit: unitShort, width: 24, height: 10, traces: true,
			text: "Spans of requests from Tempo. Narrow the query with conditions such as span.hit_rate < 0.5, or span.requested_tokens > 0 && span.hit_tokens = 0.",
			lines: []line{
				{expr: `{ name = "request" }`},
			},
		}}},
	}
}

// good are the thresholds of a hit rate.
func good() []step { return []step{{color: red}, {0.5, yellow}, {0.8, green}} }

// bad is green below a value and red from it on.
func bad(from float64) []step { return []step{{color: green}, {from, red}} }
