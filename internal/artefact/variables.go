package artefact

type (
	templatingJSON struct {
		List []variableJSON `json:"list"`
	}
	variableJSON struct {
		Name       string      `json:"name"`
		Label      string      `json:"label"`
		Type       string      `json:"type"`
		Datasource *dataSource `json:"datasource,omitempty"`
		Query      any         `json:"query"`
		Definition string      `json:"definition,omitempty"`
		Refresh    int         `json:"refresh,omitempty"` // 2: when the time range changes
		Sort       int         `json:"sort,omitempty"`    // 1: by alphabet
		IncludeAll bool        `json:"includeAll"`
		AllValue   string      `json:"allValue,omitempty"`
		Multi      bool        `json:"multi"`
		Current    *current    `json:"current,omitempty"`
		Hide       int         `json:"hide"`
		Regex      string      `json:"regex"`
	}
	current struct {
		Selected bool     `json:"selected"`
		Text     []string `json:"text"`
		Value    []string `json:"value"`
	}
	labelQuery struct {
		Query string `json:"query"`
		RefID string `json:"refId"`
	}
)

// variables are what is chosen at the top of the dashboard. "All" matches also
// series whose label is empty: .* instead of the list of values.
func variables() []variableJSON {
	q := newPromQL("", false)
	source := func(name, label, kind string) variableJSON {
		return variableJSON{Name: name, Label: label, Type: "datasource", Query: kind}
	}
	label := func(name, text, metric, label, match string) variableJSON {
		query := "label_values(" + q.series(metric, "") + match + ", " + label + ")"
		return variableJSON{
			Name: name, Label: text, Type: "query", Datasource: &metricsSource,
			Query: labelQuery{Query: query, RefID: "Variable" + name}, Definition: query,
			Refresh: 2, Sort: 1, IncludeAll: true, AllValue: ".*", Multi: true,
			Current: &current{Selected: true, Text: []string{"All"}, Value: []string{"$__all"}},
		}
	}
	const here = `{instance=~"$instance"}`
	return []variableJSON{
		source("datasource", "Data source", "prometheus"),
		label("instance", "Instance", "event_bus.queue_depth", labelInstance, ""),
		label("model", "Model", "lookup_requested_tokens", labelModel, here),
		label("salt", "Tenant", "lookup_requested_tokens", labelSalt, here),
		label("adapter", "L2 adapter", "l2_store_completed", labelAdapter, here),
		source("tempo", "Traces", "tempo"),
	}
}
