package observe

import (
	"strconv"
	"sync"

	"go.opentelemetry.io/otel/metric"

	"github.com/lmcache-go/lmcache"
	"github.com/lmcache-go/lmcache/storage"
)

// known shows the series of registered models and workers at 0, so that a rate
// can be taken from the first event on. It works at scrape: what is added to a
// counter in a callback is part of the same scrape.
type known struct {
	labels            *Labels
	byModel, byWorker []shown
	byTier, byAdapter []shown
	mu                struct {
		sync.Mutex
		models   map[string]struct{}
		workers  map[worker]struct{}
		tiers    map[string]struct{}
		adapters map[adapter]struct{}
	}
}

type worker struct{ id, model string }

// adapter is one of possibly several outer tiers of a name.
type adapter struct {
	name  string
	index int
}

// shown is a counter with series that are known beforehand.
type shown struct {
	m       *Metric
	counter metric.Int64Counter
}

func newKnown(in *instruments) *known {
	k := &known{labels: in.labels}
	given := map[string]string{keyModel: "", keySalt: ""}
	tier := map[string]string{keyL2: ""}
	one := map[string]string{keyL2: "", keyAdapter: ""}
	for _, m := range table() {
		if m.Kind != Counter || len(m.Attributes) == 0 {
			continue
		}
		if _, ok := m.combinations(nil); ok {
			continue // known without a model
		}
		if _, ok := m.combinations(given); ok {
			k.byModel = append(k.byModel, shown{find(m.Name), in.int64Counter(find(m.Name))})
		}
		if _, ok := m.combinations(tier); ok {
			k.byTier = append(k.byTier, shown{find(m.Name), in.int64Counter(find(m.Name))})
		} else if _, ok := m.combinations(one); ok {
			k.byAdapter = append(k.byAdapter, shown{find(m.Name), in.int64Counter(find(m.Name))})
		}
	}
	loaded := find(nameChunksLoaded)
	k.byWorker = append(k.byWorker, shown{loaded, in.int64Counter(loaded)})
	return k
}

// show adds 0 to the series of what was registered since the last scrape. Its
// memory is what is registered now.
func (k *known) show(s *lmcache.Stats) {
	k.mu.Lock()
	defer k.mu.Unlock()
	models := make(map[string]struct{}, len(s.Models))
	for _, name := range s.Models {
		models[name] = struct{}{}
		if _, ok := k.mu.models[name]; !ok {
			k.zero(k.byModel, map[string]string{keyModel: k.labels.fold(keyModel, name), keySalt: k.labels.fold(keySalt, "")})
		}
	}
	workers := make(map[worker]struct{}, len(s.Workers))
	for _, w := range s.Workers {
		id := worker{w.EngineID, w.Model}
		workers[id] = struct{}{}
		if _, ok := k.mu.workers[id]; !ok {
			k.zero(k.byWorker, map[string]string{
				keyWorker: w.EngineID, keyModel: k.labels.fold(keyModel, w.Model), keySalt: k.labels.fold(keySalt, ""),
			})
		}
	}
	k.mu.models, k.mu.workers = models, workers
}

// showTiers is show of outer tiers.
func (k *known) showTiers(tiers []storage.TierStats) {
	k.mu.Lock()
	defer k.mu.Unlock()
	names := make(map[string]struct{}, len(tiers))
	adapters := make(map[adapter]struct{}, len(tiers))
	for i := range tiers {
		a := adapter{tiers[i].Name, tiers[i].Index}
		names[a.name], adapters[a] = struct{}{}, struct{}{}
		if _, ok := k.mu.tiers[a.name]; !ok {
			k.zero(k.byTier, map[string]string{keyL2: a.name})
		}
		if _, ok := k.mu.adapters[a]; !ok {
			k.zero(k.byAdapter, map[string]string{keyL2: a.name, keyAdapter: strconv.Itoa(a.index)})
		}
	}
	k.mu.tiers, k.mu.adapters = names, adapters
}

func (k *known) zero(counters []shown, given map[string]string) {
	for _, c := range counters {
		all, ok := c.m.combinations(given)
		if !ok {
			panic("observe: " + c.m.Name + " has unknown series")
		}
		for _, values := range all {
			c.counter.Add(background(), 0, metric.WithAttributeSet(k.labels.census.set(c.m, 1, values...)))
		}
	}
}
