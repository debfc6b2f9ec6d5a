package lmcache

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
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
	wanted    int   // readers of each object, unclipped
	key       layoutKey
	groups    []objectGroup // of the model at the lookup
	chain     kv.Chain
	part      int // leading chunks that take part
	early     string
	submitted time.Time
	clears    int64         // of the engine, before the lookup
	planned   chan struct{} // closed when all tasks are submitted; nil: they are
	starting  sync.Mutex    // held by Lookup until all of the above is known; comes before mu
	mu        struct {
		sync.Mutex
		void      bool // replaced, or its session has ended
		resolved  bool
		delivered bool
		tasks     []task // by object group, those of one group from the last chunks to the first
		one       [1]task
		frees     []freeing // to be applied when it resolves
		chunks    int       // found
		l1Chunks  int
		skip      int // tokens that the host has
		miss      storage.MissCounts
		known     time.Time
		asked     time.Time            // for the result, the last time
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
	m := &Match{s: s, tokens: len(tokens), wanted: int(s.readersWanted.Load()), submitted: e.sm.Now()}
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
	s.use(m.submitted) // before: the session's alarm drops no match of one that is in use
	s.mu.Lock()
	if s.mu.closed {
		s.mu.Unlock()
		return false
	}
	old := s.mu.match
	s.mu.match = m
	s.mu.Unlock()
	if old != nil {
		old.drop(reasonReplaced)
	}
	return true
}

// start submits the lookup.
func (m *Match) start(ctx context.Context, tokens []int32) {
	s, e := m.s, m.s.e
	k, groups, ok, err := e.resolve(s.r.Model, s.r.WorldSize)
	m.key, m.groups = k, groups
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
	s.names(k, groups)
	m.part = takePart(groups, m.chain.Len(), e.o.ChunkTokens, len(tokens))
	if m.part == 0 {
		m.exit(exitNoChunk, storage.MissUnderChunkSize, 1, nil)
		return
	}
	if e.topics.lookup.Active() {
		e.topics.lookup.PublishAt(Lookup{
			SessionID: s.r.ID, RequestID: s.r.ID, ChunkHashes: m.chain.Hashes(), Model: k.model,
			ChunkSize: e.o.ChunkTokens, SeqLen: len(tokens), Layouts: layoutsOf(groups),
		}, m.submitted)
	}
	m.clears = e.clears.Load()
	m.submit(ctx)
}

// takePart is how many of a prompt's full chunks can be supplied. A recurrent state
// cannot be rewound, and a token has to be left to compute: a chunk that ends with
// the prompt is of no use then.
func takePart(groups []objectGroup, chunks, chunkTokens, tokens int) int {
	if chunks*chunkTokens == tokens && slices.ContainsFunc(groups, func(g objectGroup) bool { return g.recurrent }) {
		return max(chunks-1, 0)
	}
	return chunks
}

// Early exits and reasons in events.
const (
	exitNoContext    = "no_gpu_context"
	exitNoChunk      = "empty_chunk_hashes"
	reasonReplaced   = "replaced"
	reasonSessionEnd = "session_end"
)

// exit resolves the match with nothing found.
func (m *Match) exit(early string, why storage.MissReason, chunks int, err error) {
	m.mu.Lock()
	m.early, m.err = early, err
	m.mu.miss.Add(why, chunks)
	m.mu.resolved, m.mu.known = true, m.s.e.sm.Now()
	tasks := m.mu.tasks
	m.mu.Unlock()
	for i := range tasks { // of groups that were asked before one could not be
		tasks[i].p.Release()
	}
}

// Planned is how many tokens the cache plans to supply, and whether that is known
// yet. It is a plan, not a promise.
func (m *Match) Planned() (n int, known bool) {
	m.ask()
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.mu.void:
		return 0, true
	case m.mu.resolved:
		return m.usable(m.mu.chunks), true
	}
	chunks, known := m.planLocked()
	return m.usable(chunks), known
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

// Skip says that the first n tokens of the prompt are in the host's blocks already:
// retrieves that begin from now on leave the blocks alone that lie wholly inside
// of them. A block in which they end is written whole.
func (m *Match) Skip(n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mu.skip = max(n, 0)
}

// readers is how many workers read each object.
func (m *Match) readers() int { return min(max(m.wanted, 1), l1.MaxReaders) }

func (m *Match) usable(chunks int) int {
	return max(min(chunks*m.s.e.o.ChunkTokens, m.tokens-1), 0)
}

// deliver waits for the result and announces it the first time.
func (m *Match) deliver(ctx context.Context) (int, error) {
	m.ask()
	if err := m.resolve(ctx); err != nil {
		return 0, err
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
	now := m.s.e.sm.Now()
	if t := m.s.e.topics.lookupEnded; t.Active() {
		t.PublishAt(ev, now)
	}
	m.s.e.logHitRate(&ev, now)
}

// drop ends the match: what it holds goes back, and it covers nothing any more.
func (m *Match) drop(reason string) {
	m.mu.Lock()
	void, delivered, tasks := m.mu.void, m.mu.delivered, m.mu.tasks
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
	for i := range tasks {
		tasks[i].p.Release()
	}
}
