package lmcache

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lmcache-go/lmcache/gpu"
	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// WorkerOptions describes a device that holds a slice of a model's KV.
type WorkerOptions struct {
	Model     string
	WorldSize int           // ranks with different KV, 1 to 255; 0 means 1
	Rank      int           // of this worker
	Backend   gpu.Backend   // stays the caller's: close it after the worker
	Cache     *gpu.Paged    // the host's paged cache on that device
	Groups    []EngineGroup // what each block table addresses, by its index; nil: full attention
	NullBlock *gpu.BlockID  // id that stands for "no block"; nil: there is none
	Instance  *int64        // of a remote client, which has to give signs of life; nil: embedded

	// NoSelfTest leaves out the copies of a pattern, between scratch memory of the
	// device, that Attach makes and waits for: for a device that only runs when it
	// is stepped.
	NoSelfTest bool
}

// Worker copies between a paged cache on a device and the engine's memory, on
// streams of its own. Its methods are safe for concurrent use; they take their
// place in a stream in call order and never wait for the device.
type Worker struct {
	member
	o      WorkerOptions
	tables int // block lists of a call
	batch  int // chunks copied between two events
	device string
	stores *lane
	loads  *lane
	pins   *l1.Pinning
	failed atomic.Bool // sticky device error

	stored, loaded transfers // counts

	closing struct {
		sync.RWMutex // held for reading by verbs that run
		closed       bool
	}
	end sync.Mutex // of freeing what open has opened
}

// Attach registers a worker. It reports all problems of the options at once. The
// memory of the engine is pinned on the device, what it gets later too; what cannot
// be pinned works all the same, slowly, and is logged. Close of the engine waits for
// an Attach that runs. A worker with an instance id replaces the one that has it,
// which is closed when its transfers are done.
func (e *Engine) Attach(o WorkerOptions) (*Worker, error) {
	if o.WorldSize == 0 {
		o.WorldSize = 1
	}
	w := &Worker{member: member{e: e, key: layoutKey{o.Model, o.WorldSize}, rank: o.Rank}, o: o}
	if err := w.validate(); err != nil {
		return nil, err
	}
	if old := w.registered(); old != nil {
		return old, nil
	}
	if err := w.selfTest(context.Background()); err != nil { //nolint:forbidigo // it has a deadline of its own
		return nil, err
	}
	e.lookups.RLock() // Close waits: what is pinned here is still mapped when it is unpinned
	defer e.lookups.RUnlock()
	if e.isClosed() {
		return nil, ErrClosed
	}
	w.device = o.Backend.Device()
	if err := w.open(); err != nil {
		return nil, errors.Join(err, w.shut(context.Background())) //nolint:forbidigo // nothing is queued: it does not wait
	}
	var clash *layoutClash
	e.mu.Lock()
	closed := e.mu.closed
	if !closed {
		w.id = e.nextIDLocked(o.Instance)
		e.mu.workers = append(e.mu.workers, w)
		clash = e.registerLocked(&w.member)
	}
	e.mu.Unlock()
	clash.log(e.log)
	if closed {
		return nil, errors.Join(ErrClosed, w.shut(context.Background())) //nolint:forbidigo // nothing is queued: it does not wait
	}
	layers := 0
	for i := range o.Cache.Groups {
		layers += o.Cache.Groups[i].LayerCount()
	}
	e.log.Info(fmt.Sprintf("Registered KV cache for GPU ID %s with %d layers", w.id, layers))
	if o.Instance != nil {
		if old := e.remote.join(*o.Instance, w); old != nil {
			e.retire(old)
		}
	}
	return w, nil
}

// busy reports whether transfers run.
func (w *Worker) busy() bool {
	return w.stored.finished.Load() < w.stored.submitted.Load() || w.loaded.finished.Load() < w.loaded.submitted.Load()
}

// registered is the worker that is registered under the instance id with the same
// options, or nil.
func (w *Worker) registered() *Worker {
	if w.o.Instance == nil {
		return nil
	}
	known, err := w.e.Instance(*w.o.Instance)
	old, ok := known.(*Worker)
	if err != nil || !ok || old.key != w.key || old.rank != w.rank || old.o.Cache != w.o.Cache || !sameGroups(old.groups, w.groups) ||
		!sameNull(old.o.NullBlock, w.o.NullBlock) {
		return nil
	}
	return old
}

func sameNull(a, b *gpu.BlockID) bool {
	return a == b || a != nil && b != nil && *a == *b
}

// validate checks the options, all problems at once, and lays out the object.
func (w *Worker) validate() error {
	o, size := &w.o, w.e.o.ChunkTokens
	var errs []error
	bad := func(field, format string, args ...any) {
		errs = append(errs, fmt.Errorf("lmcache: Attach: %s: %w", field, fmt.Errorf(format, args...)))
	}
	if o.Model == "" {
		bad("Model", "must not be empty")
	} else if err := kv.ValidateModel(o.Model); err != nil {
		bad("Model", "%w", err)
	}
	if _, err := kv.RankOf(o.WorldSize, o.Rank); err != nil {
		bad("Rank", "%w", err)
	}
	if o.Backend == nil {
		bad("Backend", "not set")
	}
	if o.Cache == nil {
		bad("Cache", "not set")
		return errors.Join(errs...)
	}
	if err := o.Cache.Validate(); err != nil {
		bad("Cache", "%w", err)
		return errors.Join(errs...)
	}
	groups, err := objectGroups(o.Cache, o.Groups, size, w.e.o.SeparateObjectGroups)
	if err != nil {
		return errors.Join(append(errs, err)...)
	}
	w.groups = groups
	for i := range o.Cache.Groups {
		w.tables = max(w.tables, o.Cache.Groups[i].EngineGroup+1)
	}
	if n, limit := w.objectBytes(), w.e.o.L1.Bytes; n > limit {
		bad("Cache", "an object of one chunk has %d bytes, more than the %d bytes of L1", n, limit)
	}
	w.batch = int(max(1, batchBytes/w.objectBytes()))
	return errors.Join(errs...)
}

// open pins the memory and opens the streams.
func (w *Worker) open() (err error) {
	ctx := context.Background() //nolint:forbidigo // the life of the worker
	if w.pins, err = w.e.sm.Pin(w.device, w.o.Backend.Pin); err != nil {
		return fmt.Errorf("lmcache: Attach: %w", closedError(err))
	}
	if w.stores, err = newLane(ctx, w.o.Backend, gpu.Normal); err != nil {
		return fmt.Errorf("lmcache: Attach: %w", err)
	}
	if w.loads, err = newLane(ctx, w.o.Backend, gpu.High); err != nil {
		return fmt.Errorf("lmcache: Attach: %w", err)
	}
	return nil
}

// selfTestTime is how long a device may take for the copies of a self-test.
const selfTestTime = 30 * time.Second

// selfTest asks the device to copy a pattern with the strides of the cache. A
// backend that gives out no memory cannot be asked.
func (w *Worker) selfTest(ctx context.Context) error {
	if w.o.NoSelfTest {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, selfTestTime)
	defer cancel()
	if err := gpu.SelfTest(ctx, w.o.Backend, w.o.Cache); err != nil && !errors.Is(err, errors.ErrUnsupported) {
		return fmt.Errorf("lmcache: Attach: %w", err)
	}
	return nil
}

// ID is the worker's name in events and status: its instance id, or a number from 1
// in order of attachment.
func (w *Worker) ID() string { return w.id }

// ObjectBytes is the size of one chunk of this worker in the cache.
func (w *Worker) ObjectBytes() int64 { return w.objectBytes() }

// Close detaches the worker: it refuses new work, waits until what runs is done,
// and frees the streams. It is idempotent; a second caller waits for the first.
func (w *Worker) Close() error {
	return w.close(context.Background()) //nolint:forbidigo // waits for the device; Engine.Close has a deadline
}

// close is Close until ctx ends. A call with an earlier deadline gives the device
// up for one that waits.
func (w *Worker) close(ctx context.Context) error {
	w.closing.Lock()
	first := !w.closing.closed
	w.closing.closed = true
	w.closing.Unlock()
	err := w.shut(ctx)
	if !first {
		return err
	}
	e := w.e
	if w.o.Instance != nil {
		e.remote.leave(*w.o.Instance, w)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.mu.workers = slices.DeleteFunc(e.mu.workers, func(o *Worker) bool { return o == w })
	e.unregisterLocked(&w.member)
	return err
}

// shut frees what open has opened, except what a device that was given up may
// still use. It may be called again.
func (w *Worker) shut(ctx context.Context) error {
	var errs []error
	lost := false
	for _, l := range []*lane{w.stores, w.loads} {
		if l == nil {
			continue
		}
		err := l.close(ctx)
		lost = lost || l.lost
		errs = append(errs, err)
	}
	if lost {
		return fmt.Errorf("lmcache: worker %s: device %s was given up; its leases stay: %w", w.id, w.device, errors.Join(context.Cause(ctx), errors.Join(errs...)))
	}
	w.end.Lock()
	defer w.end.Unlock()
	if w.pins != nil {
		errs = append(errs, w.pins.Close())
	}
	return errors.Join(errs...)
}

// enter begins a verb; leave must follow if it returns nil. Close waits for verbs.
func (w *Worker) enter() error {
	w.closing.RLock()
	if w.closing.closed {
		w.closing.RUnlock()
		return ErrClosed
	}
	return nil
}

func (w *Worker) leave() { w.closing.RUnlock() }

// checkBlocks reports what is wrong with the block lists for chunks [lo, hi), of
// which the first skip tokens are not looked at.
func (w *Worker) checkBlocks(blocks [][]gpu.BlockID, lo, hi, skip int, retrieve bool) error {
	if len(blocks) != w.tables {
		return fmt.Errorf("lmcache: blocks: got %d lists for %d engine groups", len(blocks), w.tables)
	}
	var errs []error
	for i := range w.groups {
		g := &w.groups[i]
		from := lo
		if retrieve {
			if g.aux {
				continue
			}
			from = g.from(lo, hi)
		}
		for j := range g.parts {
			errs = append(errs, w.checkTable(&g.parts[j], blocks, from, hi, skip))
		}
	}
	return errors.Join(errs...)
}

// checkTable is checkBlocks for one part and its list.
func (w *Worker) checkTable(p *part, blocks [][]gpu.BlockID, lo, hi, skip int) error {
	ids := blocks[p.table]
	if need := hi * p.per; len(ids) < need {
		return fmt.Errorf("lmcache: blocks[%d]: %d chunks need %d ids, got %d", p.table, hi, need, len(ids))
	}
	limit := gpu.BlockID(w.o.Cache.Groups[p.group].Blocks)
	for c := lo; c < hi; c++ {
		at := c*p.per + p.first + p.skip
		for i, id := range p.copied(blocks, c) {
			if (id < 0 || id >= limit) && !w.isNull(id) && (at+i+1)*p.tokens > skip {
				return fmt.Errorf("lmcache: blocks[%d][%d]: must be from 0 to %d, got %d", p.table, at+i, limit-1, id)
			}
		}
	}
	return nil
}

func (w *Worker) isNull(id gpu.BlockID) bool { return w.o.NullBlock != nil && id == *w.o.NullBlock }

// hasNull reports whether one of the blocks is null that a chunk's object of a
// group is copied from.
func (w *Worker) hasNull(g *objectGroup, blocks [][]gpu.BlockID, chunk int) bool {
	if w.o.NullBlock == nil {
		return false
	}
	return slices.ContainsFunc(g.parts, func(p part) bool { return slices.Contains(p.copied(blocks, chunk), *w.o.NullBlock) })
}

// places are the blocks of one copy: NoBlock where nothing is to be copied, which
// is before the window, for a null block, and within the first skip tokens. The
// list is good until the lane's next call.
func (l *lane) places(w *Worker, p *part, blocks [][]gpu.BlockID, chunk, skip int) []gpu.BlockID {
	ids := p.of(blocks, chunk)
	at := chunk*p.per + p.first
	if p.skip == 0 && (at+1)*p.tokens > skip && (w.o.NullBlock == nil || !slices.Contains(ids, *w.o.NullBlock)) {
		return ids
	}
	l.ids = append(l.ids[:0], ids...)
	for i, id := range ids {
		if i < p.skip || w.isNull(id) || (at+i+1)*p.tokens <= skip {
			l.ids[i] = gpu.NoBlock
		}
	}
	return l.ids
}

// batchBytes is the size of a batch: enough that a batch costs nothing, little
// enough that early chunks of a long transfer are settled while later ones are
// copied.
const batchBytes = 8 << 20
