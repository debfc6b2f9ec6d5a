package lmcache

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/storage"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// Match is the answer to a lookup: how many leading tokens of a prompt are in the
// cache. It holds leases on their objects for the session. Its methods are safe
// for concurrent use.
type Match struct {
	s         *Session
	err       error // bad arguments; the match is empty
	tokens    int   // of the prompt
	key       layoutKey
	layout    kv.Layout
	chain     kv.Chain
	prefetch  *storage.Prefetch // nil: nothing was asked
	early     string
	submitted time.Time
	clears    int64      // of the engine, before the lookup
	starting  sync.Mutex // held by Lookup until all of the above is known; comes before mu
	mu        struct {
		sync.Mutex
		void      bool // replaced, or its session has ended
		freed     bool // Release gave holders back
		resolved  bool
		delivered bool
		chunks    int // found
		l1Chunks  int
		miss      storage.MissCounts
		known     time.Time
		asked     time.Time            // for the result, the last time
		claimed   map[*member]struct{} // which have had their turn at the holders
		taken     bool                 // by Take
		strangers map[stranger]*member // those that are not registered
	}
}

// Lookup asks how much of a prompt is in the cache and leases it for the session.
// It returns at once; ctx bounds nothing but carries values to logs. A lookup
// replaces the one before: what that one still holds is given back. The tokens
// are not kept.
func (s *Session) Lookup(ctx context.Context, tokens []int32) *Match {
	e := s.e
	m := &Match{s: s, tokens: len(tokens), submitted: e.sm.Now()}
	if err := s.usable(); err != nil {
		m.refused(err)
		return m
	}
	if e.topics.requestStarted.Active() {
		e.topics.requestStarted.PublishAt(RequestStarted{SessionID: s.r.ID, TraceParent: s.r.TraceParent}, m.submitted)
	}
	if e.topics.lookupStarted.Active() {
		e.topics.lookupStarted.PublishAt(LookupStarted{SessionID: s.r.ID}, m.submitted)
	}
	e.lookups.RLock()
	defer e.lookups.RUnlock()
	e.jobs.Add(1)
	m.starting.Lock()
	defer m.starting.Unlock()
	if !s.replace(m) { // it has ended this very moment
		m.drop(reasonSessionEnd)
		return m
	}
	m.start(ctx, tokens)
	took := since(e.sm.Now(), m.submitted)
	s.note(func(r *RequestReceipt) { r.LookupTime += took })
	return m
}

// usable says why a lookup cannot begin.
func (s *Session) usable() error {
	if s.bad != nil {
		return s.bad
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.closed {
		return ErrClosed
	}
	return nil
}

// refused resolves the match without a lookup. That the engine has closed is a
// miss and no error.
func (m *Match) refused(err error) {
	m.mu.resolved, m.mu.delivered = true, true
	if !errors.Is(err, ErrClosed) || !m.s.e.isClosed() {
		m.err = err
	}
}

// replace makes m the session's match; false: the session has ended.
func (s *Session) replace(m *Match) bool {
	s.mu.Lock()
	if s.mu.closed {
		s.mu.Unlock()
		return false
	}
	old := s.mu.match
	s.mu.match = m
	s.mu.Unlock()
	s.use(m.submitted)
	if old != nil {
		old.drop(reasonReplaced)
	}
	return true
}

// start submits the lookup.
func (m *Match) start(ctx context.Context, tokens []int32) {
	s, e := m.s, m.s.e
	k, layout, ok, err := e.resolve(s.r.Model, s.r.WorldSize)
	m.key, m.layout = k, layout
	full := len(tokens) / e.o.ChunkTokens
	switch {
	case err != nil:
		m.exit(exitNoContext, storage.MissNoLayout, full, err)
		return
	case e.isClosed():
		m.exit("", storage.MissClosed, full, nil)
		return
	case !ok:
		e.log.ErrorContext(ctx, fmt.Sprintf("No GPU context found for model %s with world size %d during lookup!", k.model, k.world),
			slog.String("session", s.r.ID))
		m.exit(exitNoContext, storage.MissNoLayout, full, nil)
		return
	}
	m.chain = s.hash(tokens)
	s.mu.Lock()
	s.mu.layout = k
	s.mu.Unlock()
	if m.chain.Len() == 0 {
		m.exit(exitNoChunk, storage.MissUnderChunkSize, 1, nil)
		return
	}
	if e.topics.lookup.Active() {
		e.topics.lookup.PublishAt(Lookup{
			SessionID: s.r.ID, RequestID: s.r.ID, ChunkHashes: m.chain.Hashes(), Model: k.model,
			ChunkSize: e.o.ChunkTokens, SeqLen: len(tokens), Layouts: []kv.Layout{layout},
		}, m.submitted)
	}
	list := e.keys.take(m.chain.Len() * k.world)
	defer e.keys.give(list)
	if *list, err = s.request(k, kv.AllWorkers).AppendKeys(*list, group, m.chain.Hashes()); err != nil {
		m.exit("", storage.MissNone, 0, err)
		return
	}
	m.clears = e.clears.Load()
	p, err := e.sm.SubmitPrefetch(ctx, *list, layout, storage.PrefetchOptions{
		Owner: s.r.ID, RequestID: s.r.ID, Readers: int(s.readersWanted.Load()),
	})
	if err != nil {
		if err = closedError(err); err == ErrClosed { //nolint:errorlint // it is exactly that
			err = nil
		}
		m.exit("", storage.MissClosed, full, err)
		return
	}
	m.adopt(p)
}

// Early exits and reasons in events.
const (
	exitNoContext    = "no_gpu_context"
	exitNoChunk      = "empty_chunk_hashes"
	reasonReplaced   = "replaced"
	reasonSessionEnd = "session_end"
)

// adopt keeps the handle, unless the match was dropped meanwhile.
func (m *Match) adopt(p *storage.Prefetch) {
	m.mu.Lock()
	void := m.mu.void
	if !void {
		m.prefetch = p
	}
	m.mu.Unlock()
	if void {
		p.Release()
	}
}

// exit resolves the match with nothing found.
func (m *Match) exit(early string, why storage.MissReason, chunks int, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.early, m.err = early, err
	m.mu.miss.Add(why, chunks)
	m.mu.resolved, m.mu.known = true, m.s.e.sm.Now()
}

// Planned is how many tokens the cache plans to supply, and whether that is known
// yet. It is a plan, not a promise.
func (m *Match) Planned() (n int, known bool) {
	m.ask()
	m.mu.Lock()
	p := m.prefetch
	void := m.mu.void
	m.mu.Unlock()
	if p == nil || void {
		return 0, true
	}
	keys, known := p.LookupHits()
	return m.usable(keys / m.key.world), known
}

// Tokens waits until the lookup has resolved and returns how many leading tokens
// can be retrieved. It is less than the length of the prompt: at least one token
// is left to compute. The first call publishes LookupEnded.
//
// A miss is not an error; the errors are those of ctx and of bad arguments.
func (m *Match) Tokens(ctx context.Context) (int, error) {
	chunks, err := m.deliver(ctx)
	return m.usable(chunks), err
}

// Chunks is Tokens in chunks, and counts a chunk of which the last token is left
// to compute.
func (m *Match) Chunks(ctx context.Context) (int, error) { return m.deliver(ctx) }

func (m *Match) usable(chunks int) int {
	return max(min(chunks*m.s.e.o.ChunkTokens, m.tokens-1), 0)
}

// deliver waits for the result and announces it the first time.
func (m *Match) deliver(ctx context.Context) (int, error) {
	m.ask()
	m.mu.Lock()
	p, wait := m.prefetch, !m.mu.resolved && !m.mu.void
	m.mu.Unlock()
	if wait {
		r, err := p.Wait(ctx)
		if err != nil {
			return 0, err
		}
		m.settle(p, r)
	}
	m.mu.Lock()
	if m.mu.void || m.mu.delivered {
		defer m.mu.Unlock()
		if m.mu.void {
			return 0, nil
		}
		return m.mu.chunks, m.err
	}
	m.mu.delivered = true
	e := m.event()
	chunks, err := m.mu.chunks, m.err
	m.mu.Unlock()
	m.announce(e)
	return chunks, err
}

// settle folds the result of the prefetch into chunks: those of which all ranks
// are there.
func (m *Match) settle(p *storage.Prefetch, r storage.PrefetchResult) {
	world := m.key.world
	if whole := r.Prefix / world * world; m.fold(r) && whole < r.Prefix { // ranks of a chunk that is not whole
		p.ReleaseRange(storage.Select{Lo: whole, Hi: r.Prefix}, l1.MaxReaders)
	}
}

// fold takes the result over; false: it was known before, or nobody wants it.
func (m *Match) fold(r storage.PrefetchResult) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.mu.resolved || m.mu.void {
		return false
	}
	m.mu.resolved, m.mu.known = true, m.s.e.sm.Now()
	world := m.key.world
	m.mu.chunks = r.Prefix / world
	m.mu.l1Chunks = min(m.mu.chunks, r.L1/world)
	for c := m.mu.chunks; c < m.chain.Len(); c++ {
		for i := c * world; i < (c+1)*world; i++ {
			if r.Miss != nil && r.Miss[i] != storage.MissNone {
				m.mu.miss.Add(r.Miss[i], 1)
				break
			}
		}
	}
	return true
}

// event is the announcement of the result. It needs m.mu.
func (m *Match) event() LookupEnded {
	size := m.s.e.o.ChunkTokens
	return LookupEnded{
		SessionID: m.s.r.ID, FoundCount: m.mu.chunks, RequestedTokens: m.chain.Len() * size,
		HitTokens: m.mu.chunks * size, L1HitTokens: m.mu.l1Chunks * size, L2HitTokens: (m.mu.chunks - m.mu.l1Chunks) * size,
		Model: m.key.model, Salt: m.s.r.Salt, EarlyExitReason: m.early, Misses: m.mu.miss,
		SubmittedAt: m.submitted, ResolvedAt: m.mu.known,
	}
}

func (m *Match) announce(ev LookupEnded) {
	m.s.e.jobs.Add(-1)
	m.s.note(func(r *RequestReceipt) {
		r.RequestedTokens += ev.RequestedTokens
		r.HitTokens += ev.HitTokens
		r.L1HitTokens += ev.L1HitTokens
		r.L2HitTokens += ev.L2HitTokens
		r.EarlyExitReason = ev.EarlyExitReason
		r.PrefetchWait += since(ev.ResolvedAt, ev.SubmittedAt)
		for why, n := range ev.Misses {
			r.Misses[why] += n
		}
	})
	if t := m.s.e.topics.lookupEnded; t.Active() {
		t.PublishAt(ev, m.s.e.sm.Now())
	}
}

// Release gives back the holders on the tokens [from, to) that no transfer has
// claimed, whole chunks only. It counts as asking for the result. What was given
// back can still be retrieved as long as it stays in the cache.
func (m *Match) Release(from, to int) {
	m.mu.Lock()
	p := m.prefetch
	m.mu.Unlock()
	if p == nil {
		return
	}
	size, world := m.s.e.o.ChunkTokens, m.key.world
	lo, hi := max(from, 0)/size, min(to/size, m.chain.Len())
	if from > lo*size {
		lo++
	}
	if lo >= hi {
		return
	}
	if _, known := p.Status(); known {
		_, _ = m.deliver(context.Background()) //nolint:forbidigo // does not wait
	}
	m.mu.Lock()
	m.mu.freed = true
	m.mu.Unlock()
	p.ReleaseRange(storage.Select{Lo: lo * world, Hi: hi * world}, l1.MaxReaders)
}

// drop ends the match: what it holds goes back, and it covers nothing any more.
func (m *Match) drop(reason string) {
	m.mu.Lock()
	void, delivered, p := m.mu.void, m.mu.delivered, m.prefetch
	m.mu.void = true
	m.mu.Unlock()
	if void {
		return
	}
	if !delivered {
		m.s.e.jobs.Add(-1)
		if t := m.s.e.topics.lookupAbandoned; t.Active() {
			t.PublishAt(LookupAbandoned{SessionID: m.s.r.ID, Reason: reason}, m.s.e.sm.Now())
		}
	}
	if p != nil {
		p.Release()
	}
}
