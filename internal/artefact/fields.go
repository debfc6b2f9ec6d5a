package artefact

// The part of Grafana's field and panel options that is used.
type (
	fieldConfig struct {
		Defaults  fieldDefaults `json:"defaults"`
		Overrides []override    `json:"overrides"`
	}
	fieldDefaults struct {
		Unit       string         `json:"unit"`
		Min        *float64       `json:"min,omitempty"`
		Max        *float64       `json:"max,omitempty"`
		Color      *colorMode     `json:"color,omitempty"`
		Custom     map[string]any `json:"custom,omitempty"`
		Thresholds *thresholds    `json:"thresholds,omitempty"`
		NoValue    string         `json:"noValue,omitempty"`
	}
	colorMode struct {
		Mode  string `json:"mode"`
		Fixed string `json:"fixedColor,omitempty"`
	}
	thresholds struct {
		Mode  string          `json:"mode"`
		Steps []thresholdStep `json:"steps"`
	}
	thresholdStep struct {
		Color string   `json:"color"`
		Value *float64 `json:"value"` // null: from the bottom
	}
	override struct {
		Matcher    matcher    `json:"matcher"`
		Properties []property `json:"properties"`
	}
	matcher struct {
		ID      string `json:"id"`
		Options string `json:"options"`
	}
	property struct {
		ID    string `json:"id"`
		Value any    `json:"value"`
	}
)

func (p *panel) fieldConfig() *fieldConfig {
	c := &fieldConfig{Defaults: fieldDefaults{Unit: p.unit, Thresholds: p.thresholds()}, Overrides: []override{}}
	switch p.kind {
	case kindStat:
		c.Defaults.Color, c.Defaults.NoValue = &colorMode{Mode: "thresholds"}, "–"
		return c
	case kindTable:
		return c
	}
	c.Defaults.Color = &colorMode{Mode: "palette-classic"}
	c.Defaults.Custom = p.drawing()
	if !p.log { // an axis of logarithms has no zero
		c.Defaults.Min = new(0.0)
	}
	if p.ratio {
		c.Defaults.Max = new(1.0)
	}
	for i, line := range p.lines {
		if line.limit {
			c.Overrides = append(c.Overrides, limitOverride(string(rune('A'+i))))
		}
	}
	return c
}

// drawing is how a graph is drawn.
func (p *panel) drawing() map[string]any {
	stack, scale, mode := map[string]any{"mode": "none"}, map[string]any{"type": "linear"}, "off"
	fill := 10
	if p.stack != "" {
		stack, fill = map[string]any{"mode": p.stack, "group": "A"}, 40
	}
	if p.log {
		scale = map[string]any{"type": "log", "log": 10}
	}
	if len(p.steps) > 0 {
		mode = "line"
		if p.shade {
			mode = "area"
		}
	}
	return map[string]any{
		"drawStyle": "line", "lineWidth": 1, "fillOpacity": fill, "showPoints": "never", "spanNulls": false,
		"stacking": stack, "scaleDistribution": scale, "thresholdsStyle": map[string]any{"mode": mode},
	}
}

// limitOverride draws what a query returns as a dashed red line without filling.
func limitOverride(refID string) override {
	return override{
		Matcher: matcher{ID: "byFrameRefID", Options: refID},
		Properties: []property{
			{"color", colorMode{Mode: "fixed", Fixed: red}},
			{"custom.fillOpacity", 0},
			{"custom.lineStyle", map[string]any{"fill": "dash", "dash": []int{10, 10}}},
			{"custom.stacking", map[string]any{"mode": "none"}},
		},
	}
}

func (p *panel) thresholds() *thresholds {
	steps := p.steps
	if len(steps) == 0 {
		steps = []step{{color: green}}
		if p.kind == kindStat {
			steps = []step{{color: "text"}} // a number without a verdict
		}
	}
	t := &thresholds{Mode: "absolute"}
	for i, s := range steps {
		j := thresholdStep{Color: s.color}
		if i > 0 {
			j.Value = new(s.from)
		}
		t.Steps = append(t.Steps, j)
	}
	return t
}

// options are those of the panel's kind.
func (p *panel) options() any {
	switch p.kind {
	case kindStat:
		return map[string]any{
			"reduceOptions": map[string]any{"calcs": []string{"lastNotNull"}, "fields": "", "values": false},
			"colorMode":     "value", "graphMode": "none", "textMode": "value", "justifyMode": "auto",
			"orientation": "auto", "wideLayout": true, "showPercentChange": false, "percentChangeColorMode": "standard",
		}
	case kindTable:
		return map[string]any{"showHeader": true, "cellHeight": "sm", "frameIndex": 0}
	}
	return map[string]any{
		"legend":  map[string]any{"displayMode": "table", "placement": "bottom", "showLegend": true, "calcs": []string{"lastNotNull", "max"}},
		"tooltip": map[string]any{"mode": "multi", "sort": "desc"},
	}
}

// tableTransforms put the labels of all queries of a table into one line per server.
func tableTransforms() []transform {
	hidden := map[string]bool{"Time": true, "job": true}
	for _, name := range []string{"Time", "Value", "job", "__name__"} {
		for _, suffix := range []string{"", " 1", " 2", " #A", " #B"} {
			hidden[name+suffix] = true
		}
	}
	return []transform{
		{ID: "joinByField", Options: map[string]any{"byField": labelInstance, "mode": "outer"}},
		{ID: "organize", Options: map[string]any{"excludeByName": hidden}},
	}
}
