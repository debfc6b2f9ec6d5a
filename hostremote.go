package lmcache

import (
	"context"
	"fmt"
	"log/slog"
	"math"
)

// HostKey is what a remote client sends with each operation of a HostWorker: whose
// tokens they are, for which rank, and which range of them is meant, [Start, End) in
// tokens, both multiples of the chunk's. Tokens are all from the start of the prompt.
type HostKey struct {
	Request Request
	Rank    int
	Tokens  []int32
	Start   int
	End     int
}

// place checks a key against the worker and returns the worker's place for it.
func (h *HostWorker) place(k *HostKey) (*member, error) {
	if k.Request.Model != h.key.model || k.Request.WorldSize != h.key.world {
		return nil, fmt.Errorf("lmcache: the key is about model %q and world size %d, the worker about %q and %d",
			k.Request.Model, k.Request.WorldSize, h.key.model, h.key.world)
	}
	if err := k.Request.validate(); err != nil {
		return nil, err
	}
	if _, _, err := h.chunks(len(k.Tokens), k.Start, k.End); err != nil {
		return nil, err
	}
	return h.at(k.Rank)
}

// begin enters the worker with a key and returns the worker's place for it; the
// caller leaves, unless there is an error.
func (h *HostWorker) begin(k *HostKey) (*member, error) {
	if err := h.enter(); err != nil {
		return nil, err
	}
	m, err := h.place(k)
	if err != nil {
		h.leave()
	}
	return m, err
}

// PrepareStoreKey is PrepareStore for a remote request. A repeated one of an equal
// key by the same request returns the pending reservation.
func (h *HostWorker) PrepareStoreKey(ctx context.Context, k HostKey) (*HostStore, error) {
	m, err := h.begin(&k)
	if err != nil {
		return nil, err
	}
	defer h.leave()
	s, done := h.e.SessionFor(k.Request)
	defer done()
	return h.prepareStore(ctx, s, m, hostKey{id: k.Request.ID}, k.Tokens, k.Start, k.End)
}

// CommitStore commits what the request has prepared under this key, and reports
// whether what was reserved is readable now; again, if it was committed within the
// last write TTL. Nothing pending is false.
func (h *HostWorker) CommitStore(ctx context.Context, k HostKey) (bool, error) {
	m, err := h.begin(&k)
	if err != nil {
		return false, err
	}
	defer h.leave()
	if k.Start == k.End {
		return true, nil
	}
	s, done := h.e.SessionFor(k.Request)
	defer done()
	key := h.keyOf(s, m, &k)
	st, committed := h.reservation(key)
	switch {
	case st != nil:
		err := st.Commit()
		if err != nil {
			h.e.log.WarnContext(ctx, "commit of a store", slog.String("session", k.Request.ID), slog.Any("error", err))
		}
		return err == nil, nil
	case !committed:
		h.e.log.WarnContext(ctx, "commit of a store that was not prepared", slog.String("session", k.Request.ID))
	}
	return committed, nil
}

// keyOf is the key of a remote request's reservation, of a range that is not empty.
func (h *HostWorker) keyOf(s *Session, m *member, k *HostKey) hostKey {
	from, to := k.Start/h.size, k.End/h.size
	return hostKey{
		id: k.Request.ID, salt: k.Request.Salt, rank: m.rank, from: from, to: to,
		last: s.hash(k.Tokens[:k.End]).Hashes()[to-1],
	}
}

// reservation is the pending one of a key, or whether it was committed a while ago.
func (h *HostWorker) reservation(k hostKey) (st *HostStore, committed bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if st := h.mu.pending[k]; st != nil {
		return st, false
	}
	return nil, h.mu.finished.has(k, h.e.sm.Now(), h.e.o.L1.WriteTTL)
}

// PrepareRetrieveKey is PrepareRetrieve for a remote request: of its current lookup,
// for which it waits. Without one, or with one of other tokens, it is a miss.
func (h *HostWorker) PrepareRetrieveKey(ctx context.Context, k HostKey) (*HostRead, error) {
	if err := h.signOfLife(); err != nil {
		return nil, err
	}
	w, err := h.place(&k)
	if err != nil {
		return nil, err
	}
	s, done := h.e.SessionFor(k.Request)
	defer done()
	m := s.Match()
	if m == nil || !m.covers(s, k.Tokens[:k.End]) {
		m = h.nothing(s, k.Tokens)
	}
	return h.prepareRetrieve(ctx, m, w, hostKey{id: k.Request.ID}, k.Start, k.End)
}

// signOfLife is enter for a verb that may wait.
func (h *HostWorker) signOfLife() error {
	if err := h.enter(); err != nil {
		return err
	}
	h.leave()
	return nil
}

// covers reports whether the lookup was about these full chunks.
func (m *Match) covers(s *Session, tokens []int32) bool {
	return m.key.world > 0 && m.chain.HasPrefix(s.hash(tokens))
}

// nothing is a match that covers nothing of a prompt.
func (h *HostWorker) nothing(s *Session, tokens []int32) *Match {
	m := &Match{s: s, tokens: len(tokens), key: h.key, groups: h.groups, submitted: h.e.sm.Now(), clears: math.MinInt64}
	m.mu.resolved, m.mu.delivered = true, true
	return m
}

// CommitRetrieve gives back what the request was lent under this key, if anything.
func (h *HostWorker) CommitRetrieve(k HostKey) error {
	m, err := h.begin(&k)
	if err != nil {
		return err
	}
	defer h.leave()
	if k.Start == k.End {
		return nil
	}
	s, done := h.e.SessionFor(k.Request)
	defer done()
	key := h.keyOf(s, m, &k)
	h.mu.Lock()
	r := h.mu.reading[key]
	h.mu.Unlock()
	if r != nil {
		r.Done()
	}
	return nil
}
