package lmcache

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"sync"

	"github.com/lmcache-go/lmcache/storage/kv"
)

// MaxHostPending is how many reservations, and how many lent reads, a HostWorker has
// at most at a time; a further one gets nothing to write, or is a miss.
const MaxHostPending = 4096

// hostDevice is the device of host copies in events.
const hostDevice = "host"

// HostOptions describes a worker whose host copies the KV itself, into and out of
// buffers that it is lent. Either Layout or Geometry says what an object is.
type HostOptions struct {
	Model     string
	WorldSize int           // ranks with different KV, 1 to 255; 0 means 1
	Rank      int           // of this worker; a remote one names it with each key
	Layout    kv.Layout     // of the object of one chunk
	Geometry  *HostGeometry // instead of Layout
	Instance  *int64        // of a remote client, which has to give signs of life; nil: embedded
	Shared    bool          // the client writes to and reads from the memory itself, and may do so after it is detached
}

// HostGeometry is the KV of a chunk as a client describes it: one tensor
// [2, Layers, Slots, Hidden], or [Layers, Slots, Hidden] with MLA.
type HostGeometry struct {
	Layers      int
	Hidden      int // elements per token and plane: heads × head size, or the latent size
	Slots       int // per chunk; 0: the tokens of a chunk
	BlockTokens int // of the client's paged cache, of which a chunk is a whole number; 0: not known
	DType       kv.DType
	MLA         bool // one plane instead of K and V
}

// layout is that of one chunk.
func (g *HostGeometry) layout(chunkTokens int) (kv.Layout, error) {
	var errs []error
	bad := func(field, format string, args ...any) {
		errs = append(errs, fmt.Errorf("lmcache: AttachHost: Geometry.%s: %w", field, fmt.Errorf(format, args...)))
	}
	slots := g.Slots
	if slots == 0 {
		slots = chunkTokens
	}
	if g.Layers < 1 {
		bad("Layers", "must be positive, got %d", g.Layers)
	}
	if g.Hidden < 1 {
		bad("Hidden", "must be positive, got %d", g.Hidden)
	}
	if slots < 1 {
		bad("Slots", "must be positive, got %d", g.Slots)
	}
	if g.BlockTokens < 0 || g.BlockTokens > 0 && chunkTokens%g.BlockTokens != 0 {
		bad("BlockTokens", "must divide the %d tokens of a chunk, got %d", chunkTokens, g.BlockTokens)
	}
	if g.DType.Size() == 0 {
		bad("DType", "unknown element type %q", g.DType)
	}
	if len(errs) > 0 {
		return kv.Layout{}, errors.Join(errs...)
	}
	shape := []int64{2, int64(g.Layers), int64(slots), int64(g.Hidden)}
	if g.MLA {
		shape = shape[1:]
	}
	l, err := kv.NewLayout([][]int64{shape}, []kv.DType{g.DType})
	if err != nil {
		return kv.Layout{}, fmt.Errorf("lmcache: AttachHost: Geometry: %w", err)
	}
	return l, nil
}

// HostWorker lends the memory of chunks to a host that copies them itself. It has
// one object per chunk, for all layers. Its methods are safe for concurrent use and
// wait for nothing but the result of a lookup.
type HostWorker struct {
	member
	o           HostOptions
	size        int // tokens of a chunk
	mla         bool
	blockTokens int // 0: not known
	counts      hostCounts
	mu          struct {
		sync.Mutex
		ranks    map[int]*member
		stores   map[*HostStore]struct{} // that hold memory
		reads    map[*HostRead]struct{}  // the same
		pending  map[hostKey]*HostStore
		reading  map[hostKey]*HostRead
		finished finishedStores
	}
	closing struct {
		sync.RWMutex // held for reading by verbs that run
		closed       bool
	}
	gone chan struct{} // Close is done
}

// hostCounts counts the transfers of a HostWorker.
type hostCounts struct{ stored, loaded transfers }

// AttachHost registers a worker whose host copies. It reports all problems of the
// options at once. With the instance id of a worker that has equal options, that one
// is returned and has been heard of; with other options the new one replaces it.
func (e *Engine) AttachHost(o HostOptions) (*HostWorker, error) {
	if o.WorldSize == 0 {
		o.WorldSize = 1
	}
	h := &HostWorker{
		member: member{e: e, key: layoutKey{o.Model, o.WorldSize}, rank: o.Rank},
		o:      o, size: e.o.ChunkTokens, gone: make(chan struct{}),
	}
	layout, err := h.validate()
	if err != nil {
		return nil, err
	}
	h.mla = len(layout.Shapes()[0]) == 3
	if o.Geometry != nil {
		h.blockTokens = o.Geometry.BlockTokens
	}
	h.o.Layout, h.o.Geometry = layout, nil
	h.groups = []objectGroup{{id: group, layout: layout}}
	if o.Instance != nil {
		e.remote.registering.Lock()
		defer e.remote.registering.Unlock()
		if old, err := e.Host(*o.Instance); err == nil && old.same(h) {
			return old, nil
		}
	}
	h.mu.ranks = make(map[int]*member)
	h.mu.stores = make(map[*HostStore]struct{})
	h.mu.reads = make(map[*HostRead]struct{})
	h.mu.pending = make(map[hostKey]*HostStore)
	h.mu.reading = make(map[hostKey]*HostRead)
	e.mu.Lock()
	if e.mu.closed {
		e.mu.Unlock()
		return nil, ErrClosed
	}
	h.id = e.nextIDLocked(o.Instance)
	e.mu.hosts = append(e.mu.hosts, h)
	clash := e.registerLocked(&h.member)
	e.mu.Unlock()
	clash.log(e.log)
	e.log.Info("Registered a worker whose host copies", slog.String("engine_id", h.id),
		slog.String("model", o.Model), slog.Int("world_size", o.WorldSize), slog.String("layout", layout.String()))
	if o.Instance != nil {
		if old := e.remote.join(*o.Instance, h); old != nil {
			e.retire(old)
		}
	}
	return h, nil
}

// nextIDLocked names a worker in events: by its instance id, or by a number from 1
// in order of attachment.
func (e *Engine) nextIDLocked(instance *int64) string {
	e.mu.attached++
	if instance != nil {
		return strconv.FormatInt(*instance, 10)
	}
	return strconv.Itoa(e.mu.attached)
}

// validate checks the options, all problems at once, and returns the layout.
func (h *HostWorker) validate() (kv.Layout, error) {
	o := &h.o
	var errs []error
	bad := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("lmcache: AttachHost: %w", fmt.Errorf(format, args...)))
	}
	if o.Model == "" {
		bad("Model: must not be empty")
	} else if err := kv.ValidateModel(o.Model); err != nil {
		bad("Model: %w", err)
	}
	if _, err := kv.RankOf(o.WorldSize, o.Rank); err != nil {
		bad("Rank: %w", err)
	}
	layout := o.Layout
	switch {
	case o.Geometry != nil && !layout.IsZero():
		bad("Geometry: not together with Layout")
	case o.Geometry != nil:
		var err error
		if layout, err = o.Geometry.layout(h.size); err != nil {
			errs = append(errs, err)
		}
	case layout.IsZero():
		bad("Layout: neither it nor Geometry is set")
	}
	if limit := h.e.o.L1.Bytes; layout.Size() > limit {
		bad("Layout: an object of one chunk has %d bytes, more than the %d bytes of L1", layout.Size(), limit)
	}
	return layout, errors.Join(errs...)
}

// same reports whether both describe the same worker.
func (h *HostWorker) same(o *HostWorker) bool {
	return h.key == o.key && h.rank == o.rank && h.o.Shared == o.o.Shared && h.o.Layout.Equal(o.o.Layout)
}

// ID is the worker's name in events and status: its instance id, or a number from 1
// in order of attachment.
func (h *HostWorker) ID() string { return h.id }

// Layout is what the bytes of a chunk are.
func (h *HostWorker) Layout() kv.Layout { return h.o.Layout }

// ObjectBytes is the size of one chunk of this worker in the cache.
func (h *HostWorker) ObjectBytes() int64 { return h.objectBytes() }

// at is the worker's place for a rank.
func (h *HostWorker) at(rank int) (*member, error) {
	if rank == h.rank {
		return &h.member, nil
	}
	if _, err := kv.RankOf(h.key.world, rank); err != nil {
		return nil, fmt.Errorf("lmcache: rank: %w", err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	m := h.mu.ranks[rank]
	if m == nil {
		m = &member{e: h.e, id: h.id, key: h.key, rank: rank, groups: h.groups}
		h.mu.ranks[rank] = m
	}
	return m, nil
}

// chunks turns a range of tokens into one of chunks.
func (h *HostWorker) chunks(tokens, lo, hi int) (from, to int, err error) {
	switch {
	case lo < 0 || hi < lo || hi > tokens:
		return 0, 0, fmt.Errorf("lmcache: range: [%d, %d) is not within the %d tokens", lo, hi, tokens)
	case lo%h.size != 0 || hi%h.size != 0:
		return 0, 0, fmt.Errorf("lmcache: range: [%d, %d) is not a whole number of chunks of %d tokens", lo, hi, h.size)
	}
	return lo / h.size, hi / h.size, nil
}

// enter begins a verb; leave must follow if it returns nil. Close waits for verbs.
func (h *HostWorker) enter() error {
	h.closing.RLock()
	if h.closing.closed {
		h.closing.RUnlock()
		return ErrClosed
	}
	if h.o.Instance != nil {
		h.e.remote.seen(*h.o.Instance)
	}
	return nil
}

func (h *HostWorker) leave() { h.closing.RUnlock() }

// Close detaches the worker: it refuses new work, discards what was reserved and
// not committed, and takes back what is lent; a host in the same process has stopped
// to use it. It is idempotent; a second caller waits for the first.
func (h *HostWorker) Close() error {
	h.closing.Lock()
	closed := h.closing.closed
	h.closing.closed = true
	h.closing.Unlock()
	if closed {
		<-h.gone
		return nil
	}
	defer close(h.gone)
	e := h.e
	if h.o.Instance != nil {
		e.remote.leave(*h.o.Instance, h)
	}
	for _, st := range sorted(h, h.mu.stores) {
		st.detach()
	}
	for _, r := range sorted(h, h.mu.reads) {
		r.detach()
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.mu.hosts = slices.DeleteFunc(e.mu.hosts, func(o *HostWorker) bool { return o == h })
	e.unregisterLocked(&h.member)
	return nil
}

// close is Close, which does not wait for the host.
func (h *HostWorker) close(context.Context) error { return h.Close() }

// busy is false: what is reserved or lent is the client's to finish, which has to
// live for that.
func (*HostWorker) busy() bool { return false }
