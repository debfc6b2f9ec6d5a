package export

import (
	"cmp"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/lmcache-go/lmcache/observe"
)

// laterNames gathers what another one does, and the metrics of observe that have a
// later name a second time under it.
type laterNames struct {
	prometheus.Gatherer

	aliases map[string]string
}

func withLaterNames(g prometheus.Gatherer) laterNames {
	l := laterNames{Gatherer: g, aliases: make(map[string]string)}
	for _, m := range observe.Metrics() {
		if m.Alias != "" {
			l.aliases[m.PrometheusName()] = m.Alias
		}
	}
	return l
}

// Gather returns families by name, as a registry does. Both names of a metric share
// its points, which nobody changes.
func (l laterNames) Gather() ([]*dto.MetricFamily, error) {
	families, err := l.Gatherer.Gather()
	for _, f := range families {
		alias, ok := l.aliases[f.GetName()]
		if !ok {
			continue
		}
		help := "Later name of " + f.GetName() + ". " + f.GetHelp()
		families = append(families, &dto.MetricFamily{Name: &alias, Help: &help, Type: f.Type, Metric: f.Metric, Unit: f.Unit})
	}
	slices.SortFunc(families, func(a, b *dto.MetricFamily) int { return cmp.Compare(a.GetName(), b.GetName()) })
	return families, err
}
