package lmcache

import (
	"context"
	"time"

	"github.com/lmcache-go/lmcache/gpu"
	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/storage"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// Store copies the full chunks of a prompt that are not in the cache yet from the
// worker's blocks. blocks has one list per engine group that covers the prompt
// from token 0; after, if not nil, is the event at which the blocks are filled.
// Neither list is kept.
//
// The call returns when the work is queued. The blocks may be reused when the
// transfer is done; its objects can be found by then. Lack of memory stores a
// shorter prefix. An error means bad arguments or a closed or failed worker:
// nothing was reserved.
func (w *Worker) Store(ctx context.Context, s *Session, tokens []int32, blocks [][]gpu.BlockID, after gpu.Event) (*Transfer, error) {
	if err := w.enter(); err != nil {
		return nil, err
	}
	defer w.leave()
	if w.failed.Load() {
		return nil, ErrUnhealthy
	}
	if err := w.serves(s); err != nil {
		return nil, err
	}
	at := w.e.sm.Now()
	hashes := s.hash(tokens).Hashes()
	from := s.storedBy(&w.member, hashes)
	if from == len(hashes) {
		return finished(at, from*w.e.o.ChunkTokens), nil
	}
	if err := w.checkBlocks(blocks, from, len(hashes)); err != nil {
		return nil, err
	}
	j := &storeJob{transferJob: transferJob{w: w, s: s, t: newTransfer(), at: at}, hashes: hashes, from: from}
	var err error
	if j.lease, err = w.reserve(ctx, s, hashes, from); err != nil {
		return nil, err
	}
	j.plan(blocks)
	j.submit(blocks, after)
	return j.t, nil
}

// storeJob is one store on its lane. Positions count from the chunk from.
type storeJob struct {
	transferJob
	lease  storage.WriteLease
	hashes []kv.Hash
	from   int     // first chunk of the range
	todo   []int32 // positions to copy
	whole  bool    // every chunk is present, staged by another, left out on purpose, or to be copied by us
	backed int     // leading positions that are in the cache, or will be with todo or by another writer
	ours   int     // leading positions that are in todo
	done   int     // index in todo: what comes before is settled
	stored int     // chunks that became readable
}

// plan decides which of the reserved chunks are copied.
func (j *storeJob) plan(blocks [][]gpu.BlockID) {
	n := len(j.hashes) - j.from
	j.whole, j.backed, j.ours = true, n, n
	j.todo = make([]int32, 0, n)
	var null []int
	for i := range n {
		switch code := j.lease.Code(i); {
		case code == l1.Success && j.w.hasNull(blocks, j.from+i):
			null = append(null, i)
			j.backed = min(j.backed, i)
		case code == l1.Success:
			j.todo = append(j.todo, int32(i))
			continue
		case code == l1.OutOfMemory:
			j.whole = false
			j.backed = min(j.backed, i)
		}
		j.ours = min(j.ours, i)
	}
	for _, i := range null { // not above: a lease that has ended forgets its codes
		j.lease.Drop(i)
	}
}

// submit queues the copies.
func (j *storeJob) submit(blocks [][]gpu.BlockID, after gpu.Event) {
	w, t := j.w, &j.w.e.topics
	w.stored.submitted.Add(1)
	j.begin(j)
	j.number(t.storeSubmitted.Active() || t.storeStarted.Active() || t.storeEnded.Active())
	if j.op != "" {
		t.storeSubmitted.PublishAt(StoreSubmitted{SessionID: j.s.r.ID, Device: w.device, OpID: j.op}, j.at)
	}
	if len(j.todo) == 0 {
		j.ended(j.at, false)
		return
	}
	l := w.stores
	l.mu.Lock()
	defer l.mu.Unlock()
	wait := deviceEvent(after)
	if j.op != "" && t.storeStarted.Active() {
		l.stream.Wait(wait)
		j.start = l.stream.Record()
	}
	per, next := w.batch, 0
	for i, b := range j.lease.All() {
		if next == len(j.todo) || int(j.todo[next]) != i {
			continue // left out
		}
		if next%per == 0 {
			l.stream.Wait(wait) // once per batch: what it fails ends with the next event
		}
		for _, p := range w.parts {
			l.stream.Gather(b[p.off:p.off+p.size], w.o.Cache, p.group, p.of(blocks, j.from+i))
		}
		if next++; next == len(j.todo) || next%per == 0 {
			j.t.device = l.record(j, next, next == len(j.todo))
		}
	}
	l.flush()
}

// reached makes the objects of a batch readable. After a failure nothing more is:
// a chunk behind a gap would be of no use.
func (j *storeJob) reached(hi int, err error) {
	if j.err == nil {
		j.err = err
	}
	if j.err != nil {
		return // the leases go back when the last copy has drained
	}
	for lo := j.done; lo < hi; {
		end := lo + 1
		for end < hi && j.todo[end] == j.todo[end-1]+1 {
			end++
		}
		r := j.lease.FinishRange(int(j.todo[lo]), int(j.todo[end-1])+1)
		j.stored += len(r.Finished)
		if len(r.Failed) > 0 { // the lease has expired, and with it all that is left
			j.whole = false
			j.cut(int(j.todo[lo]))
		}
		lo = end
	}
	j.done = hi
}

// cut notes that the chunk at a position is not in the cache.
func (j *storeJob) cut(position int) {
	j.backed, j.ours = min(j.backed, position), min(j.ours, position)
}

// ended discards what failed and announces the end.
func (j *storeJob) ended(at time.Time, lost bool) {
	w, e, s := j.w, j.w.e, j.s
	if !lost {
		j.lease.Abort()
	}
	if at.IsZero() {
		at = e.sm.Now()
	}
	if j.done < len(j.todo) {
		j.cut(int(j.todo[j.done]))
	}
	size := e.o.ChunkTokens
	bytes := int64(j.stored) * w.objectBytes()
	success := j.whole && j.err == nil
	s.setStored(&w.member, j.hashes, j.from+j.ours)
	took := since(e.sm.Now(), j.at)
	s.note(func(r *RequestReceipt) {
		r.StoredChunks += j.stored
		r.BytesOut += bytes
		r.StoreTime += took
		if j.err != nil {
			r.Outcome = outcomeFailed
		}
	})
	if j.stored > 0 {
		w.logTransfer("Stored", j.stored*size, took)
	}
	if began, ok := j.began(); ok {
		e.topics.storeStarted.PublishAt(StoreStarted{
			SessionID: s.r.ID, Device: w.device, EngineID: w.id, Model: w.key.model, OpID: j.op,
		}, began)
	}
	if j.op != "" {
		e.topics.storeEnded.PublishAt(StoreEnded{
			SessionID: s.r.ID, Device: w.device, EngineID: w.id, Model: w.key.model, OpID: j.op,
			StoredCount: j.stored, TotalBytes: bytes, NumTokens: j.stored * size, Success: success, SubmittedAt: j.at,
		}, at)
	}
	j.over()
	w.stored.finished.Add(1)
	j.t.finish(at, j.err, outcome{tokens: (j.from + j.backed) * size, chunks: j.stored, bytes: bytes, success: success})
	if j.err != nil && !lost {
		w.stores.probe(w, j.err)
	}
}
