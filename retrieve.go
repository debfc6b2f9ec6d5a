package lmcache

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/lmcache-go/lmcache/gpu"
	"github.com/lmcache-go/lmcache/storage"
)

// Retrieve copies what a lookup has found into the worker's blocks. It waits for
// the match, bounded by ctx, and returns when the work is queued. blocks has one
// list per engine group that covers the prompt from token 0; after, if not nil, is
// the event at which the blocks may be overwritten.
//
// All of the match is delivered or nothing: a miss writes nothing, and then
// Tokens of the transfer is 0. An error means bad arguments, an ended context, or
// a closed or failed worker; nothing was queued.
func (w *Worker) Retrieve(ctx context.Context, m *Match, blocks [][]gpu.BlockID, after gpu.Event) (*Transfer, error) {
	if err := w.enter(); err != nil {
		return nil, err
	}
	defer w.leave()
	chunks, err := m.deliver(ctx)
	if err != nil {
		return nil, err
	}
	if w.failed.Load() {
		return nil, ErrUnhealthy
	}
	if m.prefetch != nil && m.key != w.key {
		return nil, fmt.Errorf("lmcache: the match is about model %q and world size %d, the worker about %q and %d",
			m.key.model, m.key.world, w.key.model, w.key.world)
	}
	at := w.e.sm.Now()
	if chunks == 0 {
		return finished(at, 0, true), nil
	}
	if err := w.checkBlocks(blocks, 0, chunks); err != nil {
		m.refuse(w, chunks)
		return nil, err
	}
	j := &retrieveJob{w: w, m: m, t: newTransfer(), chunks: chunks, at: at}
	j.submit(ctx, blocks, after)
	return j.t, nil
}

// refuse gives back what a retrieve by this worker would have claimed.
func (m *Match) refuse(w *Worker, chunks int) {
	if m.claim(w) {
		m.prefetch.ReleaseRange(m.rank(w, chunks), 1)
	}
}

// claim notes that the worker has had its holders; false: it had before.
func (m *Match) claim(w *Worker) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.mu.claimed[w] {
		return false
	}
	if m.mu.claimed == nil {
		m.mu.claimed = make(map[*Worker]bool)
	}
	m.mu.claimed[w] = true
	return true
}

// rank selects the objects of a worker's rank.
func (m *Match) rank(w *Worker, chunks int) storage.Select {
	return storage.Select{Hi: chunks * m.key.world, Stride: m.key.world, Offset: w.o.Rank}
}

// read leases the match's objects for a worker: its own holders the first time,
// fresh ones if it asks again, so that it never uses up those of another reader.
func (m *Match) read(ctx context.Context, w *Worker, chunks int) (storage.ReadLease, error) {
	if m.isVoid() {
		return storage.ReadLease{}, errVoid
	}
	s := m.rank(w, chunks)
	if m.claim(w) {
		return m.prefetch.Read(ctx, s)
	}
	again, err := w.e.sm.SubmitPrefetch(ctx, s.Pick(m.prefetch.Keys()), w.layout, storage.PrefetchOptions{
		Owner: m.s.r.ID, RequestID: m.s.r.ID, SkipL2: true,
	})
	if err != nil {
		return storage.ReadLease{}, err
	}
	defer again.Release()
	return again.Read(ctx, storage.Select{Hi: chunks})
}

var errVoid = errors.New("lmcache: the lookup was replaced or its session has ended")

func (m *Match) isVoid() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.mu.void
}

// retrieveJob is one retrieve on its lane.
type retrieveJob struct {
	w      *Worker
	m      *Match
	t      *Transfer
	lease  storage.ReadLease
	chunks int
	at     time.Time
	op     string
	start  gpu.Event
	done   int
	err    error
	missed bool
}

// submit claims the objects and queues the copies.
func (j *retrieveJob) submit(ctx context.Context, blocks [][]gpu.BlockID, after gpu.Event) {
	w, e, m := j.w, j.w.e, j.m
	if e.topics.retrieveEnded.Active() || e.topics.retrieveSubmitted.Active() || e.topics.retrieveStarted.Active() {
		j.op = e.opID(m.s.r.ID)
		e.topics.retrieveSubmitted.PublishAt(RetrieveSubmitted{SessionID: m.s.r.ID, Device: w.device, OpID: j.op}, j.at)
	}
	var err error
	if m.layout.Fingerprint() != w.layout.Fingerprint() {
		err = errors.New("the worker's layout is not that of the lookup")
	} else {
		j.lease, err = m.read(ctx, w, j.chunks)
	}
	if err != nil {
		e.log.ErrorContext(ctx, "Some keys not found during retrieve!", slog.String("session", m.s.r.ID), slog.Any("error", err))
		j.missed = true
		j.ended(j.at)
		return
	}
	l := w.loads
	l.mu.Lock()
	defer l.mu.Unlock()
	if ev := deviceEvent(after); ev != nil {
		l.stream.Wait(ev)
	}
	if e.topics.retrieveStarted.Active() {
		j.start = l.stream.Record()
	}
	per := w.batchObjects()
	for i, b := range j.lease.All() {
		for _, p := range w.parts {
			l.stream.Scatter(b[p.off:p.off+p.size], w.o.Cache, p.group, w.withoutNull(p.of(blocks, i)))
		}
		if last := i == j.chunks-1; last || (i+1)%per == 0 {
			ev := l.stream.Record()
			j.t.device = ev
			l.push(batch{job: j, event: ev, hi: i + 1, last: last})
		}
	}
	j.lease.EndScope()
}

// reached gives the objects of a batch back.
func (j *retrieveJob) reached(hi int, _ time.Time, err error) {
	if j.err == nil {
		j.err = cmp.Or(err, failure(j.start))
	}
	if j.err == nil {
		j.lease.FinishRange(j.done, hi)
		j.done = hi
	}
}

// ended gives back what failed, after the last copy has drained, and announces
// the end.
func (j *retrieveJob) ended(at time.Time) {
	w, e, t, m := j.w, j.w.e, j.t, j.m
	j.lease.Abort()
	if at.IsZero() {
		at = e.sm.Now()
	}
	size, chunks := e.o.ChunkTokens, j.chunks
	success := j.err == nil && !j.missed
	if !success {
		chunks = 0
	}
	bytes := int64(chunks) * w.layout.Size()
	t.mu.Lock()
	t.mu.at, t.mu.err, t.mu.success = at, j.err, success
	t.mu.tokens, t.mu.chunks, t.mu.bytes = m.usable(chunks), chunks, bytes
	t.mu.Unlock()
	if success {
		m.s.setStored(w, m.chain.Hashes(), chunks)
	}
	took := since(e.sm.Now(), j.at)
	m.s.note(func(r *RequestReceipt) {
		r.RetrievedChunks += chunks
		r.BytesIn += bytes
		r.RetrieveTime += took
		if !success {
			r.Outcome = "failed"
		}
	})
	if success {
		w.logTransfer("Retrieved", chunks*size, took)
	}
	w.loads.check(w, j.err)
	if j.start != nil && !j.missed {
		if began, ok, _ := j.start.Done(); ok {
			e.topics.retrieveStarted.PublishAt(RetrieveStarted{
				SessionID: m.s.r.ID, Device: w.device, EngineID: w.id, Model: w.key.model, OpID: j.op,
			}, began)
		}
	}
	if j.op != "" {
		e.topics.retrieveEnded.PublishAt(RetrieveEnded{
			SessionID: m.s.r.ID, Device: w.device, EngineID: w.id, Model: w.key.model, Salt: m.s.r.Salt, OpID: j.op,
			RetrievedCount: chunks, TotalBytes: bytes, NumTokens: chunks * size, Success: success, SubmittedAt: j.at,
		}, at)
	}
	close(t.done)
}

// logTransfer writes the line of a finished transfer.
func (w *Worker) logTransfer(verb string, tokens int, took time.Duration) {
	ctx := context.Background() //nolint:forbidigo // a record without a caller
	if w.e.log.Enabled(ctx, slog.LevelInfo) {
		w.e.log.InfoContext(ctx, fmt.Sprintf("%s %d tokens in %.3f seconds", verb, tokens, took.Seconds()))
	}
}
