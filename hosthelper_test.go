package lmcache_test

import (
	"bytes"
	"context"
	"testing"
	"time"

	"github.com/lmcache-go/lmcache"
	"github.com/lmcache-go/lmcache/eventbus"
	"github.com/lmcache-go/lmcache/internal/leak"
	"github.com/lmcache-go/lmcache/internal/runtime"
	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// hostRig is an engine under virtual time, without a device, and a worker whose host
// copies. Objects have 1024 bytes.
type hostRig struct {
	*testing.T

	rt     *runtime.Virtual
	eng    *lmcache.Engine
	host   *lmcache.HostWorker
	bus    *eventbus.Bus
	log    *recorder
	closed bool
}

// hostGeometry is that of the rig: the same objects as those of shape.
func hostGeometry() *lmcache.HostGeometry {
	return &lmcache.HostGeometry{Layers: 2, Hidden: 8, BlockTokens: blockTokens, DType: kv.Float16}
}

// newHostRig opens an engine. At the end of the test it is closed, and nothing may be
// lent out.
func newHostRig(t *testing.T, change ...func(*lmcache.Options)) *hostRig {
	t.Helper()
	leak.Check(t)
	r := &hostRig{T: t, rt: runtime.NewVirtual(runtime.VirtualOptions{}), bus: eventbus.New(eventbus.Options{}), log: &recorder{}}
	if _, err := r.bus.Subscribe(r.log); err != nil {
		t.Fatal(err)
	}
	o := lmcache.Options{ChunkTokens: chunkTokens, L1: l1.Options{Bytes: 1 << 20, Align: 64}, Bus: r.bus, Runtime: r.rt}
	for _, f := range change {
		f(&o)
	}
	var err error
	if r.eng, err = lmcache.Open(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	r.host = r.attach(lmcache.HostOptions{})
	t.Cleanup(func() {
		r.shut()
		if err := r.bus.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	return r
}

func (r *hostRig) shut() {
	r.Helper()
	if r.closed {
		return
	}
	r.closed = true
	if err := r.eng.Check(); err != nil {
		r.Error(err)
	}
	if err := r.eng.Close(context.WithoutCancel(r.Context())); err != nil {
		r.Errorf("closing the engine: %v", err)
	}
	r.idle()
}

func (r *hostRig) idle() {
	r.Helper()
	idle(r.T, r.eng)
}

// attach registers a worker of the usual model and objects, unless it says others.
func (r *hostRig) attach(o lmcache.HostOptions) *lmcache.HostWorker {
	r.Helper()
	if o.Model == "" {
		o.Model = model
	}
	if o.Geometry == nil && o.Layout.IsZero() {
		o.Geometry = hostGeometry()
	}
	h, err := r.eng.AttachHost(o)
	if err != nil {
		r.Fatal(err)
	}
	return h
}

func (r *hostRig) wait(d time.Duration) { r.rt.RunUntil(r.rt.Now().Add(d)) }

func (r *hostRig) session(id string) *lmcache.Session {
	return r.eng.Session(lmcache.Request{ID: id, Model: model})
}

func (r *hostRig) end(s *lmcache.Session) {
	r.Helper()
	if err := s.Close(); err != nil {
		r.Error(err)
	}
}

// object is the bytes of one chunk of a prompt: what the device's worker stores of
// the same prompt.
func object(seed uint64, chunk int) []byte {
	const blockBytes = objectBytes / 2 / 2 / perChunk
	var b []byte
	for plane := range 2 {
		for layer := range 2 {
			for block := range perChunk {
				b = append(b, pattern(seed, chunk*perChunk+block, layer, plane, blockBytes)...)
			}
		}
	}
	return b
}

// fill writes what a prompt has from chunk from on, and returns how many chunks.
func fill(st *lmcache.HostStore, seed uint64, from int) (n int) {
	for i, b := range st.All() {
		copy(b, object(seed, from+i))
		n++
	}
	return n
}

// prepare reserves chunks of a prompt.
func (r *hostRig) prepare(s *lmcache.Session, prompt []int32, from, to int) *lmcache.HostStore {
	r.Helper()
	st, err := r.host.PrepareStore(r.Context(), s, prompt, from*chunkTokens, to*chunkTokens)
	if err != nil {
		r.Fatal(err)
	}
	return st
}

// keep stores the full chunks of a prompt in a session of its own.
func (r *hostRig) keep(seed uint64, prompt []int32) {
	r.Helper()
	s := r.session("keep")
	st := r.prepare(s, prompt, 0, len(prompt)/chunkTokens)
	fill(st, seed, 0)
	if err := st.Commit(); err != nil {
		r.Fatal(err)
	}
	r.end(s)
}

// read lends chunks of a match to the rig's worker.
func (r *hostRig) read(m *lmcache.Match, from, to int) *lmcache.HostRead {
	r.Helper()
	return r.readBy(r.host, m, from, to)
}

func (r *hostRig) readBy(h *lmcache.HostWorker, m *lmcache.Match, from, to int) *lmcache.HostRead {
	r.Helper()
	in, err := h.PrepareRetrieve(r.Context(), m, from*chunkTokens, to*chunkTokens)
	if err != nil {
		r.Fatal(err)
	}
	return in
}

// same: a read lends exactly the chunks [from, to) of a prompt.
func same(t *testing.T, in *lmcache.HostRead, seed uint64, from, to int) {
	t.Helper()
	n := 0
	for i, b := range in.All() {
		if i != n || !bytes.Equal(b, object(seed, from+i)) {
			t.Errorf("chunk %d of prompt %d has wrong bytes", from+i, seed)
		}
		n++
	}
	if n != to-from || !in.Success() {
		t.Errorf("%d chunks lent, want %d; success %v", n, to-from, in.Success())
	}
}

// hits is the chunks of a prompt that a lookup finds.
func (r *hostRig) hits(prompt []int32) int {
	r.Helper()
	return r.hitsOf(lmcache.Request{ID: "hits", Model: model}, prompt)
}

func (r *hostRig) hitsOf(req lmcache.Request, prompt []int32) int {
	r.Helper()
	s := r.eng.Session(req)
	defer r.end(s)
	n, err := s.Lookup(r.Context(), prompt).Chunks(r.Context())
	if err != nil {
		r.Fatal(err)
	}
	return n
}

func (r *hostRig) found(m *lmcache.Match) int {
	r.Helper()
	n, err := m.Tokens(r.Context())
	if err != nil {
		r.Fatal(err)
	}
	return n
}

func (r *hostRig) leased() int64 { return r.eng.Stats().Storage.L1.ReadingObjects }
func (r *hostRig) staged() int64 { return r.eng.Stats().Storage.L1.WritingObjects }

// events flushes the bus and returns what came so far, and forgets it.
func (r *hostRig) events() []heard {
	r.Helper()
	return (&rig{T: r.T, bus: r.bus, log: r.log}).events()
}

func (r *hostRig) clear(force bool) {
	r.Helper()
	if _, err := r.eng.Clear(r.Context(), force); err != nil {
		r.Error(err)
	}
}
