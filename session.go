package lmcache

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lmcache-go/lmcache/storage/kv"
)

// MaxRequestID is the most bytes of a Request's ID.
const MaxRequestID = 256

// Request says whose tokens a Session handles.
type Request struct {
	ID          string // for events and logs; need not be unique
	Model       string // may be empty if one model is registered
	WorldSize   int    // ranks with different KV; 0: that of the model's registration
	Salt        string // tenant: objects with different salts are never shared
	Readers     int    // workers that read each object; 0 means 1, more than 128 mean 128
	TraceParent string // W3C trace context, passed on to RequestStarted
}

// Session is what the cache knows about one request, from its first lookup to its
// end. It owns what the lookup has leased. Its methods are safe for concurrent
// use. Close it when the request ends, whatever else failed.
type Session struct {
	e      *Engine
	r      Request
	bad    error      // what is wrong with the request
	quiet  bool       // its end is published by another, or by nobody
	shared bool       // known by its id
	end    sync.Mutex // of Close, so that all callers wait for it
	place  place
	alarm  alarm
	mu     struct {
		sync.Mutex
		closed  bool
		chain   kv.Chain
		match   *Match            // of the current lookup
		stored  map[*member]known // what each worker is known to have stored; nil: nothing
		layout  layoutKey         // of the last operation
		groups  int               // object groups of that layout
		receipt RequestReceipt
	}
	readersWanted atomic.Int32 // of the next lookup, unclipped
}

// maxReadersWanted is more than can be had and fits any integer type.
const maxReadersWanted = 1 << 20

// known is a prefix of a prompt: a chunk hash covers all that is before it.
type known struct {
	chunks int
	last   kv.Hash
}

// Session opens a session of its own, whatever its id. It holds nothing until it is
// used. What is wrong with the request is the error of the verbs that use it.
//
// With Options.SessionTTL, one that is not used for so long falls asleep: what its
// lookup leased goes back and the match covers nothing any more; the next verb wakes
// it up. One that sleeps for long, or for which there is no room, is closed.
func (e *Engine) Session(r Request) *Session {
	s, now := e.newSession(r), e.sm.Now()
	victim, ok := e.table.add(s, now)
	if !ok {
		s.mu.closed = true
		return s
	}
	e.alarms.set(&s.alarm, now.Add(e.beat))
	if victim != nil {
		victim.abandon()
	}
	return s
}

func (e *Engine) newSession(r Request) *Session {
	s := &Session{e: e, r: r, bad: r.validate()}
	s.readersWanted.Store(int32(min(r.Readers, maxReadersWanted)))
	s.alarm.bell = s
	return s
}

// validate reports all that is wrong with r at once.
func (r Request) validate() error {
	var errs []error
	bad := func(field string, err error) { errs = append(errs, fmt.Errorf("lmcache: Request.%s: %w", field, err)) }
	if len(r.ID) > MaxRequestID {
		bad("ID", fmt.Errorf("must have at most %d bytes, got %d", MaxRequestID, len(r.ID)))
	}
	if err := kv.ValidateModel(r.Model); err != nil {
		bad("Model", err)
	}
	if err := kv.ValidateSalt(r.Salt); err != nil {
		bad("Salt", err)
	}
	if r.WorldSize < 0 || r.WorldSize > kv.MaxWorldSize {
		bad("WorldSize", fmt.Errorf("must be from 0 to %d, got %d", kv.MaxWorldSize, r.WorldSize))
	}
	if r.Readers < 0 {
		bad("Readers", fmt.Errorf("must not be negative, got %d", r.Readers))
	}
	return errors.Join(errs...)
}

// Match is the session's latest lookup; nil: there is none, or it was dropped. It
// waits for a Lookup that is under way to return, not for its result.
func (s *Session) Match() *Match {
	m := s.current()
	if m != nil {
		m.starting.Lock()
		m.starting.Unlock() //nolint:staticcheck // it waits
	}
	return m
}

// current is the session's latest lookup, which may still be under way.
func (s *Session) current() *Match {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.match
}

// ID is the request's id.
func (s *Session) ID() string { return s.r.ID }

// hash returns the chain of the full chunks of tokens. It hashes what the session
// has not hashed before, without a lock; the longer chain is kept.
func (s *Session) hash(tokens []int32) kv.Chain {
	s.mu.Lock()
	kept := s.mu.chain
	s.mu.Unlock()
	next := kept.Extend(s.e.hasher, s.e.o.ChunkTokens, tokens)
	s.keepChain(next)
	return next
}

// request is the expansion of the session's keys for one worker or all of them.
func (s *Session) request(k layoutKey, worker int) kv.Request {
	return kv.Request{Model: k.model, Salt: s.r.Salt, World: k.world, Worker: worker}
}

// Close ends the session: what it leased and nobody uses goes back, and its
// chunks become the most recently used. Transfers that run end by themselves.
// Closing twice does nothing.
func (s *Session) Close() error { return s.finish(false) }

// abandon is Close of a session that its owner seems to have forgotten.
func (s *Session) abandon() { _ = s.finish(true) } // only the touch can fail

func (s *Session) finish(abandoned bool) error {
	s.end.Lock()
	defer s.end.Unlock()
	s.mu.Lock()
	if s.mu.closed {
		s.mu.Unlock()
		return nil
	}
	s.mu.closed = true
	match, chain, k, groups := s.mu.match, s.mu.chain, s.mu.layout, s.mu.groups
	s.mu.match, s.mu.chain = nil, kv.Chain{}
	s.mu.Unlock()

	e := s.e
	at := e.sm.Now()
	e.alarms.stop(&s.alarm)
	if !s.quiet && !abandoned && e.topics.sessionEnding.Active() {
		e.topics.sessionEnding.PublishAt(SessionEnding{RequestID: s.r.ID}, at)
	}
	if match != nil {
		reason := reasonSessionEnd
		if abandoned {
			reason = reasonExpired
		}
		match.drop(reason)
	}
	var err error
	if !abandoned {
		err = s.touch(k, groups, chain)
	}
	e.table.remove(s)
	if s.quiet {
		return err
	}
	if e.topics.requestEnded.Active() {
		e.topics.requestEnded.PublishAt(RequestEnded{SessionID: s.r.ID}, at)
	}
	if e.topics.requestReceipt.Active() {
		e.topics.requestReceipt.PublishAt(s.receipt(k, abandoned), at)
	}
	return err
}

// touch makes the objects of a chain the most recently used.
func (s *Session) touch(k layoutKey, groups int, chain kv.Chain) (err error) {
	if chain.Len() == 0 {
		return nil
	}
	list := s.e.keys.take(chain.Len() * k.world)
	defer s.e.keys.give(list)
	for g := range groups {
		if *list, err = s.request(k, kv.AllWorkers).AppendKeys((*list)[:0], uint16(g), chain.Hashes()); err != nil {
			return err
		}
		s.e.sm.Touch(*list)
	}
	return nil
}

// names notes which layout the session is about.
func (s *Session) names(k layoutKey, groups []objectGroup) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.layout, s.mu.groups = k, len(groups)
}

// receipt sums the session up.
func (s *Session) receipt(k layoutKey, abandoned bool) RequestReceipt {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.mu.receipt
	r.SessionID, r.Model, r.Salt = s.r.ID, k.model, s.r.Salt
	switch {
	case r.Outcome != "": // a transfer failed
	case abandoned:
		r.Outcome = "abandoned"
	case r.RequestedTokens == 0 && r.StoredChunks > 0:
		r.Outcome = "store_only"
	case r.HitTokens == 0:
		r.Outcome = "miss"
	case r.HitTokens == r.RequestedTokens:
		r.Outcome = "hit"
	default:
		r.Outcome = "partial"
	}
	return r
}

const outcomeFailed = "failed"

// note changes the receipt.
func (s *Session) note(f func(*RequestReceipt)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(&s.mu.receipt)
}

// storedBy returns how many leading chunks of the chain the worker is known to
// have in the store, because it stored or retrieved them in this session.
func (s *Session) storedBy(w *member, hashes []kv.Hash) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := s.mu.stored[w]
	if k.chunks == 0 || k.chunks > len(hashes) || hashes[k.chunks-1] != k.last {
		return 0
	}
	return k.chunks
}

// setStored notes that the first n chunks of the chain are in the store.
// More that is known of the same prompt is kept.
func (s *Session) setStored(w *member, hashes []kv.Hash, n int) {
	if n == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if k := s.mu.stored[w]; k.chunks >= n && k.chunks <= len(hashes) && hashes[k.chunks-1] == k.last {
		return
	}
	if s.mu.stored == nil {
		s.mu.stored = make(map[*member]known)
	}
	s.mu.stored[w] = known{n, hashes[n-1]}
}

// since is the time from then to now, never negative.
func since(now, then time.Time) time.Duration { return max(now.Sub(then), 0) }
