package lmcache

import (
	"context"
	"iter"
	"log/slog"
	"time"

	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/storage"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// HostStore is memory that a host fills with the chunks of a prompt that were not in
// the cache. Nobody can read it until Commit; Abort, the write TTL and the end of
// its worker discard it. It does not need its session. Its methods are safe for
// concurrent use, but the buffers are the host's to fill.
type HostStore struct {
	hostTransfer
	lease  storage.WriteLease
	hashes []kv.Hash // of the prompt, up to the end of the range
	from   int       // first chunk of the range
	todo   int       // chunks with a buffer
	whole  bool      // no chunk lacks memory
}

// PrepareStore reserves memory for the chunks of the tokens [lo, hi) that are not in
// the cache and that nobody else is writing, both multiples of the chunk's tokens.
// tokens are the prompt from its start; they are not kept. Lack of memory shortens
// what is reserved. If there is nothing to write, the reservation is empty, and its
// Commit succeeds.
//
// While a reservation is pending, the same call by its session returns it again. An
// error means bad arguments, or a closed session or worker: nothing was reserved.
func (h *HostWorker) PrepareStore(ctx context.Context, s *Session, tokens []int32, lo, hi int) (*HostStore, error) {
	if err := h.enter(); err != nil {
		return nil, err
	}
	defer h.leave()
	return h.prepareStore(ctx, s, &h.member, hostKey{s: s}, tokens, lo, hi)
}

func (h *HostWorker) prepareStore(ctx context.Context, s *Session, m *member, k hostKey, tokens []int32, lo, hi int) (*HostStore, error) {
	from, to, err := h.chunks(len(tokens), lo, hi)
	if err != nil {
		return nil, err
	}
	if err := m.serves(s); err != nil {
		return nil, err
	}
	st := h.newStore(s, m, k, from, to, tokens)
	if from == to {
		st.state = hostDone
		return st, nil
	}
	st.end.Lock()
	defer st.end.Unlock()
	for {
		other, full := h.hold(st)
		switch {
		case other == nil && full:
			h.e.log.WarnContext(ctx, "too many reservations are pending", slog.String("engine_id", h.id), slog.Int("limit", MaxHostPending))
			st.submit()
			st.settle(0, false, hostDone)
			return st, nil
		case other == nil:
			if err := st.reserve(ctx); err != nil {
				return nil, err
			}
			return st, nil
		case other.isPending():
			return other, nil
		} // it has ended this very moment, and is not held any more
	}
}

func (h *HostWorker) newStore(s *Session, m *member, k hostKey, from, to int, tokens []int32) *HostStore {
	st := &HostStore{hostTransfer: hostTransfer{h: h, m: m, s: s, n: h.e.ops.Add(1), at: h.e.sm.Now()}, from: from, whole: true}
	if from < to {
		st.hashes = s.hash(tokens[:to*h.size]).Hashes()
		k.salt, k.rank, k.from, k.to, k.last = s.r.Salt, m.rank, from, to, st.hashes[to-1]
	}
	st.key = k
	return st
}

// hold makes st the reservation of its key, unless there is one, or too many.
func (h *HostWorker) hold(st *HostStore) (other *HostStore, full bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if other := h.mu.pending[st.key]; other != nil {
		return other, false
	}
	if len(h.mu.stores) >= MaxHostPending {
		return nil, true
	}
	h.mu.pending[st.key] = st
	h.mu.stores[st] = struct{}{}
	return nil, false
}

// release ends what hold began: first the key is free again, then the memory.
func (h *HostWorker) release(st *HostStore, memory, committed bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.mu.pending[st.key] == st {
		delete(h.mu.pending, st.key)
	}
	if memory {
		delete(h.mu.stores, st)
	}
	if committed && st.remote() {
		h.mu.finished.add(st.key, h.e.sm.Now(), h.e.o.L1.WriteTTL)
	}
}

// isPending waits for the verb that is at it.
func (st *HostStore) isPending() bool {
	st.end.Lock()
	defer st.end.Unlock()
	return st.state == hostPending
}

// reserve stages the memory. It needs end.
func (st *HostStore) reserve(ctx context.Context) error {
	lease, err := st.m.reserve(ctx, st.s, &st.m.groups[group], st.hashes, st.from, len(st.hashes))
	if err != nil {
		st.state = hostGone
		st.h.release(st, true, false)
		return err
	}
	st.lease = lease
	var short int
	st.todo, short = granted(lease, len(st.hashes)-st.from)
	if short > 0 {
		st.whole = false
		st.h.e.log.WarnContext(ctx, "no memory for all chunks of a store", slog.String("session", st.s.r.ID), slog.Int("chunks", short))
	}
	st.submit()
	if st.todo == 0 {
		st.settle(0, st.whole, hostDone)
		return nil
	}
	st.start()
	st.lent(st, st.h.e.o.L1.WriteTTL)
	return nil
}

// granted counts the positions of a lease that have a buffer, and those that lack
// memory.
func granted(lease storage.WriteLease, n int) (buffers, short int) {
	for i := range n {
		switch lease.Code(i) {
		case l1.Success:
			buffers++
		case l1.OutOfMemory:
			short++
		}
	}
	return buffers, short
}

func (st *HostStore) submit() {
	t := &st.h.e.topics
	st.h.counts.stored.submitted.Add(1)
	st.number(t.storeSubmitted.Active() || t.storeStarted.Active() || t.storeEnded.Active())
	if st.op != "" {
		t.storeSubmitted.PublishAt(StoreSubmitted{SessionID: st.s.r.ID, Device: hostDevice, OpID: st.op}, st.at)
	}
}

func (st *HostStore) start() {
	if st.op != "" {
		st.h.e.topics.storeStarted.PublishAt(StoreStarted{
			SessionID: st.s.r.ID, Device: hostDevice, EngineID: st.h.id, Model: st.m.key.model, OpID: st.op,
		}, st.at)
	}
}

// All yields the buffers by the index of their chunk in the range. They must not be
// used after Commit, Abort or the end of the worker.
func (st *HostStore) All() iter.Seq2[int, []byte] { return st.lease.All() }

// Slots is where the buffers lie, in order of their chunks; none after the end.
func (st *HostStore) Slots() []HostSlot {
	st.end.Lock()
	defer st.end.Unlock()
	if st.state != hostPending {
		return nil
	}
	list := make([]HostSlot, 0, st.todo)
	for i := range len(st.hashes) - st.from {
		if off := st.lease.Offset(i); off >= 0 {
			list = append(list, HostSlot{Chunk: i, Offset: off, Bytes: st.m.objectBytes()})
		}
	}
	return list
}

// Commit makes the chunks readable. They must be filled. ErrLost means that they
// are not in the cache. Committing twice does nothing.
func (st *HostStore) Commit() error {
	st.end.Lock()
	defer st.end.Unlock()
	return st.commit()
}

func (st *HostStore) commit() error {
	switch st.state {
	case hostDone:
		return nil
	case hostExpired:
		st.lease.Abort()
		st.letGo()
		return ErrLost
	case hostGone:
		return ErrLost
	}
	r := st.lease.Finish()
	if len(r.Failed) > 0 {
		st.settle(len(r.Finished), false, hostGone)
		return ErrLost
	}
	st.settle(len(r.Finished), st.whole, hostDone)
	return nil
}

// Abort discards what was not committed. It can be deferred: after Commit it does
// nothing.
func (st *HostStore) Abort() {
	st.end.Lock()
	defer st.end.Unlock()
	st.abort()
}

func (st *HostStore) abort() {
	switch st.state {
	case hostPending:
		st.lease.Abort()
		st.settle(0, false, hostGone)
	case hostExpired:
		st.lease.Abort()
		st.letGo()
	}
}

// detach discards the reservation at the end of its worker.
func (st *HostStore) detach() {
	st.end.Lock()
	defer st.end.Unlock()
	st.discard()
}

// discard is abort by somebody else than the host, which may still be writing.
func (st *HostStore) discard() {
	if !st.h.o.Shared {
		st.abort()
		return
	}
	st.expire()
	if st.state == hostExpired {
		st.h.e.kept.add(st.lease.Abort)
		st.letGo()
	}
}

// expire discards a pending reservation and leaves its memory out of use.
func (st *HostStore) expire() {
	if st.state == hostPending {
		st.lease.Orphan()
		st.settle(0, false, hostExpired)
	}
}

// ring discards a reservation that was forgotten. A host in this process has the
// memory until it says that it has not.
func (st *HostStore) ring(time.Time) time.Time {
	st.end.Lock()
	defer st.end.Unlock()
	if st.remote() {
		st.discard()
	} else {
		st.expire()
	}
	return time.Time{}
}

// letGo ends an expired reservation, of which the memory is free or in quarantine.
func (st *HostStore) letGo() {
	st.state = hostGone
	st.h.release(st, true, false)
}

// settle announces the end: so many chunks became readable. It needs end.
func (st *HostStore) settle(stored int, success bool, state hostState) {
	h, s := st.h, st.s
	now := h.e.sm.Now()
	st.state = state
	h.release(st, state != hostExpired, state == hostDone && st.began)
	st.unlent(now)
	bytes := int64(stored) * st.m.objectBytes()
	took := since(now, st.at)
	s.note(func(r *RequestReceipt) {
		r.StoredChunks += stored
		r.BytesOut += bytes
		r.StoreTime += took
	})
	if stored > 0 {
		st.m.logTransfer(s.r.ID, "Stored", stored*h.size, took)
	}
	if st.op != "" {
		h.e.topics.storeEnded.PublishAt(StoreEnded{
			SessionID: s.r.ID, Device: hostDevice, EngineID: h.id, Model: st.m.key.model, OpID: st.op,
			StoredCount: stored, TotalBytes: bytes, NumTokens: stored * h.size, Success: success, SubmittedAt: st.at,
		}, now)
	}
	h.counts.stored.finished.Add(1)
}
