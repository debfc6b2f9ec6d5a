package lmcache

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/lmcache-go/lmcache/storage"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// Errors of Warm, to be tested with errors.Is.
var (
	// ErrNoLayout says that no worker of a model and world size is attached, so that
	// nobody knows how its objects look.
	ErrNoLayout = errors.New("lmcache: no worker of this model and world size is attached")
	// ErrManyWarmings says that MaxWarmings run already.
	ErrManyWarmings = fmt.Errorf("lmcache: %d prompts are being loaded already", MaxWarmings)
)

// MaxWarmings is how many calls of Warm are remembered. The oldest result goes for a
// new one; while all of them run, no further one begins.
const MaxWarmings = 1024

// WarmRequest names the objects of a prompt.
type WarmRequest struct {
	Model     string // may be empty if one model is registered
	WorldSize int    // ranks with different KV; 0: that of the model's registration
	Salt      string // tenant
	Tokens    []int32
}

// WarmStatus is how far a Warm has come.
type WarmStatus struct {
	ID     string // names it; empty: the prompt is shorter than a chunk, there is nothing to do
	Chunks int    // of the prompt
	Total  int    // objects that were asked for
	Done   bool
	Found  int // with Done: objects that are in L1, or came into it
}

// Warm brings what the outer tiers have of a prompt into L1, so that a request that
// comes later finds it there, and returns at once. It lends nothing: what came stays
// until it is evicted. Of object groups with a window it asks for the end of the
// prompt, of the others for all that is there without a gap. The tokens are not kept.
//
// It needs an outer tier (storage.ErrNoTiers) and an attached worker of the model
// (ErrNoLayout).
func (e *Engine) Warm(ctx context.Context, r WarmRequest) (WarmStatus, error) {
	if err := (Request{Model: r.Model, WorldSize: r.WorldSize, Salt: r.Salt}).validate(); err != nil {
		return WarmStatus{}, err
	}
	e.lookups.RLock()
	defer e.lookups.RUnlock()
	if e.isClosed() {
		return WarmStatus{}, ErrClosed
	}
	hashes := (kv.Chain{}).Extend(e.hasher, e.o.ChunkTokens, r.Tokens).Hashes()
	if len(hashes) == 0 {
		return WarmStatus{Done: true}, nil
	}
	if len(e.o.Tiers) == 0 {
		return WarmStatus{}, storage.ErrNoTiers
	}
	k, groups, ok, err := e.resolve(r.Model, r.WorldSize)
	switch {
	case err != nil:
		return WarmStatus{}, err
	case !ok:
		return WarmStatus{}, ErrNoLayout
	}
	n, err := e.warmings.number()
	if err != nil {
		return WarmStatus{}, err
	}
	w := &warming{e: e, status: WarmStatus{ID: fmt.Sprintf("warm-%s-%d", e.bootID, n), Chunks: len(hashes)}}
	w.alarm.bell = w
	err = w.submit(ctx, kv.Request{Model: k.model, Salt: r.Salt, World: k.world, Worker: kv.AllWorkers}, groups, hashes)
	if err == nil {
		err = e.warmings.add(w)
	}
	if err != nil {
		w.release()
		return WarmStatus{}, closedError(err)
	}
	e.alarms.set(&w.alarm, e.sm.Now().Add(jobTTL))
	return w.look(), nil
}

// Warming is the state of a Warm; false: there is none of that name, or its result is
// no longer kept, which it is for 600 s at least.
func (e *Engine) Warming(id string) (WarmStatus, bool) {
	if w := e.warmings.find(id); w != nil {
		return w.look(), true
	}
	return WarmStatus{}, false
}

// CancelWarming ends a Warm and forgets it: nothing more is asked of the tiers. What is
// under way still arrives. It reports whether there was one of that name.
func (e *Engine) CancelWarming(id string) bool {
	w := e.warmings.find(id)
	if w == nil || !e.warmings.remove(w) {
		return false
	}
	e.alarms.stop(&w.alarm)
	w.release()
	return true
}

// warming is one Warm.
type warming struct {
	e     *Engine
	alarm alarm
	mu    struct {
		sync.Mutex
		known time.Time // when the result was seen first; zero: not yet
	}
	status WarmStatus // Done and Found are of look
	tasks  []*storage.Prefetch
}

// submit asks for the objects of each group.
func (w *warming) submit(ctx context.Context, r kv.Request, groups []objectGroup, hashes []kv.Hash) error {
	list := w.e.keys.take(len(hashes) * r.World)
	defer w.e.keys.give(list)
	for i := range groups {
		g := &groups[i]
		if g.aux {
			continue
		}
		policy := storage.Prefix
		if g.window > 0 {
			policy = storage.Sparse
		}
		var err error
		if *list, err = r.AppendKeys((*list)[:0], g.id, hashes[g.from(0, len(hashes)):]); err != nil {
			return err
		}
		p, err := w.e.sm.SubmitPrefetch(ctx, *list, g.layout, storage.PrefetchOptions{
			Owner: w.status.ID, RequestID: w.status.ID, Policy: policy, Warm: true,
		})
		if err != nil {
			return err
		}
		w.tasks = append(w.tasks, p)
		w.status.Total += len(*list)
	}
	return nil
}

// look is the state now.
func (w *warming) look() WarmStatus {
	s := w.status
	for _, p := range w.tasks {
		r, known := p.Status()
		if !known {
			return w.status
		}
		s.Found += r.Found.Count()
	}
	s.Done = true
	w.mu.Lock()
	seen := !w.mu.known.IsZero()
	if !seen {
		w.mu.known = w.e.sm.Now()
	}
	w.mu.Unlock()
	if !seen {
		w.release() // of what has its result the handles only
	}
	return s
}

// release gives the handles back, which ends what has no result yet.
func (w *warming) release() {
	for _, p := range w.tasks {
		p.Release()
	}
}

// ring forgets a result that has been kept for long enough.
func (w *warming) ring(now time.Time) (next time.Time) {
	if !w.look().Done {
		return now.Add(jobTTL)
	}
	w.mu.Lock()
	due := w.mu.known.Add(jobTTL)
	w.mu.Unlock()
	if now.Before(due) {
		return due
	}
	w.e.warmings.remove(w)
	return time.Time{}
}

// warmings are those that are remembered, the oldest first. The zero value is empty.
type warmings struct {
	mu struct {
		sync.Mutex
		n    int // ever
		list []*warming
	}
}

// number is that of the next one, if there is room for it.
func (l *warmings) number() (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.roomLocked() {
		return 0, ErrManyWarmings
	}
	l.mu.n++
	return l.mu.n, nil
}

// add takes w in, if there is room for it.
func (l *warmings) add(w *warming) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.roomLocked() {
		return ErrManyWarmings
	}
	l.mu.list = append(l.mu.list, w)
	return nil
}

// roomLocked makes room at the cost of the oldest result.
func (l *warmings) roomLocked() bool {
	if len(l.mu.list) < MaxWarmings {
		return true
	}
	at := slices.IndexFunc(l.mu.list, func(w *warming) bool { return w.look().Done })
	if at < 0 {
		return false
	}
	old := l.mu.list[at]
	old.e.alarms.stop(&old.alarm)
	l.mu.list = slices.Delete(l.mu.list, at, at+1)
	return true
}

// find returns nil if there is none.
func (l *warmings) find(id string) *warming {
	l.mu.Lock()
	defer l.mu.Unlock()
	if at := slices.IndexFunc(l.mu.list, func(w *warming) bool { return w.status.ID == id }); at >= 0 {
		return l.mu.list[at]
	}
	return nil
}

// remove reports whether w was there.
func (l *warmings) remove(w *warming) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	at := slices.Index(l.mu.list, w)
	if at >= 0 {
		l.mu.list = slices.Delete(l.mu.list, at, at+1)
	}
	return at >= 0
}

// close ends all of them.
func (l *warmings) close() {
	l.mu.Lock()
	list := l.mu.list
	l.mu.list = nil
	l.mu.Unlock()
	for _, w := range list {
		w.release()
	}
}
