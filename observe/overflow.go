package observe

import "sync"

// State of sources in subscriber_overflow.
const (
	stateSessions = "sessions"
	stateChildren = "children"
	stateClosed   = "closed"
)

// overflow passes on what one bounded state of a source has forgotten. Unlike the
// subscribers of this package the source has no instruments: it is asked at scrape.
type overflow struct {
	*bound

	of    stateOf
	total func() uint64
}

// stateOf is a state of a source.
type stateOf struct {
	source any
	state  string
}

// newOverflows are those of all sources.
func newOverflows(in *instruments, s *Sources) (all []overflow) {
	add := func(source named, state string, total func() uint64) {
		all = append(all, overflow{in.bound(source.Name(), state), stateOf{source, state}, total})
	}
	for _, spans := range s.Spans {
		add(spans, stateSessions, func() uint64 { return spans.Stats().PushedOut })
		add(spans, stateChildren, func() uint64 { return spans.Stats().ChildrenPushed })
		add(spans, stateClosed, func() uint64 { return spans.Stats().ClosedForgotten })
	}
	if r := s.RequestLog; r != nil {
		add(r, stateSessions, func() uint64 { return r.Stats().Forgotten })
	}
	return all
}

type named interface{ Name() string }

// pass counts what is new since it was asked for last. A source that panics is left
// out.
func (o *overflow) pass(t *taken) {
	if total := ask(o.total); total != nil {
		o.n = int64(t.more(o.of, *total))
		o.flush()
	}
}

// taken remembers how much of growing totals was passed on, so that each part is
// counted once, whoever asks and however often a provider is watched anew.
type taken struct {
	mu     sync.Mutex
	totals map[stateOf]uint64
}

// more is what a total has grown by since it was asked for last.
func (t *taken) more(of stateOf, total uint64) uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.totals == nil {
		t.totals = make(map[stateOf]uint64)
	}
	before := t.totals[of]
	if total <= before {
		return 0
	}
	t.totals[of] = total
	return total - before
}
