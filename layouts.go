package lmcache

import (
	"fmt"
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

// layoutEntry is the workers of one model and world size, in order of registration.
// The last one's layout is used for lookups.
type layoutEntry struct{ workers []*member }

func (l *layoutEntry) groups() []objectGroup { return l.workers[len(l.workers)-1].groups }

// layoutClash is two layouts of one model.
type layoutClash struct {
	key      layoutKey
	old, now []objectGroup
}

// log writes an error if there is a clash.
func (c *layoutClash) log(log *slog.Logger) {
	if c != nil {
		log.Error("workers of one model have different layouts; objects of the other one are misses",
			slog.String("model", c.key.model), slog.Int("world_size", c.key.world),
			slog.String("layout", describe(c.old)), slog.String("new_layout", describe(c.now)))
	}
}

// registerLocked makes a worker's layout that of lookups. If it differs from the one
// before, that is to be logged without the lock.
func (e *Engine) registerLocked(w *member) *layoutClash {
	entry := e.mu.layouts[w.key]
	if entry == nil {
		e.mu.layouts[w.key] = &layoutEntry{workers: []*member{w}}
		return nil
	}
	old := entry.groups()
	entry.workers = append(entry.workers, w)
	if sameGroups(old, w.groups) {
		return nil
	}
	return &layoutClash{key: w.key, old: old, now: w.groups}
}

func (e *Engine) unregisterLocked(w *member) {
	entry := e.mu.layouts[w.key]
	if entry == nil {
		return
	}
	entry.workers = slices.DeleteFunc(entry.workers, func(o *member) bool { return o == w })
	if len(entry.workers) == 0 {
		delete(e.mu.layouts, w.key)
	}
}

// describe names the groups by fingerprint and window.
func describe(groups []objectGroup) string {
	names := make([]string, len(groups))
	for i := range groups {
		names[i] = groups[i].layout.Fingerprint().String()
		if w := groups[i].window; w > 0 {
			names[i] += fmt.Sprintf("(window %d)", w)
		}
	}
	return strings.Join(names, " ")
}

// layoutsOf are the layouts of groups in order.
func layoutsOf(groups []objectGroup) []kv.Layout {
	list := make([]kv.Layout, len(groups))
	for i := range groups {
		list[i] = groups[i].layout
	}
	return list
}

// resolve finds the model, world size and object groups that a request means. ok is
// false if there is no layout for them.
func (e *Engine) resolve(model string, world int) (k layoutKey, groups []objectGroup, ok bool, err error) {
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
			return layoutKey{}, nil, false, ErrAmbiguousModel
		}
		if found == 0 {
			k = layoutKey{model, max(world, 1)}
		}
	} else {
		k = layoutKey{model, world}
	}
	entry := e.mu.layouts[k]
	if entry == nil {
		return k, nil, false, nil
	}
	return k, entry.groups(), true, nil
}

// modelsLocked lists the registered models by name, each once.
func (e *Engine) modelsLocked() []string {
	var names []string
	for k := range e.mu.layouts {
		names = append(names, k.model)
	}
	slices.SortFunc(names, strings.Compare)
	return slices.Compact(names)
}
