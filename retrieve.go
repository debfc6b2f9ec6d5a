package lmcache

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/lmcache-go/lmcache/gpu"
	"github.com/lmcache-go/lmcache/storage"
)

// Retrieve copies what a lookup has found into the worker's blocks. It waits for
// the match, bounded by ctx, and returns when the work is queued. blocks has one
// list per engine group that covers the prompt from token 0; after, if not nil, is
// the event at which the blocks may be overwritten. Neither list is kept.
//
// All of the match is delivered or nothing: a miss writes nothing, and then
// Success of the transfer is false and Tokens is 0. A match that covers nothing is
// delivered at once. An error means bad arguments, an ended context, or a closed
// or failed worker: nothing was queued, and what the worker would have read goes
// back, except if the context ended.
func (w *Worker) Retrieve(ctx context.Context, m *Match, blocks [][]gpu.BlockID, after gpu.Event) (*Transfer, error) {
	if m == nil || m.s.e != w.e {
		return nil, errors.New("lmcache: the match is of another engine")
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	chunks, err := m.deliver(ctx)
	if err != nil {
		return nil, err
	}
	if chunks > 0 {
		if err := w.matches(m); err != nil {
			return nil, err
		}
	}
	if err := w.enter(); err != nil {
		m.refuse(&w.member, chunks)
		return nil, err
	}
	defer w.leave()
	if w.failed.Load() {
		m.refuse(&w.member, chunks)
		return nil, ErrUnhealthy
	}
	at := w.e.sm.Now()
	if chunks == 0 {
		return finished(at, 0), nil
	}
	if err := w.checkBlocks(blocks, 0, chunks); err != nil {
		m.refuse(&w.member, chunks)
		return nil, err
	}
	j := &retrieveJob{transferJob: transferJob{w: w, s: m.s, t: newTransfer(), at: at}, m: m, chunks: chunks}
	j.submit(ctx, blocks, after)
	return j.t, nil
}

// refuse gives back what a retrieve by this worker would have claimed.
func (m *Match) refuse(w *member, chunks int) {
	if chunks > 0 && m.claim(w) {
		m.prefetch.ReleaseRange(m.rank(w, chunks), 1)
	}
}

// claim gives a worker its one turn at the holders of its rank; false: it has had
// it, or none are left.
func (m *Match) claim(w *member) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	turns := 0
	for c := range m.mu.claimed {
		if c == w {
			return false
		}
		if c.rank == w.rank {
			turns++
		}
	}
	if m.mu.claimed == nil {
		m.mu.claimed = make(map[*member]struct{})
	}
	m.mu.claimed[w] = struct{}{}
	return turns < m.s.readers() && !m.mu.freed
}

// rank selects the objects of a worker's rank.
func (m *Match) rank(w *member, chunks int) storage.Select {
	return storage.Select{Hi: chunks * m.key.world, Stride: m.key.world, Offset: w.rank}
}

// read leases the match's objects for a worker: holders of the lookup the first
// time, if it has any left, and else fresh ones, so that a worker that asks again
// never uses up those of another reader.
func (m *Match) read(ctx context.Context, w *member, chunks int) (storage.ReadLease, error) {
	if m.layout.Fingerprint() != w.groups[group].layout.Fingerprint() {
		m.refuse(w, chunks)
		return storage.ReadLease{}, errLayout
	}
	if m.isVoid() {
		return storage.ReadLease{}, errVoid
	}
	s := m.rank(w, chunks)
	if m.clears != w.e.clears.Load() {
		m.refuse(w, chunks) // the objects it was about are gone, though their bytes may not be
	}
	if m.claim(w) {
		return m.prefetch.Read(ctx, s)
	}
	again, err := w.e.sm.SubmitPrefetch(ctx, s.Pick(m.prefetch.Keys()), w.groups[group].layout, storage.PrefetchOptions{
		Owner: m.s.r.ID, RequestID: m.s.r.ID, SkipL2: true,
	})
	if err != nil {
		return storage.ReadLease{}, err
	}
	defer again.Release()
	return again.Read(ctx, storage.Select{Hi: chunks})
}

var (
	errVoid   = errors.New("lmcache: the lookup was replaced or its session has ended")
	errLayout = errors.New("lmcache: the worker's layout is not that of the lookup")
)

func (m *Match) isVoid() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.mu.void
}

// retrieveJob is one retrieve on its lane. Positions are chunks.
type retrieveJob struct {
	transferJob
	m      *Match
	lease  storage.ReadLease
	chunks int
	done   int  // chunks below are settled
	missed bool // nothing is delivered
}

// submit claims the objects and queues the copies.
func (j *retrieveJob) submit(ctx context.Context, blocks [][]gpu.BlockID, after gpu.Event) {
	w, t := j.w, &j.w.e.topics
	w.loaded.submitted.Add(1)
	j.number(t.retrieveSubmitted.Active() || t.retrieveStarted.Active() || t.retrieveEnded.Active())
	// From here on the caller gets a transfer: an ended context changes nothing.
	lease, err := j.m.read(context.WithoutCancel(ctx), &w.member, j.chunks)
	if j.op != "" {
		t.retrieveSubmitted.PublishAt(RetrieveSubmitted{SessionID: j.s.r.ID, Device: w.device, OpID: j.op}, j.at)
	}
	if err != nil {
		w.e.log.ErrorContext(ctx, "Some keys not found during retrieve!", slog.String("session", j.s.r.ID), slog.Any("error", err))
		j.missed = true
		j.ended(j.at, false)
		return
	}
	j.lease = lease
	j.begin(j)
	l := w.loads
	l.mu.Lock()
	defer l.mu.Unlock()
	wait := deviceEvent(after)
	if j.op != "" && t.retrieveStarted.Active() {
		l.stream.Wait(wait)
		j.start = l.stream.Record()
	}
	queued := 0
	for i, b := range lease.All() {
		if i%w.batch == 0 {
			l.stream.Wait(wait) // once per batch: what it fails ends with the next event
		}
		for _, p := range w.parts {
			l.stream.Scatter(b[p.off:p.off+p.size], w.o.Cache, p.group, w.withoutNull(p.of(blocks, i)))
		}
		if queued++; queued == j.chunks || queued%w.batch == 0 {
			j.t.device = l.record(j, queued, queued == j.chunks)
		}
	}
	if queued < j.chunks { // the lease was not what was asked for
		j.missed = true
		j.t.device = l.record(j, queued, true)
	}
	lease.EndScope()
	l.flush()
}

// reached gives the objects of a batch back.
func (j *retrieveJob) reached(hi int, err error) {
	if j.err == nil {
		j.err = err
	}
	if j.err == nil {
		j.lease.FinishRange(j.done, hi)
		j.done = hi
	}
}

// ended gives back what failed, after the last copy has drained, and announces
// the end.
func (j *retrieveJob) ended(at time.Time, lost bool) {
	w, e, s := j.w, j.w.e, j.s
	if !lost {
		j.lease.Abort()
	}
	if at.IsZero() {
		at = e.sm.Now()
	}
	size := e.o.ChunkTokens
	o := outcome{success: j.err == nil && !j.missed}
	if o.success {
		o.chunks, o.tokens, o.bytes = j.chunks, j.m.usable(j.chunks), int64(j.chunks)*w.objectBytes()
		s.setStored(&w.member, j.m.chain.Hashes(), j.chunks)
	}
	took := since(e.sm.Now(), j.at)
	s.note(func(r *RequestReceipt) {
		r.RetrievedChunks += o.chunks
		r.BytesIn += o.bytes
		r.RetrieveTime += took
		if !o.success {
			r.Outcome = outcomeFailed
		}
	})
	if o.success {
		w.logTransfer("Retrieved", j.chunks*size, took)
	}
	if began, ok := j.began(); ok {
		e.topics.retrieveStarted.PublishAt(RetrieveStarted{
			SessionID: s.r.ID, Device: w.device, EngineID: w.id, Model: w.key.model, OpID: j.op,
		}, began)
	}
	if j.op != "" {
		e.topics.retrieveEnded.PublishAt(RetrieveEnded{
			SessionID: s.r.ID, Device: w.device, EngineID: w.id, Model: w.key.model, Salt: s.r.Salt, OpID: j.op,
			RetrievedCount: o.chunks, TotalBytes: o.bytes, NumTokens: o.chunks * size, Success: o.success, SubmittedAt: j.at,
		}, at)
	}
	j.over()
	w.loaded.finished.Add(1)
	j.t.finish(at, j.err, o)
	if j.err != nil && !lost {
		w.loads.probe(w, j.err)
	}
}
