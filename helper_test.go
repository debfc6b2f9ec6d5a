package lmcache_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/lmcache-go/lmcache"
	"github.com/lmcache-go/lmcache/eventbus"
	"github.com/lmcache-go/lmcache/gpu"
	"github.com/lmcache-go/lmcache/gpu/fake"
	"github.com/lmcache-go/lmcache/internal/leak"
	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/storage"
)

const (
	chunkTokens = 16
	blockTokens = 8
	perChunk    = chunkTokens / blockTokens // blocks
	model       = "m"
)

// shape has objects of 1024 bytes.
func shape(blocks int) gpu.Shape {
	return gpu.Shape{Layers: 2, Blocks: blocks, BlockTokens: blockTokens, Heads: 2, HeadSize: 4, DType: "float16"}
}

const objectBytes = 1024

// rig is an engine with one device and the host around them.
type rig struct {
	*testing.T

	dev    *fake.Device
	eng    *lmcache.Engine
	worker *lmcache.Worker
	cache  *gpu.Paged
	bus    *eventbus.Bus
	log    *recorder
	manual bool // the device runs when it is stepped
	closed bool
}

// setup is what a rig is made of. The zero value is the usual one.
type setup struct {
	dev    fake.Options
	bytes  int64 // of L1
	blocks int   // on the device
	noBus  bool
	world  int
	engine func(*lmcache.Options)
	leaves bool // the test leaves leases, or violations, behind on purpose
}

// newRig opens an engine. At the end of the test it is closed, nothing may be
// lent out, and the device must have seen no misuse.
func newRig(t *testing.T, o setup) *rig {
	t.Helper()
	leak.Check(t)
	return newRigNoLeak(t, o)
}

func newRigNoLeak(t *testing.T, o setup) *rig {
	t.Helper()
	if o.bytes == 0 {
		o.bytes = 1 << 20
	}
	if o.blocks == 0 {
		o.blocks = 64
	}
	if !o.leaves {
		o.dev.OnViolation = func(text string) { t.Error(text) }
	}
	r := &rig{T: t, dev: fake.New(o.dev), manual: o.dev.Manual}
	if !o.noBus {
		r.bus = eventbus.New(eventbus.Options{})
		r.log = &recorder{}
		if _, err := r.bus.Subscribe(r.log); err != nil {
			t.Fatal(err)
		}
	}
	options := lmcache.Options{ChunkTokens: chunkTokens, L1: l1.Options{Bytes: o.bytes, Align: 64}, Bus: r.bus}
	if o.engine != nil {
		o.engine(&options)
	}
	var err error
	if r.eng, err = lmcache.Open(t.Context(), options); err != nil {
		t.Fatal(err)
	}
	r.cache = r.paged(o.blocks)
	if r.worker, err = r.eng.Attach(lmcache.WorkerOptions{
		Model: model, WorldSize: o.world, Backend: r.dev, Cache: r.cache, NoSelfTest: r.manual,
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if !o.leaves {
			r.shut()
		}
		if r.bus != nil {
			if err := r.bus.Close(context.WithoutCancel(t.Context())); err != nil {
				t.Error(err)
			}
		}
		if err := r.dev.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// shut closes the engine: nothing may be lent out then.
func (r *rig) shut() {
	r.Helper()
	if r.closed {
		return
	}
	r.closed = true
	if err := r.eng.Check(); err != nil {
		r.Error(err)
	}
	closed := make(chan error, 1)
	go func() { closed <- r.eng.Close(context.WithoutCancel(r.Context())) }()
	for {
		select {
		case err := <-closed:
			if err != nil {
				r.Errorf("closing the engine: %v", err)
			}
			r.idle()
			return
		default:
		}
		if !r.manual {
			err := <-closed
			closed <- err
			continue
		}
		r.dev.Run() // what the close queues
		runtime.Gosched()
	}
}

func (r *rig) paged(blocks int) *gpu.Paged {
	r.Helper()
	p, err := r.dev.NewPaged(shape(blocks))
	if err != nil {
		r.Fatal(err)
	}
	return p
}

// idle: nobody holds anything.
func (r *rig) idle() {
	r.Helper()
	idle(r.T, r.eng)
}

// idle: nobody holds anything of an engine.
func idle(r *testing.T, eng *lmcache.Engine) {
	r.Helper()
	s := eng.Stats()
	m := s.Storage.L1
	if m.Leases != 0 || m.LeasedBytes != 0 || m.StagedBytes != 0 || m.WritingObjects != 0 || m.ReadingObjects != 0 || m.OrphanedBytes != 0 {
		r.Errorf("still lent out: %d leases, %d bytes leased, %d staged, %d orphaned", m.Leases, m.LeasedBytes, m.StagedBytes, m.OrphanedBytes)
	}
	if s.ActivePrefetchJobs != 0 {
		r.Errorf("%d lookups are neither delivered nor dropped", s.ActivePrefetchJobs)
	}
	for _, w := range s.Workers {
		if w.InFlight != 0 {
			r.Errorf("worker %s: %d transfers in flight", w.EngineID, w.InFlight)
		}
	}
	if s.Quarantined != 0 {
		r.Errorf("%d leases in quarantine", s.Quarantined)
	}
	for _, h := range s.HostWorkers {
		if h.PendingStores != 0 || h.LentReads != 0 || h.StoresSubmitted != h.StoresFinished || h.RetrievesSubmitted != h.RetrievesFinished {
			r.Errorf("host worker %s: %d stores, %d reads, %d of %d stores and %d of %d retrieves finished", h.EngineID,
				h.PendingStores, h.LentReads, h.StoresFinished, h.StoresSubmitted, h.RetrievesFinished, h.RetrievesSubmitted)
		}
	}
}

// tokens is a prompt of n tokens that follows from the seed.
func tokens(seed uint64, n int) []int32 {
	rng := rand.New(rand.NewPCG(seed, 1))
	out := make([]int32, n)
	for i := range out {
		out[i] = rng.Int32N(131072)
	}
	return out
}

func newRand(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 2)) }

// span is the block ids [from, from+n).
func span(from, n int) []gpu.BlockID {
	ids := make([]gpu.BlockID, n)
	for i := range ids {
		ids[i] = gpu.BlockID(from + i)
	}
	return ids
}

// table is a block table of one engine group.
func table(ids ...gpu.BlockID) [][]gpu.BlockID { return [][]gpu.BlockID{ids} }

// pattern is what the host computes for one block of a prompt, in one plane of
// one layer: bytes that follow from the seed and the place alone.
func pattern(seed uint64, place, layer, plane, n int) []byte {
	rng := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), byte(place), byte(place >> 8), byte(layer), byte(plane), 77})
	b := make([]byte, n)
	_, _ = rng.Read(b) // never fails
	return b
}

// compute fills blocks with what the prompt of this seed has there; the first of
// them is its block number from.
func (r *rig) compute(p *gpu.Paged, seed uint64, from int, ids ...gpu.BlockID) {
	r.Helper()
	r.each(p, from, ids, func(place, layer, plane int, b []byte) { copy(b, pattern(seed, place, layer, plane, len(b))) })
}

// wipe makes blocks differ from everything that is computed.
func (r *rig) wipe(p *gpu.Paged, ids ...gpu.BlockID) {
	r.Helper()
	r.each(p, 0, ids, func(_, _, _ int, b []byte) { copy(b, bytes.Repeat([]byte{0xEE}, len(b))) })
}

// same compares blocks with what the prompt has there.
func (r *rig) same(p *gpu.Paged, seed uint64, from int, ids ...gpu.BlockID) {
	r.Helper()
	if place := r.differs(p, seed, from, ids...); place >= 0 {
		r.Errorf("block %d of prompt %d has wrong bytes", place, seed)
	}
}

// differs is the first block number that has other bytes than the prompt; -1: none.
func (r *rig) differs(p *gpu.Paged, seed uint64, from int, ids ...gpu.BlockID) int {
	wrong := -1
	r.each(p, from, ids, func(place, layer, plane int, b []byte) {
		if wrong < 0 && !bytes.Equal(b, pattern(seed, place, layer, plane, len(b))) {
			wrong = place
		}
	})
	return wrong
}

func (r *rig) each(p *gpu.Paged, from int, ids []gpu.BlockID, f func(place, layer, plane int, b []byte)) {
	for i, id := range ids {
		for layer := range 2 {
			for plane := range 2 {
				f(from+i, layer, plane, r.dev.Block(p, 0, layer, plane, id))
			}
		}
	}
}

// snapshot is all bytes of a paged cache but those of some blocks.
func (r *rig) snapshot(p *gpu.Paged, except ...gpu.BlockID) []byte {
	var all []byte
	r.each(p, 0, span(0, p.Groups[0].Blocks), func(place, _, _ int, b []byte) {
		if !slices.Contains(except, gpu.BlockID(place)) {
			all = append(all, b...)
		}
	})
	return all
}

// session opens a session of the only model.
func (r *rig) session(id string) *lmcache.Session {
	return r.eng.Session(lmcache.Request{ID: id, Model: model})
}

// store computes a prompt in blocks and stores it; the transfer is done.
func (r *rig) store(s *lmcache.Session, seed uint64, prompt []int32, ids ...gpu.BlockID) *lmcache.Transfer {
	r.Helper()
	r.compute(r.cache, seed, 0, ids...)
	return r.done(r.worker.Store(r.Context(), s, prompt, table(ids...), nil))
}

// keep stores a prompt in a session of its own.
func (r *rig) keep(seed uint64, prompt []int32) {
	r.Helper()
	s := r.session(fmt.Sprintf("keep-%d", seed))
	n := len(prompt) / chunkTokens * perChunk
	if tr := r.store(s, seed, prompt, span(0, n)...); !tr.Success() {
		r.Fatalf("storing prompt %d failed: %v", seed, tr.Err())
	}
	r.wipe(r.cache, span(0, n)...)
	r.end(s)
}

// done waits for a transfer, whatever becomes of it.
func (r *rig) done(tr *lmcache.Transfer, err error) *lmcache.Transfer {
	r.Helper()
	if err != nil {
		r.Fatal(err)
	}
	_ = tr.Wait(r.Context()) // the caller looks at it
	if _, ok, _ := tr.Done(); !ok {
		r.Fatal("the transfer is not done")
	}
	return tr
}

// found is what a lookup delivers.
func (r *rig) found(m *lmcache.Match) int {
	r.Helper()
	n, err := m.Tokens(r.Context())
	if err != nil {
		r.Fatal(err)
	}
	return n
}

// hits looks a prompt up in a session of its own and returns the chunks found.
func (r *rig) hits(prompt []int32) int {
	r.Helper()
	s := r.session("hits")
	defer r.end(s)
	n, err := s.Lookup(r.Context(), prompt).Chunks(r.Context())
	if err != nil {
		r.Fatal(err)
	}
	return n
}

func (r *rig) end(s *lmcache.Session) {
	r.Helper()
	if err := s.Close(); err != nil {
		r.Error(err)
	}
}

// leased is the number of objects with readers.
func (r *rig) leased() int64 { return r.eng.Stats().Storage.L1.ReadingObjects }

// recorder keeps every event of the engine.
type recorder struct {
	mu   sync.Mutex
	list []heard
}

type heard struct {
	event any
	at    time.Time
}

func (*recorder) Name() string { return "recorder" }

func (r *recorder) add(e any, at time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.list = append(r.list, heard{e, at})
}

func (r *recorder) Subscribe(s *eventbus.Subscription) {
	record[lmcache.RequestStarted](r, s)
	record[lmcache.RequestEnded](r, s)
	record[lmcache.RequestReceipt](r, s)
	record[lmcache.SessionEnding](r, s)
	record[lmcache.LookupStarted](r, s)
	record[lmcache.Lookup](r, s)
	record[lmcache.LookupEnded](r, s)
	record[lmcache.LookupAbandoned](r, s)
	record[lmcache.StoreSubmitted](r, s)
	record[lmcache.StoreStarted](r, s)
	record[lmcache.StoreEnded](r, s)
	record[lmcache.RetrieveSubmitted](r, s)
	record[lmcache.RetrieveStarted](r, s)
	record[lmcache.RetrieveEnded](r, s)
	record[lmcache.BlocksAllocated](r, s)
	record[storage.ReadFailed](r, s)
	record[storage.ReadPrefetchedFinished](r, s)
}

func record[E eventbus.Event](r *recorder, s *eventbus.Subscription) {
	eventbus.On(s, func(e E, at time.Time) { r.add(e, at) })
}

// events flushes the bus and returns what came so far, and forgets it.
func (r *rig) events() []heard {
	r.Helper()
	if err := r.bus.Flush(context.WithoutCancel(r.Context())); err != nil {
		r.Fatal(err)
	}
	r.log.mu.Lock()
	defer r.log.mu.Unlock()
	list := r.log.list
	r.log.list = nil
	return list
}

// of are the events of one type.
func of[E any](list []heard) []E {
	var out []E
	for _, h := range list {
		if e, ok := h.event.(E); ok {
			out = append(out, e)
		}
	}
	return out
}

// at is when the first event of one type happened.
func at[E any](list []heard) time.Time {
	for _, h := range list {
		if _, ok := h.event.(E); ok {
			return h.at
		}
	}
	return time.Time{}
}
