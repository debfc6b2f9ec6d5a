package storage

import (
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync/atomic"

	"github.com/lmcache-go/lmcache/storage/kv"
)

// policyGuard stands before a policy of the host. What that does not decide because it
// panics is decided as by default; the first time is logged.
type policyGuard struct {
	m    *Manager
	kind string
	told atomic.Bool
}

// failed notes a panic of a method of the policy.
func (g *policyGuard) failed(method string, r any) {
	if g.told.Swap(true) {
		return
	}
	text, stack := fmt.Sprint(r), string(debug.Stack())
	g.m.rt.At(g.m.rt.Now(), func() { // not under the mutex
		g.m.log.Error("a "+g.kind+" policy panicked; what it does not decide is decided as by default",
			slog.String("method", method), slog.String("panic", text), slog.String("stack", stack))
	})
}

// decide is what a method of the policy says, or def if it panics.
func decide[V any](g *policyGuard, method string, def V, say func() V) (v V) {
	defer func() {
		if r := recover(); r != nil {
			v = def
			g.failed(method, r)
		}
	}()
	return say()
}

type storeGuard struct {
	policyGuard
	p StorePolicy
}

// guardStore is p, behind a guard unless it is one of this package.
func guardStore(m *Manager, p StorePolicy) StorePolicy {
	if _, own := p.(storeAll); own {
		return p
	}
	return &storeGuard{policyGuard{m: m, kind: "store"}, p}
}

// Admit implements StorePolicy.
func (g *storeGuard) Admit(key kv.Key, bytes int64) bool {
	return decide(&g.policyGuard, "Admit", storeAll{}.Admit(key, bytes), func() bool { return g.p.Admit(key, bytes) })
}

// Targets implements StorePolicy.
func (g *storeGuard) Targets(key kv.Key, tiers int) uint64 {
	return decide(&g.policyGuard, "Targets", storeAll{}.Targets(key, tiers), func() uint64 { return g.p.Targets(key, tiers) })
}

// Drop implements StorePolicy.
func (g *storeGuard) Drop(key kv.Key) bool {
	return decide(&g.policyGuard, "Drop", storeAll{}.Drop(key), func() bool { return g.p.Drop(key) })
}

type prefetchGuard struct {
	policyGuard
	p PrefetchPolicy
}

// guardPrefetch is p, behind a guard unless it is one of this package.
func guardPrefetch(m *Manager, p PrefetchPolicy) PrefetchPolicy {
	if _, own := p.(prefetchAll); own {
		return p
	}
	return &prefetchGuard{policyGuard{m: m, kind: "prefetch"}, p}
}

// Ask implements PrefetchPolicy.
func (g *prefetchGuard) Ask(key kv.Key, tiers int) uint64 {
	return decide(&g.policyGuard, "Ask", prefetchAll{}.Ask(key, tiers), func() uint64 { return g.p.Ask(key, tiers) })
}

// Choose implements PrefetchPolicy.
func (g *prefetchGuard) Choose(key kv.Key, has uint64) int {
	return decide(&g.policyGuard, "Choose", prefetchAll{}.Choose(key, has), func() int { return g.p.Choose(key, has) })
}

// Keep implements PrefetchPolicy.
func (g *prefetchGuard) Keep(key kv.Key) bool {
	return decide(&g.policyGuard, "Keep", prefetchAll{}.Keep(key), func() bool { return g.p.Keep(key) })
}
