package lmcache

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/lmcache-go/lmcache/gpu"
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
		m.refuse(ctx, &w.member, 0, chunks)
		return nil, err
	}
	defer w.leave()
	if w.failed.Load() {
		m.refuse(ctx, &w.member, 0, chunks)
		return nil, ErrUnhealthy
	}
	at := w.e.sm.Now()
	if chunks == 0 {
		return finished(at, 0), nil
	}
	skip := m.skipped()
	if err := w.checkBlocks(blocks, 0, chunks, skip, true); err != nil {
		m.refuse(ctx, &w.member, 0, chunks)
		return nil, err
	}
	j := &retrieveJob{transferJob: transferJob{w: w, s: m.s, t: newTransfer(), at: at}, m: m, chunks: chunks, skip: skip}
	j.submit(ctx, blocks, after)
	return j.t, nil
}

// skipped is how many tokens of the prompt the host has.
func (m *Match) skipped() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.mu.skip
}

// retrieveJob is one retrieve on its lane. Positions are objects, in order of the
// parts.
type retrieveJob struct {
	transferJob
	m      *Match
	parts  []readPart
	one    [1]readPart
	chunks int   // of the range
	skip   int   // tokens of it that the host has
	part   int   // those before are settled
	done   int   // positions below are settled
	base   int   // position of the first object of part
	bytes  int64 // to be copied
	missed bool  // nothing is delivered
}

// submit claims the objects and queues the copies.
func (j *retrieveJob) submit(ctx context.Context, blocks [][]gpu.BlockID, after gpu.Event) {
	w, t := j.w, &j.w.e.topics
	w.loaded.submitted.Add(1)
	j.number(t.retrieveSubmitted.Active() || t.retrieveStarted.Active() || t.retrieveEnded.Active())
	// From here on the caller gets a transfer: an ended context changes nothing.
	parts, err := j.m.read(context.WithoutCancel(ctx), j.one[:0], &w.member, 0, j.chunks, j.skip/w.e.o.ChunkTokens)
	if j.op != "" {
		t.retrieveSubmitted.PublishAt(RetrieveSubmitted{SessionID: j.s.r.ID, Device: w.device, OpID: j.op}, j.at)
	}
	if err != nil {
		w.e.log.ErrorContext(ctx, "Some keys not found during retrieve!", slog.String("session", j.s.r.ID), slog.Any("error", err))
		j.missed = true
	}
	if len(parts) == 0 { // a miss, or the host has all of it
		j.ended(j.at, false)
		return
	}
	j.parts = parts
	j.begin(j)
	l := w.loads
	l.mu.Lock()
	defer l.mu.Unlock()
	wait := deviceEvent(after)
	if j.op != "" && t.retrieveStarted.Active() {
		l.stream.Wait(wait)
		j.start = l.stream.Record()
	}
	batch := w.batch * len(w.groups)
	total, queued := 0, 0
	for i := range parts {
		total += parts[i].n
		j.bytes += int64(parts[i].n) * parts[i].g.layout.Size()
	}
	for i := range parts {
		for k, b := range parts[i].lease.All() {
			if queued%batch == 0 {
				l.stream.Wait(wait) // once per batch: what it fails ends with the next event
			}
			for g, n := parts[i].g, 0; n < len(g.parts); n++ {
				p := &g.parts[n]
				l.stream.Scatter(b[p.off:p.off+p.size], w.o.Cache, p.group, l.places(w, p, blocks, parts[i].chunk+k, j.skip))
			}
			if queued++; queued == total || queued%batch == 0 {
				j.t.device = l.record(j, queued, queued == total)
			}
		}
		parts[i].lease.EndScope()
	}
	if queued < total { // a lease was not what was asked for
		j.missed = true
		j.t.device = l.record(j, queued, true)
	}
	l.flush()
}

// reached gives the objects of a batch back.
func (j *retrieveJob) reached(hi int, err error) {
	if j.err == nil {
		j.err = err
	}
	if j.err != nil {
		return
	}
	for j.done < hi {
		p := &j.parts[j.part]
		end := min(hi, j.base+p.n)
		p.lease.FinishRange(j.done-j.base, end-j.base)
		if j.done = end; end == j.base+p.n {
			j.base, j.part = end, j.part+1
		}
	}
}

// ended gives back what failed, after the last copy has drained, and announces
// the end.
func (j *retrieveJob) ended(at time.Time, lost bool) {
	w, e, s := j.w, j.w.e, j.s
	for i := range j.parts {
		if !lost {
			j.parts[i].lease.Abort()
		}
	}
	if at.IsZero() {
		at = e.sm.Now()
	}
	size := e.o.ChunkTokens
	o := outcome{success: j.err == nil && !j.missed}
	if o.success {
		o.chunks, o.tokens, o.bytes = j.copied(), j.m.usable(j.chunks), j.bytes
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
		w.logTransfer(s.r.ID, "Retrieved", o.chunks*size, took)
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

// copied is how many chunks of the range had an object to be copied.
func (j *retrieveJob) copied() int {
	first := j.chunks
	for i := range j.parts {
		first = min(first, j.parts[i].chunk)
	}
	return j.chunks - first
}
