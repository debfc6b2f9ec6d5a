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

// layoutEntry is the layout of one model and world size, as long as workers are
// registered for it.
type layoutEntry struct {
	groups []objectGroup
	refs   int
}

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

// registerLocked counts a worker's layout; the last one registered is used for
// lookups. If it differs from the one before, that is to be logged without the lock.
func (e *Engine) registerLocked(k layoutKey, groups []objectGroup) *layoutClash {
	entry := e.mu.layouts[k]
	if entry == nil {
		entry = &layoutEntry{groups: groups}
		e.mu.layouts[k] = entry
	}
	entry.refs++
	if sameGroups(entry.groups, groups) {
		return nil
	}
	old := entry.groups
	entry.groups = groups
	return &layoutClash{key: k, old: old, now: groups}
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

func (e *Engine) unregisterLocked(k layoutKey) {
	if entry := e.mu.layouts[k]; entry != nil {
		if entry.refs--; entry.refs == 0 {
			delete(e.mu.layouts, k)
		}
	}
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
	return k, entry.groups, true, nil
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
