package l1

import (
	"fmt"
	"time"

	"github.com/lmcache-go/lmcache/l1/policy"
)

// guard stands between the manager and its policy. A policy that panics, or names
// a victim that is not resident, is asked nothing any more: the manager replaces
// it before it looks for victims again (restoreLocked).
type guard struct {
	p       policy.Policy
	failure string // why it is asked nothing any more; empty: it works
	ours    bool   // the manager's code runs within a search: its panics are not the policy's
	ended   bool   // the search has been told to stop
	yields  int64  // victims that the search has named
}

// fail marks the policy as broken.
func (g *guard) fail(format string, args ...any) {
	if g.failure == "" {
		g.failure = fmt.Sprintf(format, args...)
	}
}

// catch turns a panic of the policy into a failure. It is deferred.
func (g *guard) catch() {
	if r := recover(); r != nil {
		g.fail("panic: %v", r)
	}
}

func (g *guard) Insert(id policy.ID, size int64, salt uint32, at time.Time) {
	if g.failure == "" {
		defer g.catch()
		g.p.Insert(id, size, salt, at)
	}
}

// recognizes reports whether the policy wants to know who entries are.
func (g *guard) recognizes() bool {
	_, ok := g.p.(policy.Recognizer)
	return ok && g.failure == ""
}

// recognize tells the policy who the entry is.
func (g *guard) recognize(id policy.ID, fingerprint uint64) {
	defer g.catch()
	g.p.(policy.Recognizer).Recognize(id, fingerprint)
}

func (g *guard) Touch(id policy.ID, at time.Time) {
	if g.failure == "" {
		defer g.catch()
		g.p.Touch(id, at)
	}
}

func (g *guard) Remove(id policy.ID) {
	if g.failure == "" {
		defer g.catch()
		g.p.Remove(id)
	}
}

func (g *guard) Pin(id policy.ID) {
	if g.failure == "" {
		defer g.catch()
		g.p.Pin(id)
	}
}

func (g *guard) Unpin(id policy.ID, read bool, at time.Time) {
	if g.failure == "" {
		defer g.catch()
		g.p.Unpin(id, read, at)
	}
}

func (g *guard) Block(id policy.ID) {
	if g.failure == "" {
		defer g.catch()
		g.p.Block(id)
	}
}

func (g *guard) Unblock(id policy.ID) {
	if g.failure == "" {
		defer g.catch()
		g.p.Unblock(id)
	}
}

// visit has the policy read its records, if it has any.
func (g *guard) visit(ids []policy.ID) {
	if v, ok := g.p.(policy.Visitor); ok && g.failure == "" {
		defer g.catch()
		v.Visit(ids)
	}
}

// isolating is the policy's other half, or nil.
func (g *guard) isolating() policy.Isolating {
	i, _ := g.p.(policy.Isolating)
	return i
}

// isolate is Isolate of a policy that has it.
func (g *guard) isolate(salt uint32) (ok bool) {
	if g.failure != "" {
		return true // its replacement will know
	}
	defer g.catch()
	return g.isolating().Isolate(salt)
}

func (g *guard) share(salt uint32) {
	if g.failure == "" {
		defer g.catch()
		g.isolating().Share(salt)
	}
}

func (g *guard) assign(id policy.ID) {
	if g.failure == "" {
		defer g.catch()
		g.isolating().Assign(id)
	}
}

// search asks for victims until take wants no more.
func (g *guard) search(need policy.Need, take func(policy.ID) bool) {
	if g.failure != "" {
		return
	}
	g.ended, g.yields = false, 0
	defer g.endSearch()
	g.p.Victims(need)(take)
}

func (g *guard) endSearch() {
	if g.ours {
		return // our own panic goes on
	}
	if r := recover(); r != nil {
		g.fail("panic: %v", r)
	}
}

// restoreLocked replaces a policy that has failed by LRU, over what is resident in
// the order of the records, which is all that is left of its order. It is the one
// hold that walks all of them.
func (m *Manager) restoreLocked() {
	g := &m.mu.policy
	if g.failure == "" {
		return
	}
	m.mu.stats.PolicyFailures++
	m.warnLocked(policyWarning(m.o.Policy, g.failure))
	isolates := g.isolating() != nil
	*g = guard{ours: g.ours, ended: g.ended}
	if isolates {
		g.p = policy.NewIsolatedLRU()
		for _, id := range m.mu.limits {
			g.isolate(id)
		}
	} else {
		g.p = policy.NewLRU()
	}
	for id, e := range m.mu.entries.All() {
		if !e.is(flagTracked) {
			continue
		}
		g.Insert(id, m.physLocked(e.buf), e.salt, m.mu.now)
		if e.is(flagBlocked) {
			g.Block(id)
		}
		if e.is(flagPinned) {
			g.Pin(id)
		}
	}
}
