package lmcache

import (
	"context"
	"slices"
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
	if err := w.checkBlocks(blocks, from, len(hashes), 0, false); err != nil {
		return nil, err
	}
	j := &storeJob{transferJob: transferJob{w: w, s: s, t: newTransfer(), at: at}, hashes: hashes, from: from}
	if err := j.reserve(ctx, blocks); err != nil {
		return nil, err
	}
	j.plan()
	j.submit(blocks, after)
	return j.t, nil
}

// writePart is staged objects of one group: those of n chunks from one on.
type writePart struct {
	lease storage.WriteLease
	g     *objectGroup
	chunk int
	n     int
}

// code is what became of a chunk's reservation.
func (p *writePart) code(chunk int) l1.Code { return p.lease.Code(chunk - p.chunk) }

func (p *writePart) has(chunk int) bool { return chunk >= p.chunk && chunk < p.chunk+p.n }

// storeJob is one store on its lane. Positions are indexes in todo.
type storeJob struct {
	transferJob
	parts  []writePart // by chunk and group
	one    [1]writePart
	hashes []kv.Hash
	from   int     // first chunk of the range
	todo   []int32 // chunks to copy, those of which no group lacks memory
	whole  bool    // every chunk is present, staged by another, left out on purpose, or to be copied by us
	backed int     // leading chunks that are in the cache, or will be with todo or by another writer
	ours   int     // leading chunks that are known, or in todo or left out on purpose as a whole
	done   int     // index in todo: what comes before is settled
	stored int     // chunks that became readable
	bytes  int64   // of their objects
}

// reserve stages memory for the objects of the range, except where a null block is
// among those that they would be copied from.
func (j *storeJob) reserve(ctx context.Context, blocks [][]gpu.BlockID) error {
	j.parts = j.one[:0]
	for i := range j.w.groups {
		g := &j.w.groups[i]
		for lo := j.from; lo < len(j.hashes); {
			if j.w.hasNull(g, blocks, lo) {
				lo++
				continue
			}
			hi := lo + 1
			for hi < len(j.hashes) && !j.w.hasNull(g, blocks, hi) {
				hi++
			}
			l, err := j.w.reserve(ctx, j.s, g, j.hashes, lo, hi)
			if err != nil {
				for k := range j.parts {
					j.parts[k].lease.Abort()
				}
				return err
			}
			j.parts = append(j.parts, writePart{lease: l, g: g, chunk: lo, n: hi - lo})
			lo = hi
		}
	}
	return nil
}

// chunkPlan is what the reservations say about one chunk.
type chunkPlan struct {
	granted bool // a group has memory for it
	lacking bool // a group has none
	busy    bool // a group's object is there, or another writes it
	left    bool // a group of which every chunk counts has only a null block
}

func (j *storeJob) look(c int) (s chunkPlan) {
	full := 0
	for i := range j.parts {
		p := &j.parts[i]
		if !p.has(c) {
			continue
		}
		if p.g.window == 0 {
			full++
		}
		switch p.code(c) {
		case l1.Success:
			s.granted = true
		case l1.OutOfMemory:
			s.lacking = true
		default:
			s.busy = true
		}
	}
	for i := range j.w.groups {
		if j.w.groups[i].window == 0 {
			full--
		}
	}
	s.left = full < 0
	return s
}

// plan decides which of the reserved chunks are copied: those of which each group
// has memory, or is there already, or has nothing to copy. The objects of the
// others go back, so that the groups of a chunk appear together.
func (j *storeJob) plan() {
	n := len(j.hashes)
	j.whole, j.backed, j.ours = true, n, n
	j.todo = make([]int32, 0, n-j.from)
	var lacking []int
	for c := j.from; c < n; c++ {
		s := j.look(c)
		switch {
		case s.lacking:
			j.whole = false
			lacking = append(lacking, c)
		case s.granted:
			j.todo = append(j.todo, int32(c))
		}
		if s.lacking || s.left {
			j.backed = min(j.backed, c)
		}
		if s.lacking || s.left || s.busy {
			j.ours = min(j.ours, c)
		}
	}
	if slices.ContainsFunc(j.w.groups, func(g objectGroup) bool { return g.window > 0 }) {
		j.backed = fold(j.backed, j.rows(lacking))
	}
	for _, c := range lacking { // not above: a lease that has ended forgets its codes
		for i := range j.parts {
			if p := &j.parts[i]; p.has(c) && p.code(c) == l1.Success {
				p.lease.Drop(c - p.chunk)
			}
		}
	}
}

// rows is the presence of the windowed groups' objects that the store leads to.
func (j *storeJob) rows(lacking []int) []row {
	var rows []row
	for i := range j.w.groups {
		g := &j.w.groups[i]
		if g.window == 0 {
			continue
		}
		r := row{present: make([]bool, len(j.hashes)), window: g.window}
		for c := range j.from {
			r.present[c] = true
		}
		for k := range j.parts {
			if p := &j.parts[k]; p.g == g {
				for c := p.chunk; c < p.chunk+p.n; c++ {
					r.present[c] = true
				}
			}
		}
		for _, c := range lacking {
			r.present[c] = false
		}
		rows = append(rows, r)
	}
	return rows
}

// submit queues the copies, chunk by chunk.
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
	for next, c := range j.todo {
		if next%w.batch == 0 {
			l.stream.Wait(wait) // once per batch: what it fails ends with the next event
		}
		for i := range j.parts {
			if p := &j.parts[i]; p.has(int(c)) && p.code(int(c)) == l1.Success {
				j.gather(l, p, blocks, int(c))
			}
		}
		if next++; next == len(j.todo) || next%w.batch == 0 {
			j.t.device = l.record(j, next, next == len(j.todo))
		}
	}
	l.flush()
}

// gather queues the copies of one object.
func (j *storeJob) gather(l *lane, w *writePart, blocks [][]gpu.BlockID, chunk int) {
	b := w.lease.Buffer(chunk - w.chunk)
	for i := range w.g.parts {
		p := &w.g.parts[i]
		l.stream.Gather(b[p.off:p.off+p.size], j.w.o.Cache, p.group, l.places(j.w, p, blocks, chunk, 0))
	}
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
	failed := 0
	for i := range j.parts {
		failed = max(failed, j.publish(&j.parts[i], j.todo[j.done:hi]))
	}
	j.stored += hi - j.done - failed
	j.done = hi
}

// publish finishes the objects of chunks in one part, and returns how many were
// lost because the lease had expired.
func (j *storeJob) publish(p *writePart, chunks []int32) (failed int) {
	for i := 0; i < len(chunks); {
		c := int(chunks[i])
		if i++; !p.has(c) || p.code(c) != l1.Success {
			continue
		}
		end := c + 1
		for i < len(chunks) && int(chunks[i]) == end && p.has(end) && p.code(end) == l1.Success {
			i, end = i+1, end+1
		}
		r := p.lease.FinishRange(c-p.chunk, end-p.chunk)
		j.bytes += int64(len(r.Finished)) * p.g.layout.Size()
		if n := len(r.Failed); n > 0 { // and with it all that is left
			failed += n
			j.whole = false
			j.cut(c)
		}
	}
	return failed
}

// cut notes that a chunk is not in the cache.
func (j *storeJob) cut(chunk int) {
	j.backed, j.ours = min(j.backed, chunk), min(j.ours, chunk)
}

// ended discards what failed and announces the end.
func (j *storeJob) ended(at time.Time, lost bool) {
	w, e, s := j.w, j.w.e, j.s
	for i := range j.parts {
		if !lost {
			j.parts[i].lease.Abort()
		}
	}
	if at.IsZero() {
		at = e.sm.Now()
	}
	if j.done < len(j.todo) {
		j.cut(int(j.todo[j.done]))
	}
	size := e.o.ChunkTokens
	success := j.whole && j.err == nil
	s.setStored(&w.member, j.hashes, j.ours)
	took := since(e.sm.Now(), j.at)
	s.note(func(r *RequestReceipt) {
		r.StoredChunks += j.stored
		r.BytesOut += j.bytes
		r.StoreTime += took
		if j.err != nil {
			r.Outcome = outcomeFailed
		}
	})
	if j.stored > 0 {
		w.logTransfer(s.r.ID, "Stored", j.stored*size, took)
	}
	if began, ok := j.began(); ok {
		e.topics.storeStarted.PublishAt(StoreStarted{
			SessionID: s.r.ID, Device: w.device, EngineID: w.id, Model: w.key.model, OpID: j.op,
		}, began)
	}
	if j.op != "" {
		e.topics.storeEnded.PublishAt(StoreEnded{
			SessionID: s.r.ID, Device: w.device, EngineID: w.id, Model: w.key.model, OpID: j.op,
			StoredCount: j.stored, TotalBytes: j.bytes, NumTokens: j.stored * size, Success: success, SubmittedAt: j.at,
		}, at)
	}
	j.over()
	w.stored.finished.Add(1)
	j.t.finish(at, j.err, outcome{tokens: j.backed * size, chunks: j.stored, bytes: j.bytes, success: success})
	if j.err != nil && !lost {
		w.stores.probe(w, j.err)
	}
}
