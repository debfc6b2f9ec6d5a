package artefact

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/lmcache-go/lmcache/observe"
)

// expressions are all PromQL expressions there are, by where they are used.
func expressions(sections []row) map[string]string {
	all := map[string]string{}
	for _, s := range sections {
		for _, p := range s.panels {
			for i, l := range p.lines {
				if !p.traces {
					all[fmt.Sprintf("panel %q, %c", p.title, 'A'+i)] = l.expr
				}
			}
		}
	}
	q := newPromQL("5m", false)
	for _, r := range recordings(q) {
		all["recording "+r.name] = r.expr
	}
	for _, a := range alerts(q, RulesOptions{}) {
		all["alert "+a.name] = a.expr()
	}
	return all
}

// identifier is a metric's name in an expression. Texts in quotes are not searched.
var (
	identifier = regexp.MustCompile(`[a-zA-Z_:][a-zA-Z0-9_:]*`)
	quotedText = regexp.MustCompile(`"[^"]*"`)
)

// named are the names in an expression that look like metrics of ours, or recorded.
func named(expr string) []string {
	var names []string
	for _, name := range identifier.FindAllString(quotedText.ReplaceAllString(expr, `""`), -1) {
		if strings.HasPrefix(name, own) || strings.Contains(name, ":") {
			names = append(names, name)
		}
	}
	return names
}

// series are the names that a scrape can show, with the metric that each belongs to.
func series() map[string]string {
	all := map[string]string{}
	for _, m := range observe.Metrics() {
		name := m.PrometheusName()
		if m.Kind != observe.Histogram {
			all[name] = m.Name
			continue
		}
		for _, suffix := range []string{"_bucket", "_sum", "_count"} {
			all[name+suffix] = m.Name
		}
	}
	return all
}

// missing are the metrics that no panel shows.
func missing(sections []row) []string {
	known, shown := series(), map[string]bool{}
	for _, s := range sections {
		for _, p := range s.panels {
			for _, l := range p.lines {
				for _, name := range named(l.expr) {
					shown[known[name]] = true
				}
			}
		}
	}
	var names []string
	for _, m := range observe.Metrics() {
		if !shown[m.Name] {
			names = append(names, m.Name)
		}
	}
	return names
}

// REQ-O57: every metric that is named is in the registry, and every metric of the
// registry is on the dashboard.
func TestREQ_O57_Registry(t *testing.T) {
	sections := rows(newPromQL("$__rate_interval", true))
	known := series()
	for _, r := range recordings(newPromQL("5m", false)) {
		known[r.name] = r.name
	}
	used := map[string]string{}
	for where, expr := range expressions(sections) {
		names := named(expr)
		if len(names) == 0 && !strings.Contains(expr, "ALERTS{") && !strings.Contains(expr, "up{") {
			t.Errorf("%s names no metric: %s", where, expr)
		}
		for _, name := range names {
			if known[name] == "" {
				t.Errorf("%s: %s is not in the registry", where, name)
			}
		}
		if other, twice := used[expr]; twice && strings.HasPrefix(where, "panel") == strings.HasPrefix(other, "panel") {
			t.Errorf("%s and %s ask the same: %s", where, other, expr)
		}
		used[expr] = where
	}
	if names := missing(sections); len(names) > 0 {
		t.Errorf("no panel shows %s", strings.Join(names, ", "))
	}
}

// The builder refuses what a scrape cannot have.
func TestPromQLRefuses(t *testing.T) {
	q := newPromQL("5m", true)
	for want, build := range map[string]func() string{
		"no_such_metric is not in the registry": func() string { return q.rate("", "no_such_metric") },
		"has no label device":                   func() string { return q.rate("device", "l1_read_keys") },
		"is a histogram":                        func() string { return q.rate("", "operation_duration_seconds") },
		"is a counter":                          func() string { return q.mean("", "l1_read_keys") },
	} {
		func() {
			defer func() {
				if got := fmt.Sprint(recover()); !strings.Contains(got, want) {
					t.Errorf("panic %q, want one with %q", got, want)
				}
			}()
			t.Errorf("built %s", build())
		}()
	}
}

// Expressions as they are documented, word for word.
func TestPromQL(t *testing.T) {
	q := newPromQL("5m", false)
	f := newPromQL("$__rate_interval", true)
	for _, c := range []struct{ got, want string }{
		{q.ratio("", "lookup_hit_tokens", "lookup_requested_tokens"), "sum(rate(lmcache_mp_lookup_hit_tokens_total[5m])) / sum(rate(lmcache_mp_lookup_requested_tokens_total[5m]))"},
		{f.rate("model_name", "lookups"), `sum by (model_name) (rate(lmcache_mp_lookups_total{instance=~"$instance",model_name=~"$model",cache_salt=~"$salt"}[$__rate_interval]))`},
		{f.max("", "l1_usage_ratio"), `max(lmcache_mp_l1_usage_ratio{instance=~"$instance"})`},
		{q.quantile("0.5", "op", "operation_duration_seconds", `outcome="ok"`), `histogram_quantile(0.5, sum by (le, op) (rate(lmcache_mp_operation_duration_seconds_bucket{outcome="ok"}[5m])))`},
		{q.since("", "clock_steps"), "sum(lmcache_mp_clock_steps_total) - (sum(lmcache_mp_clock_steps_total offset 5m) or sum(lmcache_mp_clock_steps_total) * 0)"},
		{f.rate("", "lmcache_blend.chunks_evicted"), `sum(rate(lmcache_blend_chunks_evicted_total{instance=~"$instance"}[$__rate_interval]))`},
	} {
		if c.got != c.want {
			t.Errorf("got  %s\nwant %s", c.got, c.want)
		}
	}
}

// REQ-O57: every panel that is taken out is missed, also by who writes the golden
// files anew.
func TestREQ_O57_RemovedPanel(t *testing.T) {
	sections := rows(newPromQL("$__rate_interval", true))
	if got := slices.Concat(titles(sections)...); len(got) == 0 {
		t.Fatal("no panels")
	}
	for i, s := range sections {
		for j := range s.panels {
			without := slices.Clone(sections)
			without[i].panels = slices.Delete(slices.Clone(s.panels), j, j+1)
			if diff := differsFromList(without); diff == "" {
				t.Errorf("nobody misses panel %q", s.panels[j].title)
			}
		}
	}
}
