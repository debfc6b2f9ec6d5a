package lmcache

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lmcache-go/lmcache/eventbus"
	"github.com/lmcache-go/lmcache/internal/runtime"
	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/storage"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// Errors of the engine, to be tested with errors.Is.
var (
	// ErrClosed says that the engine, the session or the worker was closed.
	ErrClosed = errors.New("lmcache: closed")
	// ErrAmbiguousModel says that a request left out the model or the world size,
	// and that not exactly one registration fits.
	ErrAmbiguousModel = errors.New("lmcache: the request leaves out model or world size, and not exactly one registration fits")
	// ErrUnknownInstance says that no worker is registered under an instance id: its
	// client has to register again.
	ErrUnknownInstance = errors.New("lmcache: unknown instance")
	// ErrUnhealthy says that the worker's device has failed for good.
	ErrUnhealthy = errors.New("lmcache: the worker's device has failed")
)

// closedError is err, with the engine's own error for a closed storage.
func closedError(err error) error {
	if errors.Is(err, storage.ErrClosed) {
		return ErrClosed
	}
	return err
}

// Engine turns tokens into keys, keys into leases, and leases into copies between
// a host's paged KV cache and the cache's memory. It keeps no bytes of its own.
// All methods are safe for concurrent use.
type Engine struct {
	o      Options
	sm     *storage.Manager
	rt     runtime.Runtime
	live   *runtime.Live // rt, if this engine made it
	alarms alarms
	table  *sessionTable
	remote liveness
	kept   quarantine
	beat   time.Duration // between two looks at what has a lease
	hasher kv.Hasher
	log    *slog.Logger
	topics topics
	bootID string
	began  time.Time
	ops    atomic.Int64 // transfers, for op ids
	jobs   atomic.Int64 // lookups not delivered
	clears atomic.Int64 // forced ones
	hits   hitRate
	keys   keyLists

	warmings warmings

	lookups sync.RWMutex   // held for reading by those that run, and by Attach
	rounds  sync.WaitGroup // lookups that go on by themselves
	gone    chan struct{}  // Close is done

	mu struct {
		sync.Mutex
		closed   bool
		layouts  map[layoutKey]*layoutEntry
		workers  []*Worker     // attached, in order
		hosts    []*HostWorker // the same
		attached int           // ever
	}
}

type topics struct {
	requestStarted    eventbus.Topic[RequestStarted]
	requestEnded      eventbus.Topic[RequestEnded]
	requestReceipt    eventbus.Topic[RequestReceipt]
	sessionEnding     eventbus.Topic[SessionEnding]
	lookupStarted     eventbus.Topic[LookupStarted]
	lookup            eventbus.Topic[Lookup]
	lookupEnded       eventbus.Topic[LookupEnded]
	lookupAbandoned   eventbus.Topic[LookupAbandoned]
	storeSubmitted    eventbus.Topic[StoreSubmitted]
	storeStarted      eventbus.Topic[StoreStarted]
	storeEnded        eventbus.Topic[StoreEnded]
	retrieveSubmitted eventbus.Topic[RetrieveSubmitted]
	retrieveStarted   eventbus.Topic[RetrieveStarted]
	retrieveEnded     eventbus.Topic[RetrieveEnded]
	blocksAllocated   eventbus.Topic[BlocksAllocated]
}

// Open builds an engine. It reports all problems of the options at once and
// leaves nothing behind when it fails.
func Open(ctx context.Context, o Options) (*Engine, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	o = o.withDefaults()
	hasher, err := kv.NewHasher(o.HashAlgorithm, o.HashSeed)
	if err != nil {
		return nil, err
	}
	e := &Engine{o: o, hasher: hasher, log: o.Logger, gone: make(chan struct{})}
	if o.Runtime == nil {
		e.live = runtime.NewLive()
		e.o.Runtime = e.live
	}
	e.rt = e.o.Runtime
	if e.sm, err = storage.Open(ctx, e.o.storage()); err != nil {
		if e.live != nil {
			e.live.Close()
		}
		return nil, err
	}
	if hasher.Weak() {
		o.Logger.WarnContext(ctx, "hash algorithm is weak: two different prompts may collide, which would serve wrong data",
			slog.String("algorithm", hasher.Name()))
	}
	var id [8]byte
	_, _ = rand.Read(id[:]) // never fails
	e.bootID, e.began = hex.EncodeToString(id[:]), e.sm.Now()
	e.alarms.rt = e.rt
	e.beat = beatOf(o)
	e.table = newSessionTable(o)
	e.kept.e = e
	e.remote.open(e)
	e.topics = topics{
		requestStarted:    eventbus.TopicOf[RequestStarted](o.Bus),
		requestEnded:      eventbus.TopicOf[RequestEnded](o.Bus),
		requestReceipt:    eventbus.TopicOf[RequestReceipt](o.Bus),
		sessionEnding:     eventbus.TopicOf[SessionEnding](o.Bus),
		lookupStarted:     eventbus.TopicOf[LookupStarted](o.Bus),
		lookup:            eventbus.TopicOf[Lookup](o.Bus),
		lookupEnded:       eventbus.TopicOf[LookupEnded](o.Bus),
		lookupAbandoned:   eventbus.TopicOf[LookupAbandoned](o.Bus),
		storeSubmitted:    eventbus.TopicOf[StoreSubmitted](o.Bus),
		storeStarted:      eventbus.TopicOf[StoreStarted](o.Bus),
		storeEnded:        eventbus.TopicOf[StoreEnded](o.Bus),
		retrieveSubmitted: eventbus.TopicOf[RetrieveSubmitted](o.Bus),
		retrieveStarted:   eventbus.TopicOf[RetrieveStarted](o.Bus),
		retrieveEnded:     eventbus.TopicOf[RetrieveEnded](o.Bus),
		blocksAllocated:   eventbus.TopicOf[BlocksAllocated](o.Bus),
	}
	e.mu.layouts = make(map[layoutKey]*layoutEntry)
	return e, nil
}

// ChunkTokens is the number of tokens per chunk.
func (e *Engine) ChunkTokens() int { return e.o.ChunkTokens }

// BootID is a random name of this engine, by which a client sees a restart.
func (e *Engine) BootID() string { return e.bootID }

// Clear removes all objects from L1 that nobody uses; forced, it removes all, and
// those in use are freed when their users let go: a match taken before then
// retrieves as a miss. It returns how many.
func (e *Engine) Clear(ctx context.Context, force bool) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	if e.isClosed() {
		return 0, ErrClosed
	}
	if force {
		e.clears.Add(1)
	}
	return e.sm.Clear(force), nil
}

// Flush returns when everything stored before the call is in each outer tier, or was
// refused by it or given up.
func (e *Engine) Flush(ctx context.Context) error {
	if e.isClosed() {
		return ErrClosed
	}
	return closedError(e.sm.Flush(ctx))
}

// ReportBlocks passes on what the host's scheduler did with its own blocks. It is
// dropped unless somebody listens. The records are kept and must not change.
func (e *Engine) ReportBlocks(instance int64, model string, records []BlockAllocation) {
	_ = e.ReportBlocksFunc(instance, model, func() ([]BlockAllocation, error) { return records, nil }) // it has none
}

// ReportBlocksFunc is ReportBlocks for records that have to be decoded first: that
// is done only if somebody listens. The error is that of decode.
func (e *Engine) ReportBlocksFunc(instance int64, model string, decode func() ([]BlockAllocation, error)) error {
	e.remote.seen(instance)
	if !e.topics.blocksAllocated.Active() {
		return nil
	}
	records, err := decode()
	if err == nil {
		e.topics.blocksAllocated.PublishAt(BlocksAllocated{InstanceID: instance, Model: model, Records: records}, e.sm.Now())
	}
	return err
}

// Memory describes the memory of L1, for those who share it or register it.
func (e *Engine) Memory() l1.Memory { return e.sm.Memory() }

// Check verifies the sums of the storage below; for tests and diagnosis.
func (e *Engine) Check() error { return e.sm.Check() }

func (e *Engine) isClosed() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.mu.closed
}

// Close refuses new work, waits until the transfers that run are done, or ctx
// ends, detaches all workers, ends all sessions with their events and frees the
// memory, when the calls of Lookup and Attach that run have returned. It is
// idempotent; a second caller waits for the first, whose error it
// does not get.
//
// If ctx ends first, or somebody still holds memory, the error says who, and the
// memory stays mapped: a device may be writing to it. The bus is closed by its
// owner afterwards.
func (e *Engine) Close(ctx context.Context) error {
	e.mu.Lock()
	closed := e.mu.closed
	e.mu.closed = true
	workers, hosts := slices.Clone(e.mu.workers), slices.Clone(e.mu.hosts)
	e.mu.Unlock()
	if closed {
		select {
		case <-e.gone:
			return nil
		case <-ctx.Done():
		}
		select {
		case <-e.gone: // wins over a context that has ended
			return nil
		default:
			return ctx.Err()
		}
	}
	defer close(e.gone)
	var errs []error
	for _, w := range workers {
		errs = append(errs, w.close(ctx))
	}
	for _, h := range hosts {
		errs = append(errs, h.Close())
	}
	e.kept.empty()
	for _, s := range e.table.close() {
		errs = append(errs, s.Close())
	}
	e.alarms.close()
	// Lookups that have begun find their sessions closed and give back what they
	// lease; an Attach that has begun unpins what it has pinned.
	e.lookups.Lock()
	e.lookups.Unlock() //nolint:staticcheck // it waits for them
	e.warmings.close()
	err := e.sm.Close(ctx)
	errs = append(errs, err)
	e.rounds.Wait() // the storage has resolved what they wait for
	if e.live != nil && !errors.Is(err, storage.ErrTierBusy) {
		e.live.Close() // waits for what its timers do
	}
	return errors.Join(errs...)
}
