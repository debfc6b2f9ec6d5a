package observe

import (
	"time"

	"go.opentelemetry.io/otel/trace"
)

// spanKind is what a span stands for.
type spanKind uint8

const (
	spanRequest spanKind = iota
	spanLookup
	spanRetrieve
	spanStore
	spanBlendRequest
	spanBlendLookup
	spanBlendRetrieve
	spanBlendPreComputed
	spanBlendFinal
	spanKinds
)

// String is the logical name.
func (k spanKind) String() string {
	return [...]string{
		"request", "lookup_prefetch", "retrieve", "store",
		"cb.request", "cb.lookup", "cb.retrieve", "cb.store_pre_computed", "cb.store_final",
	}[k]
}

// span is the name in a trace.
func (k spanKind) span() string {
	switch k {
	case spanLookup, spanRetrieve, spanStore:
		return "mp." + k.String()
	default:
		return k.String()
	}
}

// pendingAs is the counter of what was submitted and has not ended: those of CacheBlend
// share one. Lookups have none, nor have roots.
func (k spanKind) pendingAs() (spanKind, bool) {
	switch k {
	case spanRetrieve, spanStore:
		return k, true
	case spanBlendRetrieve, spanBlendPreComputed, spanBlendFinal:
		return spanBlendRequest, true
	default:
		return 0, false
	}
}

// childKey is what the start and the end of an operation have in common.
type childKey struct {
	kind       spanKind
	device, op string
}

// childSpan is an open span below a root.
type childSpan struct {
	key   childKey
	span  trace.Span
	start time.Time
}

// spanSession is what is open of one session.
//
// INVARIANT: rooted is set once a root was opened, and parent is then its context;
// root is nil before that and after the root has ended.
type spanSession struct {
	id      string
	rooted  bool
	parent  trace.SpanContext
	root    trace.Span
	began   time.Time
	open    []childSpan    // in order of their start
	pending [spanKinds]int // submitted operations whose end has not come, by pendingAs
	waiting bool           // a blended request whose final store was not submitted yet
	ended   bool           // the request has, at end
	end     time.Time
	seen    time.Time // the latest event
}

func (ss *spanSession) isPending() bool {
	return ss.waiting || ss.pending[spanStore] > 0 || ss.pending[spanRetrieve] > 0 || ss.pending[spanBlendRequest] > 0
}

// take removes the oldest open child of k.
func (ss *spanSession) take(k childKey) (childSpan, bool) {
	for i, c := range ss.open {
		if c.key == k {
			ss.open = append(ss.open[:i], ss.open[i+1:]...)
			return c, true
		}
	}
	return childSpan{}, false
}

// done takes one operation off those that are pending.
func (ss *spanSession) done(k spanKind) {
	if p, ok := k.pendingAs(); ok && ss.pending[p] > 0 {
		ss.pending[p]--
	}
}

// later is the later of two times.
func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}
