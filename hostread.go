package lmcache

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"time"
)

// HostRead is chunks that a host reads from the memory of the cache: all of a range,
// or, if Success is false, nothing. The buffers are shared and must not be written
// to. Done gives them back; so does the end of the worker, and for a remote host the
// read TTL. It does not need its session. Its methods are safe for concurrent use.
type HostRead struct {
	hostTransfer
	parts []readPart // in order of their chunks
	one   [1]readPart
	from  int // first chunk of the range
	size  int // chunks of it
	hit   bool
}

// PrepareRetrieve lends the chunks of the tokens [lo, hi) that a lookup has found,
// both multiples of the chunk's tokens. It waits for the match, bounded by ctx. If
// any chunk is not there, all is a miss, which is no error, and what the worker
// would have read goes back. While a read is pending, the same call by its session
// returns it again. An error means bad arguments, an ended context, or a closed
// worker.
func (h *HostWorker) PrepareRetrieve(ctx context.Context, m *Match, lo, hi int) (*HostRead, error) {
	if m == nil || m.s.e != h.e {
		return nil, errors.New("lmcache: the match is of another engine")
	}
	return h.prepareRetrieve(ctx, m, &h.member, hostKey{s: m.s}, lo, hi)
}

func (h *HostWorker) prepareRetrieve(ctx context.Context, m *Match, w *member, k hostKey, lo, hi int) (*HostRead, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	found, err := m.deliver(ctx)
	if err != nil {
		return nil, err
	}
	if found > 0 {
		if err := w.matches(m); err != nil {
			return nil, err
		}
	}
	from, to, err := h.chunks(m.tokens, lo, hi)
	if err != nil {
		m.refuse(ctx, w, 0, found)
		return nil, err
	}
	if err := h.enter(); err != nil {
		m.refuse(ctx, w, from, min(to, found))
		return nil, err
	}
	defer h.leave()
	r := &HostRead{hostTransfer: hostTransfer{h: h, m: w, s: m.s, n: h.e.ops.Add(1), at: h.e.sm.Now()}, from: from, size: to - from}
	if from == to {
		r.hit, r.state = true, hostDone
		return r, nil
	}
	k.salt, k.rank, k.from, k.to = m.s.r.Salt, w.rank, from, to
	if to <= m.chain.Len() {
		k.last = m.chain.Hashes()[to-1]
	}
	r.key = k
	r.end.Lock()
	defer r.end.Unlock()
	for {
		other, full := h.holdRead(r)
		switch {
		case other == nil && full:
			m.refuse(ctx, w, from, min(to, found))
			r.submit()
			r.missed(ctx, fmt.Errorf("lmcache: worker %s reads %d ranges already", h.id, MaxHostPending))
			return r, nil
		case other == nil:
			r.lend(ctx, m, from, to, found)
			return r, nil
		case other.isPending():
			return other, nil
		} // it has ended this very moment, and is not held any more
	}
}

// holdRead makes r the read of its key, unless there is one, or too many.
func (h *HostWorker) holdRead(r *HostRead) (other *HostRead, full bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if other := h.mu.reading[r.key]; other != nil {
		return other, false
	}
	if len(h.mu.reads) >= MaxHostPending {
		return nil, true
	}
	h.mu.reading[r.key] = r
	h.mu.reads[r] = struct{}{}
	return nil, false
}

func (r *HostRead) isPending() bool {
	r.end.Lock()
	defer r.end.Unlock()
	return r.state == hostPending
}

// lend claims the objects. It needs end.
func (r *HostRead) lend(ctx context.Context, m *Match, from, to, found int) {
	r.submit()
	if to > found {
		m.refuse(ctx, r.m, from, found)
		r.missed(ctx, fmt.Errorf("lmcache: %d chunks were found, not %d", found, to))
		return
	}
	// From here on the caller gets a read: an ended context changes nothing.
	parts, err := m.read(context.WithoutCancel(ctx), r.one[:0], r.m, from, to, 0)
	if err != nil {
		r.missed(ctx, err)
		return
	}
	for i := range parts {
		parts[i].lease.EndScope()
	}
	r.parts, r.hit = parts, true
	if r.op != "" {
		r.h.e.topics.retrieveStarted.PublishAt(RetrieveStarted{
			SessionID: r.s.r.ID, Device: hostDevice, EngineID: r.h.id, Model: r.m.key.model, OpID: r.op,
		}, r.at)
	}
	ttl := r.h.e.o.L1.ReadTTL
	if !r.remote() {
		ttl = r.h.e.beat // it is renewed then
	}
	r.lent(r, ttl)
}

func (r *HostRead) submit() {
	t := &r.h.e.topics
	r.h.counts.loaded.submitted.Add(1)
	r.number(t.retrieveSubmitted.Active() || t.retrieveStarted.Active() || t.retrieveEnded.Active())
	if r.op != "" {
		t.retrieveSubmitted.PublishAt(RetrieveSubmitted{SessionID: r.s.r.ID, Device: hostDevice, OpID: r.op}, r.at)
	}
}

func (r *HostRead) missed(ctx context.Context, err error) {
	r.h.e.log.ErrorContext(ctx, "Some keys not found during retrieve!", slog.String("session", r.s.r.ID), slog.Any("error", err))
	r.settle(false, hostGone)
}

// Success reports whether all of the range was lent.
func (r *HostRead) Success() bool { return r.hit }

// All yields the buffers by the index of their chunk in the range. They must not be
// used after Done or the end of the worker.
func (r *HostRead) All() iter.Seq2[int, []byte] {
	return func(yield func(int, []byte) bool) {
		for _, p := range r.parts {
			for i, b := range p.lease.All() {
				if !yield(p.chunk-r.from+i, b) {
					return
				}
			}
		}
	}
}

// Slots is where the buffers lie, in order of their chunks; none after the end.
func (r *HostRead) Slots() []HostSlot {
	r.end.Lock()
	defer r.end.Unlock()
	if r.state != hostPending {
		return nil
	}
	list := make([]HostSlot, 0, r.size)
	for _, p := range r.parts {
		for i := range p.n {
			list = append(list, HostSlot{Chunk: p.chunk - r.from + i, Offset: p.lease.Offset(i), Bytes: r.m.objectBytes()})
		}
	}
	return list
}

// Done gives the buffers back. It can be called twice, and after a miss.
func (r *HostRead) Done() {
	r.end.Lock()
	defer r.end.Unlock()
	if r.state == hostPending {
		for _, p := range r.parts {
			p.lease.Finish()
		}
		r.settle(true, hostDone)
	}
}

// detach takes the buffers back at the end of the worker.
func (r *HostRead) detach() {
	r.end.Lock()
	defer r.end.Unlock()
	r.takeBack()
}

// takeBack is Done by somebody else than the host, which may still be reading.
func (r *HostRead) takeBack() {
	if r.state != hostPending {
		return
	}
	for _, p := range r.parts {
		if r.h.o.Shared {
			p.lease.Orphan()
			r.h.e.kept.add(p.lease.Free)
		} else {
			p.lease.Abort()
		}
	}
	r.settle(false, hostGone)
}

// ring takes the buffers of a remote host back that has forgotten them. One in this
// process has them until it says that it has not; then its lease is renewed.
func (r *HostRead) ring(now time.Time) time.Time {
	r.end.Lock()
	defer r.end.Unlock()
	if r.state == hostPending && !r.remote() {
		for _, p := range r.parts {
			p.lease.Renew()
		}
		return now.Add(r.h.e.beat)
	}
	r.takeBack()
	return time.Time{}
}

// settle announces the end. It needs end.
func (r *HostRead) settle(success bool, state hostState) {
	h, s := r.h, r.s
	now := h.e.sm.Now()
	r.state = state
	h.mu.Lock()
	delete(h.mu.reads, r)
	if h.mu.reading[r.key] == r {
		delete(h.mu.reading, r.key)
	}
	h.mu.Unlock()
	r.unlent(now)
	n := 0
	if success {
		n = r.size
	}
	bytes := int64(n) * r.m.objectBytes()
	took := since(now, r.at)
	s.note(func(receipt *RequestReceipt) {
		receipt.RetrievedChunks += n
		receipt.BytesIn += bytes
		receipt.RetrieveTime += took
		if !success {
			receipt.Outcome = outcomeFailed
		}
	})
	if success {
		r.m.logTransfer(s.r.ID, "Retrieved", n*h.size, took)
	}
	if r.op != "" {
		h.e.topics.retrieveEnded.PublishAt(RetrieveEnded{
			SessionID: s.r.ID, Device: hostDevice, EngineID: h.id, Model: r.m.key.model, Salt: s.r.Salt, OpID: r.op,
			RetrievedCount: n, TotalBytes: bytes, NumTokens: n * h.size, Success: success, SubmittedAt: r.at,
		}, now)
	}
	h.counts.loaded.finished.Add(1)
}
