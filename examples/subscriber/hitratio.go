package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/lmcache-go/lmcache"
	"github.com/lmcache-go/lmcache/eventbus"
)

// HitRatio counts the tokens that lookups ask for and find, by tenant.
type HitRatio struct {
	mu      sync.Mutex
	tenants map[string]tokens
}

type tokens struct{ requested, hit int }

// Name is the subscriber's name in the bus's statistics.
func (*HitRatio) Name() string { return "hit-ratio" }

// Subscribe asks for the one event that matters. The bus calls the handler on its
// own goroutine, one event at a time; nothing it does can slow the cache down.
func (h *HitRatio) Subscribe(s *eventbus.Subscription) {
	eventbus.On(s, func(e lmcache.LookupEnded, _ time.Time) {
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.tenants == nil {
			h.tenants = make(map[string]tokens)
		}
		t := h.tenants[e.Salt]
		h.tenants[e.Salt] = tokens{t.requested + e.RequestedTokens, t.hit + e.HitTokens}
	})
}

// Print writes one line: the ratio of each tenant so far.
func (h *HitRatio) Print(w io.Writer) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i, name := range slices.Sorted(maps.Keys(h.tenants)) {
		t := h.tenants[name]
		if i > 0 {
			name = "  " + name
		}
		if _, err := fmt.Fprintf(w, "%s %3.0f %%", name, 100*float64(t.hit)/float64(max(t.requested, 1))); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintln(w)
	return err
}
