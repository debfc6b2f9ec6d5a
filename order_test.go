package lmcache_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lmcache-go/lmcache"
	"github.com/lmcache-go/lmcache/eventbus"
	"github.com/lmcache-go/lmcache/gpu"
	"github.com/lmcache-go/lmcache/gpu/fake"
)

// TestREQ_E37_LeasesOutliveCopies: with streams reordered in every way, memory
// that is too small, copies that fail and sessions that end early, a retrieve
// delivers the right bytes or reports that it did not. Memory is given back, and so
// taken by others, only when the device is done with it. All of it also without a
// bus (REQ-E51).
func TestREQ_E37_LeasesOutliveCopies(t *testing.T) {
	for seed := range uint64(24) {
		synctest.Test(t, func(t *testing.T) { juggle(t, seed) })
	}
}

func juggle(t *testing.T, seed uint64) {
	h := &juggler{
		rig: newRigNoLeak(t, setup{
			dev:   fake.Options{Clock: fake.Virtual, Manual: true, Seed: seed, Detect: true},
			bytes: 12 * objectBytes, blocks: 96, noBus: seed%3 == 0,
		}),
		rng: newRand(seed), free: span(0, 96),
	}
	lmcache.SetBatch(h.worker, 1+int(seed%4))
	for range 200 {
		switch h.rng.IntN(10) {
		case 0, 1, 2:
			h.put()
		case 3, 4, 5:
			h.get()
		case 6:
			if h.rng.IntN(3) == 0 {
				h.dev.Fail(fake.Fault{Kind: fake.Copy, After: h.rng.IntN(4), Effect: fake.Tear})
			}
		default:
			for range h.rng.IntN(60) {
				h.dev.Step()
			}
			synctest.Wait() // what the device has done is settled
		}
		h.collect(false)
	}
	h.dev.Run()
	h.collect(true)
	if h.delivered < 10 || h.stored < 10 {
		t.Errorf("seed %d: %d chunks delivered, %d stored", seed, h.delivered, h.stored)
	}
	if h.bus != nil {
		oneEnd(t, h.events())
	}
	h.shut()
}

// juggler is a host with many transfers in flight on a device that runs only when
// it is stepped.
type juggler struct {
	*rig

	rng       interface{ IntN(int) int }
	free      []gpu.BlockID
	flying    []flight
	delivered int
	stored    int
}

type flight struct {
	tr     *lmcache.Transfer
	get    bool
	seed   uint64
	blocks []gpu.BlockID
}

func (h *juggler) take(n int) []gpu.BlockID {
	if len(h.free) < n {
		return nil
	}
	ids := append([]gpu.BlockID(nil), h.free[:n]...)
	h.free = h.free[n:]
	return ids
}

// prompt is one of a few, up to six chunks long.
func (h *juggler) prompt() (seed uint64, prompt []int32) {
	seed = uint64(1 + h.rng.IntN(5))
	return seed, tokens(seed, (1+h.rng.IntN(6))*chunkTokens)
}

func (h *juggler) put() {
	seed, prompt := h.prompt()
	ids := h.take(len(prompt) / blockTokens)
	if ids == nil {
		return
	}
	h.compute(h.cache, seed, 0, ids...)
	s := h.session(fmt.Sprint("put", seed))
	tr, err := h.worker.Store(h.Context(), s, prompt, table(ids...), h.before())
	if err != nil {
		h.Fatal(err)
	}
	h.flying = append(h.flying, flight{tr, false, seed, ids})
	h.end(s)
}

func (h *juggler) get() {
	seed, prompt := h.prompt()
	ids := h.take(len(prompt) / blockTokens)
	if ids == nil {
		return
	}
	h.wipe(h.cache, ids...)
	s := h.session(fmt.Sprint("get", seed))
	tr, err := h.worker.Retrieve(h.Context(), s.Lookup(h.Context(), prompt), table(ids...), h.before())
	if err != nil {
		h.Fatal(err)
	}
	h.flying = append(h.flying, flight{tr, true, seed, ids})
	h.end(s)
}

// before is sometimes another transfer to wait for.
func (h *juggler) before() gpu.Event {
	if len(h.flying) == 0 || h.rng.IntN(4) > 0 {
		return nil
	}
	return h.flying[h.rng.IntN(len(h.flying))].tr
}

// collect looks at the transfers that are done, all of them in the end.
func (h *juggler) collect(all bool) {
	h.Helper()
	keep := h.flying[:0]
	for _, f := range h.flying {
		if all {
			_ = f.tr.Wait(h.Context()) // the outcome is looked at below
		}
		if _, done, _ := f.tr.Done(); !done {
			keep = append(keep, f)
			continue
		}
		switch {
		case f.get:
			h.delivered += f.tr.Chunks()
			h.same(h.cache, f.seed, 0, f.blocks[:f.tr.Chunks()*perChunk]...)
		default:
			h.stored += f.tr.Chunks()
		}
		h.wipe(h.cache, f.blocks...) // the host uses them for something else
		h.free = append(h.free, f.blocks...)
	}
	h.flying = keep
}

// TestConcurrentHosts: several goroutines look up, retrieve, store, clear and end
// at once, with memory for a part of it; every byte is right.
func TestConcurrentHosts(t *testing.T) {
	r := newRig(t, setup{bytes: 24 * objectBytes, blocks: 4 * 24})
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			rng := newRand(uint64(g))
			ids := span(g*24, 24)
			for i := range 60 {
				seed := uint64(rng.IntN(6))
				prompt := tokens(seed, (1+rng.IntN(6))*chunkTokens+rng.IntN(2))
				full := len(prompt) / chunkTokens
				s := r.session(fmt.Sprint(g, "-", i))
				m := s.Lookup(t.Context(), prompt)
				in, err := r.worker.Retrieve(t.Context(), m, table(ids[:12]...), nil)
				if err != nil {
					t.Error(err)
					return
				}
				if err := in.Wait(t.Context()); err != nil {
					t.Error(err)
				}
				r.same(r.cache, seed, 0, ids[:in.Chunks()*perChunk]...)
				r.compute(r.cache, seed, in.Chunks()*perChunk, ids[in.Chunks()*perChunk:full*perChunk]...)
				out, err := r.worker.Store(t.Context(), s, prompt, table(ids[:12]...), in)
				if err != nil {
					t.Error(err)
					return
				}
				if rng.IntN(8) == 0 {
					r.clear(rng.IntN(3) == 0)
				}
				if err := out.Wait(t.Context()); err != nil {
					t.Error(err)
				}
				r.eng.Stats()
				r.end(s)
				r.wipe(r.cache, ids...)
			}
		})
	}
	wg.Wait()
	r.idle()
	oneEnd(t, r.events())
}

// TestREQ_E29_VisibleWhenDone: as soon as a transfer reports done, its objects are
// found.
func TestREQ_E29_VisibleWhenDone(t *testing.T) {
	for _, batch := range []int{1, 8} {
		r := newRig(t, setup{})
		lmcache.SetBatch(r.worker, batch)
		for i := range uint64(200) {
			prompt := tokens(i, 3*chunkTokens)
			s := r.session("a")
			if tr := r.store(s, i, prompt, span(0, 6)...); !tr.Success() {
				t.Fatal(tr.Err())
			}
			if got := r.hits(prompt); got != 3 {
				t.Fatalf("store %d: %d chunks found when the transfer was done", i, got)
			}
			r.end(s)
		}
		r.shut()
	}
}

// TestREQ_E52_ProducersAndConsumers: a store waits for the event that fills its
// blocks, and who waits for a transfer sees what it has copied.
func TestREQ_E52_ProducersAndConsumers(t *testing.T) {
	for seed := range uint64(30) {
		r := newRig(t, setup{dev: fake.Options{Clock: fake.Virtual, Manual: true, Seed: seed, Detect: true}})
		host, err := r.dev.OpenStream(gpu.Normal)
		if err != nil {
			t.Fatal(err)
		}
		prompt := tokens(1, 3*chunkTokens)
		r.compute(r.cache, 9, 0, span(0, 6)...) // not yet what it will be
		host.Launch(time.Second, func() { r.compute(r.cache, 1, 0, span(0, 6)...) })
		s := r.session("a")
		out, err := r.worker.Store(t.Context(), s, prompt, table(span(0, 6)...), host.Record())
		if err != nil {
			t.Fatal(err)
		}
		r.dev.Run()
		if err := out.Wait(t.Context()); err != nil || out.Chunks() != 3 {
			t.Fatalf("%v, %d chunks", err, out.Chunks())
		}
		// Behind each other, none of them waited for: into blocks, from there to
		// another tenant's objects, and from those to other blocks.
		in, err := r.worker.Retrieve(t.Context(), s.Lookup(t.Context(), prompt), table(span(10, 6)...), out)
		if err != nil {
			t.Fatal(err)
		}
		other := r.eng.Session(lmcache.Request{ID: "b", Model: model, Salt: "b"})
		again, err := r.worker.Store(t.Context(), other, prompt, table(span(10, 6)...), in)
		if err != nil {
			t.Fatal(err)
		}
		r.dev.Run()
		if err := again.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		back, err := r.worker.Retrieve(t.Context(), other.Lookup(t.Context(), prompt), table(span(20, 6)...), again)
		if err != nil {
			t.Fatal(err)
		}
		r.dev.Run()
		if err := back.Wait(t.Context()); err != nil || !back.Success() {
			t.Fatalf("%v", err)
		}
		r.same(r.cache, 1, 0, span(10, 6)...)
		r.same(r.cache, 1, 0, span(20, 6)...)
		if err := in.Wait(t.Context()); err != nil {
			t.Error(err)
		}
		r.end(s)
		r.end(other)
		if err := host.Close(); err != nil {
			t.Error(err)
		}
		r.shut()
	}
}

// TestREQ_E54_DeviceTimes: starts and ends carry the times of the device in terms
// of the host, whatever its clock does, and come after the leases are settled.
func TestREQ_E54_DeviceTimes(t *testing.T) {
	for _, o := range []fake.Options{
		{}, {ClockOffset: 3 * time.Hour, ClockDrift: 200}, {ClockOffset: -time.Minute, ClockDrift: -150},
	} {
		var first, last map[fake.Kind]time.Time
		o.Clock, o.Manual = fake.Virtual, true
		o.Gather = fake.Cost{Latency: 3 * time.Millisecond, Bandwidth: 1 << 20}
		o.Scatter = fake.Cost{Latency: time.Millisecond, Bandwidth: 2 << 20}
		o.OnWork = func(w fake.Work) {
			if w.Kind != fake.Gather && w.Kind != fake.Scatter {
				return
			}
			if _, ok := first[w.Kind]; !ok {
				first[w.Kind] = w.Start
			}
			last[w.Kind] = w.End
		}
		r := newRig(t, setup{dev: o})
		first, last = make(map[fake.Kind]time.Time), make(map[fake.Kind]time.Time)
		prompt := tokens(1, 4*chunkTokens)
		ended := &onEnd{found: make(chan int, 1), prompt: prompt, r: r}
		sub, err := r.bus.Subscribe(ended)
		if err != nil {
			t.Fatal(err)
		}
		host, err := r.dev.OpenStream(gpu.Normal)
		if err != nil {
			t.Fatal(err)
		}
		host.Launch(7*time.Second, nil) // long enough for the drift to show
		s := r.session("a")
		out, err := r.worker.Store(t.Context(), s, prompt, table(span(0, 8)...), host.Record())
		if err != nil {
			t.Fatal(err)
		}
		r.dev.Run()
		if err := out.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := <-ended.found; got != 4 {
			t.Errorf("whoever heard the end found %d chunks", got)
		}
		sub.Close()
		in, err := r.worker.Retrieve(t.Context(), s.Lookup(t.Context(), prompt), table(span(10, 8)...), nil)
		if err != nil {
			t.Fatal(err)
		}
		r.dev.Run()
		if err := in.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		r.idle()
		list := r.events()
		oneEnd(t, list)
		near := func(what string, got, want time.Time) {
			if d := got.Sub(want).Abs(); d > 50*time.Microsecond || want.IsZero() {
				t.Errorf("offset %v, drift %v: %s off by %v", o.ClockOffset, o.ClockDrift, what, d)
			}
		}
		near("start of store", at[lmcache.StoreStarted](list), first[fake.Gather])
		near("end of store", at[lmcache.StoreEnded](list), last[fake.Gather])
		near("start of retrieve", at[lmcache.RetrieveStarted](list), first[fake.Scatter])
		near("end of retrieve", at[lmcache.RetrieveEnded](list), last[fake.Scatter])
		done, _, _ := out.Done()
		near("end by the transfer", done, last[fake.Gather])
		r.end(s)
		if err := host.Close(); err != nil {
			t.Error(err)
		}
		r.shut()
	}
}

// onEnd looks a prompt up when it hears the end of a store.
type onEnd struct {
	r      *rig
	prompt []int32
	found  chan int
}

func (*onEnd) Name() string { return "on-end" }

func (o *onEnd) Subscribe(s *eventbus.Subscription) {
	eventbus.On(s, func(e lmcache.StoreEnded, _ time.Time) {
		if e.StoredCount > 0 {
			o.found <- o.r.hits(o.prompt)
		}
	})
}

// TestREQ_E55_VerbsDoNotBlock: on a device that hangs, store, lookup and retrieve
// return; a retrieve whose context has ended puts nothing on the stream.
func TestREQ_E55_VerbsDoNotBlock(t *testing.T) {
	r := newRig(t, setup{})
	prompt := tokens(1, 3*chunkTokens)
	r.keep(1, prompt)
	r.dev.Hang()
	s := r.session("a")
	var flying []*lmcache.Transfer
	for i := range uint64(50) {
		tr, err := r.worker.Store(t.Context(), s, tokens(100+i, 3*chunkTokens), table(span(0, 6)...), nil)
		if err != nil {
			t.Fatal(err)
		}
		m := s.Lookup(t.Context(), prompt)
		if got := r.found(m); got != 3*chunkTokens-1 {
			t.Errorf("found %d tokens", got)
		}
		in, err := r.worker.Retrieve(t.Context(), m, table(span(10, 6)...), nil)
		if err != nil {
			t.Fatal(err)
		}
		flying = append(flying, tr, in)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	m := s.Lookup(ctx, prompt)
	if _, err := r.worker.Retrieve(ctx, m, table(span(10, 6)...), nil); !errors.Is(err, context.Canceled) {
		t.Errorf("with an ended context: %v", err)
	}
	if _, err := m.Tokens(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("waiting with an ended context: %v", err)
	}
	for _, tr := range flying {
		if _, done, _ := tr.Done(); done {
			t.Error("a transfer is done on a device that hangs")
		}
		if err := tr.Wait(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("waiting for a transfer with an ended context: %v", err)
		}
	}
	if w := r.eng.Stats().Workers[0]; w.InFlight != 100 || w.RetrievesSubmitted != 50 || w.StoresSubmitted != 51 {
		t.Errorf("%+v", w)
	}
	if n := len(of[lmcache.LookupEnded](r.events())); n != 50 {
		t.Errorf("%d results delivered", n)
	}
	r.dev.Release()
	for _, tr := range flying {
		if err := tr.Wait(t.Context()); err != nil || !tr.Success() {
			t.Errorf("%v, success %v", err, tr.Success())
		}
	}
	r.same(r.cache, 1, 0, span(10, 6)...)
	if got := r.leased(); got != 3 {
		t.Errorf("%d objects leased by the last lookup, want 3", got)
	}
	r.end(s)
	r.idle()
}
