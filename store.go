package lmcache

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/lmcache-go/lmcache/gpu"
	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/storage"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// Store copies the full chunks of a prompt that are not in the cache yet from the
// worker's blocks. blocks has one list per engine group that covers the prompt
// from token 0; after, if not nil, is the event at which the blocks are filled.
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
	chain := s.hash(tokens)
	n := chain.Len()
	from := s.storedBy(w, chain.Hashes())
	if err := w.checkBlocks(blocks, from, n); err != nil {
		return nil, err
	}
	size := w.e.o.ChunkTokens
	if from == n {
		return finished(at, n*size, true), nil
	}
	j := &storeJob{w: w, s: s, t: newTransfer(), from: from, at: at, chain: chain.Hashes()[:n]}
	var err error
	if j.lease, err = w.reserve(ctx, s, j.chain, from); err != nil {
		return nil, err
	}
	j.plan(blocks)
	j.submit(blocks, after)
	return j.t, nil
}

// serves reports whether the session is about this worker's model.
func (w *Worker) serves(s *Session) error {
	k, _, _, err := w.e.resolve(s.r.Model, s.r.WorldSize)
	if err != nil {
		return err
	}
	if k != w.key {
		return fmt.Errorf("lmcache: the session is about model %q and world size %d, the worker about %q and %d",
			k.model, k.world, w.key.model, w.key.world)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.layout = k
	return nil
}

// reserve stages memory for the chunks from on.
func (w *Worker) reserve(ctx context.Context, s *Session, hashes []kv.Hash, from int) (storage.WriteLease, error) {
	req := s.request(w.key, w.o.Rank)
	keys, err := req.AppendKeys(make([]kv.Key, 0, len(hashes)-from), group, hashes[from:])
	if err != nil {
		return storage.WriteLease{}, err
	}
	o := storage.WriteOptions{Owner: s.r.ID}
	if from > 0 {
		prev, err := req.AppendKeys(nil, group, hashes[from-1:from])
		if err != nil {
			return storage.WriteLease{}, err
		}
		o.After = prev[0]
	}
	return w.e.sm.ReserveWrite(ctx, keys, w.layout, storage.New, o)
}

// storeJob is one store on its lane.
type storeJob struct {
	w      *Worker
	s      *Session
	t      *Transfer
	lease  storage.WriteLease
	chain  []kv.Hash
	from   int // first chunk of the range
	at     time.Time
	op     string
	start  gpu.Event // reached when the copies begin; nil: nobody wants to know
	todo   []int32   // positions of the lease that are copied
	whole  bool      // every chunk is present, staged by another, skipped, or copied by us
	loose  bool      // a chunk was skipped: the range is not all in the cache
	done   int       // positions of todo that are settled
	err    error
	tokens int
}

// plan decides which of the reserved chunks are copied.
func (j *storeJob) plan(blocks [][]gpu.BlockID) {
	j.whole = true
	keys := j.lease.Keys()
	for i := range len(j.chain) - j.from {
		code := l1.KeyNotWritable
		if keys != nil {
			code = j.lease.Code(i)
		}
		switch {
		case code == l1.OutOfMemory:
			j.whole = false
		case code != l1.Success:
		case j.w.hasNull(blocks, j.from+i):
			j.lease.Drop(i)
			j.loose = true
		default:
			j.todo = append(j.todo, int32(i))
		}
	}
}

// submit queues the copies.
func (j *storeJob) submit(blocks [][]gpu.BlockID, after gpu.Event) {
	w, e := j.w, j.w.e
	announce := e.topics.storeEnded.Active() || e.topics.storeSubmitted.Active() || e.topics.storeStarted.Active()
	if announce {
		j.op = e.opID(j.s.r.ID)
		e.topics.storeSubmitted.PublishAt(StoreSubmitted{SessionID: j.s.r.ID, Device: w.device, OpID: j.op}, j.at)
	}
	if len(j.todo) == 0 {
		j.ended(j.at)
		return
	}
	buffers := make([][]byte, len(j.chain)-j.from)
	for i, b := range j.lease.All() {
		buffers[i] = b
	}
	l := w.stores
	l.mu.Lock()
	defer l.mu.Unlock()
	if ev := deviceEvent(after); ev != nil {
		l.stream.Wait(ev)
	}
	if e.topics.storeStarted.Active() {
		j.start = l.stream.Record()
	}
	per := w.batchObjects()
	for lo := 0; lo < len(j.todo); lo += per {
		hi := min(lo+per, len(j.todo))
		for _, i := range j.todo[lo:hi] {
			for _, p := range w.parts {
				l.stream.Gather(buffers[i][p.off:p.off+p.size], w.o.Cache, p.group, p.of(blocks, j.from+int(i)))
			}
		}
		ev := l.stream.Record()
		j.t.device = ev
		l.push(batch{job: j, event: ev, hi: hi, last: hi == len(j.todo)})
	}
}

// reached makes the objects of a batch readable. After a failure nothing more is:
// a chunk behind a gap would be of no use.
func (j *storeJob) reached(hi int, _ time.Time, err error) {
	if j.err == nil {
		j.err = cmp.Or(err, failure(j.start))
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
		j.t.mu.Lock()
		j.t.mu.chunks += len(r.Finished)
		j.t.mu.Unlock()
		if len(r.Failed) > 0 {
			j.whole = false
		}
		lo = end
	}
	j.done = hi
}

// ended discards what failed and announces the end.
func (j *storeJob) ended(at time.Time) {
	w, e, t := j.w, j.w.e, j.t
	j.lease.Abort()
	if at.IsZero() {
		at = e.sm.Now()
	}
	size := e.o.ChunkTokens
	t.mu.Lock()
	t.mu.at, t.mu.err = at, j.err
	t.mu.success = j.whole && j.err == nil
	t.mu.bytes = int64(t.mu.chunks) * w.layout.Size()
	if t.mu.success {
		t.mu.tokens = len(j.chain) * size
	}
	chunks, bytes, success := t.mu.chunks, t.mu.bytes, t.mu.success
	t.mu.Unlock()
	if success && !j.loose {
		j.s.setStored(w, j.chain, len(j.chain))
	}
	took := since(e.sm.Now(), j.at)
	j.s.note(func(r *RequestReceipt) {
		r.StoredChunks += chunks
		r.BytesOut += bytes
		r.StoreTime += took
		if j.err != nil {
			r.Outcome = "failed"
		}
	})
	if chunks > 0 {
		w.logTransfer("Stored", chunks*size, took)
	}
	w.stores.check(w, j.err)
	if j.start != nil && len(j.todo) > 0 {
		if began, ok, _ := j.start.Done(); ok {
			e.topics.storeStarted.PublishAt(StoreStarted{
				SessionID: j.s.r.ID, Device: w.device, EngineID: w.id, Model: w.key.model, OpID: j.op,
			}, began)
		}
	}
	if j.op != "" {
		e.topics.storeEnded.PublishAt(StoreEnded{
			SessionID: j.s.r.ID, Device: w.device, EngineID: w.id, Model: w.key.model, OpID: j.op,
			StoredCount: chunks, TotalBytes: bytes, NumTokens: chunks * size, Success: success, SubmittedAt: j.at,
		}, at)
	}
	close(t.done)
}
