package replay

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/storage"
	"github.com/lmcache-go/lmcache/storage/kv"
	"github.com/lmcache-go/lmcache/trace"
)

// shared is the owner of all calls of a recording that names none.
const shared = storage.NoCall

// player makes recorded calls on a storage manager.
type player struct {
	o      *Options
	r      *Result
	owners map[int64]*owner

	unknown map[string]bool // names without a handler that were reported

	verdict *verdict      // nil: outcomes are only collected
	now     about         // the call that is being made
	collect bool          // outcomes
	done    []CallOutcome // since they were taken last

	waiting    map[int64][]waiting // by owner: its lookups that are not resolved, in order
	unresolved []*storage.Prefetch // of the call that was made last
	virtual    *storage.Virtual    // of a replay in virtual time, in which nothing waits
}

// waiting is a lookup that is not resolved.
type waiting struct {
	of      about
	at      time.Time
	handles []*storage.Prefetch
}

// owner is a recorded owner while it holds anything.
type owner struct {
	*storage.Owner
	keys     []kv.Key                      // of its reservation
	reserved storage.WriteLease            // that
	found    []*storage.Prefetch           // its lookup, one for each row
	missed   [][]kv.Key                    // scopes that could not be entered and have not ended
	scopes   map[int64][]storage.ReadLease // what was claimed, by the number of the call
}

func newPlayer(o *Options, r *Result) *player {
	return &player{o: o, r: r, owners: make(map[int64]*owner), waiting: make(map[int64][]waiting), unknown: make(map[string]bool)}
}

// skip counts a record of a call that cannot be made.
func (p *player) skip(name string, err error) {
	p.r.Skipped++
	switch {
	case !errors.Is(err, trace.ErrUnknownCall):
		p.o.Logger.Warn(fmt.Sprintf("trace replay: failed to decode args for %s; skipping", name), "error", err)
	case !p.unknown[name]:
		p.unknown[name] = true
		p.o.Logger.Warn(fmt.Sprintf("trace replay: no handler for qualname '%s'; skipping", name))
	}
}

// calling says which call is made next.
func (p *player) calling(e *entry) {
	c := e.call
	p.now = about{n: e.number, recorded: c.N != storage.NoCall, name: c.Name, mono: e.mono, keys: c.Keys}
	p.unresolved = nil
	if p.verdict != nil {
		p.verdict.calling(e.mono)
	}
}

// make makes a call of the plain format, and notes in its line how it went.
func (p *player) make(ctx context.Context, e *entry, line *heldLine) {
	p.calling(e)
	took, err := p.play(ctx, e.call)
	p.r.count(e.name, took, err)
	line.Latency, line.Failed = took, err != nil
	if err != nil {
		p.o.Logger.Warn("trace replay: handler for "+e.name+" raised", "error", err)
	}
}

// decided takes an outcome of the current call.
func (p *player) decided(o trace.Outcome) {
	o.N = p.now.n
	if p.collect {
		p.done = append(p.done, CallOutcome{p.now.name, o})
	}
	if p.verdict != nil {
		p.verdict.made(p.now, &o)
	}
}

// takeDone are the outcomes that were not taken yet.
func (p *player) takeDone() []CallOutcome {
	list := p.done
	p.done = nil
	return list
}

// time is that of the replay.
func (p *player) time() time.Time {
	if p.virtual != nil {
		return p.virtual.Now()
	}
	return time.Now()
}

// errVerify is what is wrong with a read whose bytes are.
var errVerify = errors.New("wrong bytes")

// play makes one call and returns how long it took. An error is a failure of the
// call, not a miss.
func (p *player) play(ctx context.Context, c *trace.Call) (took time.Duration, err error) {
	begin := time.Now()
	defer func() {
		if v := recover(); v != nil {
			took, err = time.Since(begin), fmt.Errorf("panic: %v", v)
		}
	}()
	switch c.Name {
	case storage.CallReserveWrite:
		return p.reserve(ctx, c)
	case storage.CallSubmitPrefetch:
		return p.prefetch(ctx, c)
	case storage.CallReadEnter:
		p.unblock(ctx, c.Owner)
		return p.enter(ctx, c)
	case storage.CallFinishRead:
		if c.Cancelled {
			return p.cancel(ctx, c)
		}
		p.unblock(ctx, c.Owner)
	}
	w := p.find(c.Owner)
	switch c.Name {
	case storage.CallFinishWrite:
		begin = time.Now()
		failed := w.FinishWrite(c.Keys)
		p.finished(c, failed, time.Since(begin))
	case storage.CallReadExit:
		begin = time.Now()
		p.decided(trace.Outcome{})
		if !w.Exit(c.Keys) && !w.endMissed(c.Keys) {
			p.r.Unmatched++
			p.o.Logger.Warn(fmt.Sprintf("trace replay: read_prefetched_results.__exit__ with no matching __enter__ (keys=%d); ignoring", len(c.Keys)))
		}
	case storage.CallFinishRead:
		begin = time.Now()
		var failed []int
		w.Prefer(w.scopes[c.Scope])
		switch {
		case c.Aborted:
			failed = w.AbortRead(c.Keys)
		case c.Unused && c.More:
			failed = w.FinishReadPart(c.Keys, c.Readers)
		default:
			failed = w.FinishRead(c.Keys, c.Readers, holders(c))
		}
		p.finished(c, failed, time.Since(begin))
	default:
		return 0, trace.ErrUnknownCall
	}
	took = time.Since(begin)
	p.settle(c.Owner)
	return took, nil
}

// finished takes the outcome of a finish, of which the keys at some positions were not
// held any more.
func (p *player) finished(c *trace.Call, failed []int, took time.Duration) {
	p.r.FailedKeys += int64(len(failed))
	o := trace.Outcome{Took: took, Bad: int64(len(failed))}
	if p.collect {
		ok := storage.NewBitmap(len(c.Keys))
		ok.SetPrefix(len(c.Keys))
		o.OK = ok.AppendBytes(nil)
		for _, i := range failed {
			o.OK[i/8] &^= 1 << (i % 8)
		}
	}
	p.decided(o)
}

// cancel gives a lookup up that may not have resolved.
func (p *player) cancel(ctx context.Context, c *trace.Call) (time.Duration, error) {
	w := p.find(c.Owner)
	begin := time.Now()
	failed := w.Cancel(c.Keys)
	took := time.Since(begin)
	p.finished(c, failed, took)
	p.unblock(ctx, c.Owner)
	p.settle(c.Owner)
	return took, nil
}

// holders are those that a release means: a plain recording does not tell.
func holders(c *trace.Call) storage.Holders {
	switch {
	case c.N == storage.NoCall:
		return storage.AnyHolders
	case c.Unused:
		return storage.Unclaimed
	}
	return storage.Claimed
}

// find is the owner of a recorded number. One that holds nothing is made anew, for
// this call.
func (p *player) find(n int64) *owner {
	w := p.owners[n]
	if w == nil {
		w = &owner{Owner: p.o.Manager.NewOwner()}
		p.owners[n] = w
	}
	return w
}

// settle forgets an owner that holds nothing.
func (p *player) settle(n int64) {
	w := p.owners[n]
	if n == shared || w == nil || !w.Idle() || len(w.missed) > 0 || len(p.waiting[n]) > 0 {
		return
	}
	w.Close()
	delete(p.owners, n)
}

// close gives back everything that is left.
func (p *player) close(ctx context.Context) {
	for _, n := range slices.Sorted(maps.Keys(p.waiting)) {
		if p.virtual == nil {
			p.await(ctx, n)
		} else {
			p.arrived(n)
		}
	}
	for _, n := range slices.Sorted(maps.Keys(p.owners)) {
		w := p.owners[n]
		if !w.Idle() {
			p.r.LeftOpen++
		}
		w.Close()
	}
	clear(p.owners)
}

// number is the owner that a call begins: its own number, if it was recorded.
func number(c *trace.Call) int64 {
	if c.N == storage.NoCall {
		return shared
	}
	return c.N
}

func (p *player) reserve(ctx context.Context, c *trace.Call) (time.Duration, error) {
	w := p.find(number(c))
	begin := time.Now()
	l, err := w.ReserveWrite(ctx, c.Keys, c.Layout, c.Mode, storage.WriteOptions{})
	took := time.Since(begin)
	if err != nil {
		p.settle(number(c))
		return took, err
	}
	granted, n := make([]byte, (len(c.Keys)+7)/8), int64(0)
	for i, b := range l.All() {
		n++
		granted[i/8] |= 1 << (i % 8)
		if p.o.Fill == FillKey {
			patternOf(&c.Keys[i], p.o.Seed).fill(b)
		} else {
			clear(b)
		}
	}
	p.r.Reserved += n
	o := trace.Outcome{Took: took, OK: granted}
	if p.collect && n < int64(len(c.Keys)) {
		o.OutOfMemory, o.Busy = denied(l, len(c.Keys))
	}
	p.decided(o)
	if c.N != storage.NoCall {
		w.keys, w.reserved = c.Keys, l
	}
	p.settle(number(c))
	return took, nil
}

// denied are the positions of a reservation without memory, and those that are there or
// being written.
func denied(l storage.WriteLease, n int) (oom, busy []byte) {
	oom, busy = make([]byte, (n+7)/8), make([]byte, (n+7)/8)
	for i := range n {
		switch l.Code(i) {
		case l1.Success:
		case l1.OutOfMemory:
			oom[i/8] |= 1 << (i % 8)
		default:
			busy[i/8] |= 1 << (i % 8)
		}
	}
	return oom, busy
}

func (p *player) prefetch(ctx context.Context, c *trace.Call) (took time.Duration, err error) {
	w := p.find(number(c))
	at := p.time()
	var handles []*storage.Prefetch
	rows := c.Rows
	if rows == nil {
		rows = []trace.Row{{Keys: c.Keys, Layout: c.Layout}}
	}
	for i := range rows {
		begin := time.Now()
		h, e := w.SubmitPrefetch(ctx, rows[i].Keys, rows[i].Layout, storage.PrefetchOptions{
			Readers: c.Readers, RequestID: c.RequestID, Policy: c.Policy, SkipL2: c.SkipL2, Warm: c.Warm, Deadline: c.Deadline,
		})
		took += time.Since(begin)
		if e != nil {
			err = errors.Join(err, e)
			continue
		}
		handles = append(handles, h)
		if _, known := h.Status(); !known {
			p.unresolved = append(p.unresolved, h)
		}
	}
	if c.N != storage.NoCall {
		w.found = handles
	}
	x := waiting{of: p.now, at: at, handles: handles}
	if len(p.unresolved) > 0 {
		p.waiting[number(c)] = append(p.waiting[number(c)], x)
		return took, err
	}
	p.found(w, x)
	p.settle(number(c))
	return took, err
}

// arrived takes up the lookups of an owner, which have resolved.
func (p *player) arrived(n int64) {
	list, now := p.waiting[n], p.now
	delete(p.waiting, n)
	for _, x := range list {
		p.now = x.of
		p.found(p.find(n), x)
	}
	p.now = now
	p.settle(n)
}

// unblock is await before a call that uses what a lookup has leased. In virtual time
// such a call is not made before.
func (p *player) unblock(ctx context.Context, n int64) {
	if p.virtual == nil {
		p.await(ctx, n)
	}
}

// await waits until the lookups of an owner have resolved, or the context ends.
func (p *player) await(ctx context.Context, n int64) {
	list := p.waiting[n]
	if len(list) == 0 {
		return
	}
	for _, x := range list {
		for _, h := range x.handles {
			_, _ = h.Wait(ctx) // what is known then is looked at
		}
	}
	p.arrived(n)
}

// found counts what a lookup came to.
func (p *player) found(w *owner, x waiting) {
	var hits, inL1, loaded int64
	for _, h := range x.handles {
		res, known := h.Status()
		if !known {
			continue // its wait has failed
		}
		if h.ID() >= 0 {
			w.Resolved(h)
		}
		hits, inL1, loaded = hits+int64(res.Found.Count()), inL1+int64(h.L1Hits()), loaded+int64(res.L2)
		p.r.Lookups++
		p.r.Requested += int64(len(h.Keys()))
		p.r.L1Hits += int64(res.L1)
	}
	p.r.Hits += hits
	wait := p.time().Sub(x.at)
	if p.virtual != nil {
		p.r.waits = append(p.r.waits, wait)
	}
	p.decided(trace.Outcome{L1: inL1})
	p.decided(trace.Outcome{Resolved: true, Took: wait, Wait: wait, Hits: hits, L2: loaded})
}

func (p *player) enter(ctx context.Context, c *trace.Call) (time.Duration, error) {
	w := p.find(c.Owner)
	begin := time.Now()
	leases, err := w.Enter(ctx, c.Keys)
	took := time.Since(begin)
	if err != nil {
		if ctx.Err() != nil {
			return took, err
		}
		p.r.Misses++
		w.missed = append(w.missed, c.Keys)
		o := trace.Outcome{Took: took}
		o.Missing, o.Locked = unreadable(err)
		p.decided(o)
		return took, nil
	}
	p.r.Reads++
	if c.N != storage.NoCall {
		if w.scopes == nil {
			w.scopes = make(map[int64][]storage.ReadLease)
		}
		w.scopes[c.N] = leases
	}
	p.decided(trace.Outcome{Took: took, Entered: true})
	if !p.o.Verify {
		return took, nil
	}
	wrong := 0
	for _, l := range leases {
		keys := l.Keys()
		for i, b := range l.All() {
			at := patternOf(&keys[i], p.o.Seed).check(b)
			if at < 0 {
				continue
			}
			wrong++
			p.r.VerifyFailures++
			p.o.Logger.Error(fmt.Sprintf("trace replay: wrong byte at offset %d of %s", at, keys[i]))
		}
	}
	if wrong > 0 {
		return took, errVerify
	}
	return took, nil
}

// unreadable is how many keys of a scope are not there, and how many are not to be read.
func unreadable(err error) (missing, locked int64) {
	if e, ok := errors.AsType[*storage.UnheldError](err); ok {
		return int64(e.Missing), int64(e.Keys - e.Missing)
	}
	read, ok := errors.AsType[*storage.ReadError](err)
	if !ok {
		return 0, 0 // the manager is closed
	}
	for _, e := range read.Keys {
		if e.Code == l1.KeyNotExist {
			missing++
		} else {
			locked++
		}
	}
	return missing, locked
}

// endMissed forgets a scope that could not be entered.
func (w *owner) endMissed(keys []kv.Key) bool {
	i := slices.IndexFunc(w.missed, func(k []kv.Key) bool { return slices.Equal(k, keys) })
	if i < 0 {
		return false
	}
	w.missed = slices.Delete(w.missed, i, i+1)
	return true
}
