package lmcache

import (
	"log/slog"
	"slices"
	"strings"

	"github.com/lmcache-go/lmcache/storage/kv"
)

// layoutKey is what lookups know a layout by.
type layoutKey struct {
	model string
	world int
}

// layoutEntry is the layout of one model and world size, as long as workers are
// registered for it.
type layoutEntry struct {
	layout kv.Layout
	refs   int
}

// layoutClash is two layouts of one model.
type layoutClash struct {
	key      layoutKey
	old, now kv.Fingerprint
}

// log writes an error if there is a clash.
func (c *layoutClash) log(log *slog.Logger) {
	if c != nil {
		log.Error("workers of one model have different layouts; objects of the other one are misses",
			slog.String("model", c.key.model), slog.Int("world_size", c.key.world),
			slog.String("layout", c.old.String()), slog.String("new_layout", c.now.String()))
	}
}

// register counts a worker's layout; the last one registered is used for lookups.
// If it differs from the one before, that is to be logged without the lock.
func (e *Engine) registerLocked(k layoutKey, l kv.Layout) *layoutClash {
	entry := e.mu.layouts[k]
	if entry == nil {
		entry = &layoutEntry{layout: l}
		e.mu.layouts[k] = entry
	}
	entry.refs++
	old := entry.layout.Fingerprint()
	if old == l.Fingerprint() {
		return nil
	}
	entry.layout = l
	return &layoutClash{key: k, old: old, now: l.Fingerprint()}
}

func (e *Engine) unregisterLocked(k layoutKey) {
	if entry := e.mu.layouts[k]; entry != nil {
		if entry.refs--; entry.refs == 0 {
			delete(e.mu.layouts, k)
		}
	}
}

// resolve finds the model, world size and layout that a request means. ok is
// false if there is no layout for them.
func (e *Engine) resolve(model string, world int) (k layoutKey, l kv.Layout, ok bool, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if model == "" || world == 0 {
		found := 0
		for key := range e.mu.layouts {
			if (model == "" || key.model == model) && (world == 0 || key.world == world) {
				k, found = key, found+1
			}
		}
		if found > 1 || found == 0 && model == "" {
			return layoutKey{}, kv.Layout{}, false, ErrAmbiguousModel
		}
		if found == 0 {
			k = layoutKey{model, max(world, 1)}
		}
	} else {
		k = layoutKey{model, world}
	}
	entry := e.mu.layouts[k]
	if entry == nil {
		return k, kv.Layout{}, false, nil
	}
	return k, entry.layout, true, nil
}

// models lists the registered models by name, each once.
func (e *Engine) modelsLocked() []string {
	var names []string
	for k := range e.mu.layouts {
		names = append(names, k.model)
	}
	slices.SortFunc(names, strings.Compare)
	return slices.Compact(names)
}
