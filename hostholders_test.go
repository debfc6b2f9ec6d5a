package lmcache_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lmcache-go/lmcache"
	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/storage"
)

// TestREQ_E13_HostMiss: a read that misses gives its holders back exactly once,
// whatever the scheduler does with the range and the session, in any order.
func TestREQ_E13_HostMiss(t *testing.T) {
	prompt := tokens(1, 3*chunkTokens)
	steps := []string{"miss", "free", "end", "lookup"}
	var orders [][]string
	var permute func(done, left []string)
	permute = func(done, left []string) {
		if len(left) == 0 {
			orders = append(orders, slices.Clone(done))
		}
		for i := range left {
			rest := slices.Delete(slices.Clone(left), i, i+1)
			permute(append(done, left[i]), rest)
		}
	}
	permute(nil, steps)
	for _, readers := range []int{1, 2} {
		for _, order := range orders {
			r := newHostRig(t)
			other := r.attach(lmcache.HostOptions{})
			r.keep(1, prompt)
			witness := r.session("witness").Lookup(t.Context(), prompt) // its holders are nobody else's
			s := r.eng.Session(lmcache.Request{ID: "a", Model: model, Readers: readers})
			m := s.Lookup(t.Context(), prompt)
			r.found(m)
			for _, step := range order {
				switch step {
				case "miss": // the worker's turn is over, or the session has ended
					for range 2 {
						in, err := r.host.PrepareRetrieve(t.Context(), m, 0, 3*chunkTokens)
						if err == nil && in.Success() {
							in.Done()
						}
					}
					long, err := other.PrepareRetrieve(t.Context(), m, 2*chunkTokens, 3*chunkTokens)
					if err == nil {
						long.Done()
					}
				case "free":
					m.Release(0, len(prompt))
				case "end":
					r.end(s)
				case "lookup":
					s.Lookup(t.Context(), prompt)
				}
			}
			r.end(s)
			if got := r.leased(); got != 3 {
				t.Errorf("%d readers, %v: %d objects leased, want those of the witness", readers, order, got)
			}
			in := r.read(witness, 0, 3)
			same(t, in, 1, 0, 3)
			in.Done()
			if got := r.leased(); got != 0 {
				t.Errorf("%d readers, %v: %d objects leased at the end", readers, order, got)
			}
			r.shut()
		}
	}
}

// TestREQ_E13_HostRange: a miss gives back the holders of its range and worker, once,
// and nothing of the others'.
func TestREQ_E13_HostRange(t *testing.T) {
	r := newHostRig(t)
	prompt := tokens(1, 4*chunkTokens)
	r.keep(1, prompt[:3*chunkTokens])
	s := r.session("a")
	m := s.Lookup(t.Context(), prompt)
	for range 3 {
		if in := r.read(m, 1, 4); in.Success() { // chunk 3 is not there
			t.Fatal("a hit")
		}
		if got := r.leased(); got != 1 { // chunk 0 is not in the range
			t.Errorf("%d objects leased", got)
		}
	}
	r.end(s)
	r.idle()
	oneEnd(t, r.events())
}

// TestREQ_E14_HostForeignLease: a session that has not looked up reads nothing, and
// takes nothing from one that has.
func TestREQ_E14_HostForeignLease(t *testing.T) {
	r := newHostRig(t)
	c := r.client(1)
	prompt := tokens(1, 2*chunkTokens)
	r.keep(1, prompt)
	m := r.session("a").Lookup(t.Context(), prompt)
	for range 3 {
		if in, err := c.h.PrepareRetrieveKey(t.Context(), key("b", prompt, 0, 2)); err != nil || in.Success() {
			t.Errorf("%v, success %v", err, in.Success())
		}
		if err := c.h.CommitRetrieve(key("b", prompt, 0, 2)); err != nil {
			t.Error(err)
		}
		if got := r.leased(); got != 2 {
			t.Errorf("%d objects leased", got)
		}
	}
	r.clear(false)
	same(t, r.read(m, 0, 2), 1, 0, 2)
}

// TestREQ_E15_HostRepeatedReader: a worker that reads again does not use up another
// reader's turn. (REQ-S26: by parts or as a whole.)
func TestREQ_E15_HostRepeatedReader(t *testing.T) {
	for _, parts := range [][]int{{0, 3}, {0, 1, 3}, {0, 1, 2, 3}} {
		r := newHostRig(t)
		second := r.attach(lmcache.HostOptions{})
		prompt := tokens(1, 3*chunkTokens)
		r.keep(1, prompt)
		s := r.eng.Session(lmcache.Request{ID: "a", Model: model, Readers: 2})
		m := s.Lookup(t.Context(), prompt)
		for _, h := range []*lmcache.HostWorker{r.host, r.host, second} {
			for i := range len(parts) - 1 {
				in := r.readBy(h, m, parts[i], parts[i+1])
				same(t, in, 1, parts[i], parts[i+1])
				in.Done()
			}
			r.clear(false)
		}
		r.end(s)
		r.idle()
	}
}

// TestREQ_E46_HostAndDevice: what a device stores a host reads, and the other way, byte
// for byte.
func TestREQ_E46_HostAndDevice(t *testing.T) {
	r := newRig(t, setup{})
	layout, err := r.cache.Layout(chunkTokens)
	if err != nil {
		t.Fatal(err)
	}
	h, err := r.eng.AttachHost(lmcache.HostOptions{Model: model, Geometry: hostGeometry()})
	if err != nil {
		t.Fatal(err)
	}
	if !h.Layout().Equal(layout) {
		t.Fatalf("layouts %v and %v", h.Layout(), layout)
	}
	byDevice, byHost := tokens(1, 3*chunkTokens), tokens(2, 3*chunkTokens)
	r.keep(1, byDevice)
	s := r.session("a")
	in, err := h.PrepareRetrieve(t.Context(), s.Lookup(t.Context(), byDevice), 0, 3*chunkTokens)
	if err != nil {
		t.Fatal(err)
	}
	same(t, in, 1, 0, 3)
	in.Done()
	st, err := h.PrepareStore(t.Context(), s, byHost, 0, 3*chunkTokens)
	if err != nil {
		t.Fatal(err)
	}
	fill(st, 2, 0)
	if err := st.Commit(); err != nil {
		t.Fatal(err)
	}
	r.wipe(r.cache, span(10, 6)...)
	if tr := r.done(r.worker.Retrieve(t.Context(), s.Lookup(t.Context(), byHost), table(span(10, 6)...), nil)); !tr.Success() {
		t.Error("the device missed")
	}
	r.same(r.cache, 2, 0, span(10, 6)...)
	// Each of them sees the other's chunks as present.
	if tr := r.store(s, 2, byHost, span(20, 6)...); !tr.Success() || tr.Chunks() != 0 {
		t.Errorf("the device stored %d chunks again", tr.Chunks())
	}
	if st, err := h.PrepareStore(t.Context(), s, byDevice, 0, 3*chunkTokens); err != nil || len(st.Slots()) != 0 {
		t.Errorf("the host stores %d chunks again, %v", len(st.Slots()), err)
	}
	r.end(s)
	oneEnd(t, r.events())
}

// TestREQ_E56_CloseHosts: Close discards what hosts have pending and takes back what
// they are lent, in quarantine or not, and leaves nothing lent out; a second caller
// waits, and verbs refuse.
func TestREQ_E56_CloseHosts(t *testing.T) {
	r := newHostRig(t)
	c := r.client(1)
	prompt := tokens(1, 3*chunkTokens)
	r.keep(1, prompt)
	s := r.session("a")
	m := s.Lookup(t.Context(), prompt)
	var stores []*lmcache.HostStore
	for i := range 3 {
		st, err := c.h.PrepareStoreKey(t.Context(), key("b", tokens(uint64(10+i), 2*chunkTokens), 0, 2))
		if err != nil {
			t.Fatal(err)
		}
		stores = append(stores, st, r.prepare(s, tokens(uint64(20+i), 2*chunkTokens), 0, 2))
	}
	in := r.read(m, 0, 3)
	r.client(2)
	if _, err := c.h.PrepareRetrieveKey(t.Context(), key("b", prompt, 0, 3)); err != nil {
		t.Fatal(err)
	}
	if err := r.eng.Detach(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if r.eng.Stats().Quarantined == 0 {
		t.Error("nothing is in quarantine")
	}
	r.shut()
	in.Done()
	for _, st := range stores {
		if err := st.Commit(); !errors.Is(err, lmcache.ErrLost) {
			t.Errorf("commit: %v", err)
		}
		st.Abort()
	}
	if _, err := r.host.PrepareStore(t.Context(), s, prompt, 0, 16); !errors.Is(err, lmcache.ErrClosed) {
		t.Errorf("store: %v", err)
	}
	if in, err := r.host.PrepareRetrieve(t.Context(), m, 0, 16); !errors.Is(err, lmcache.ErrClosed) {
		t.Errorf("retrieve: %v, %v", in, err)
	}
	if _, err := r.eng.AttachHost(lmcache.HostOptions{Model: model, Geometry: hostGeometry()}); !errors.Is(err, lmcache.ErrClosed) {
		t.Errorf("attach: %v", err)
	}
	if s := r.eng.OpenSession(lmcache.Request{ID: "late", Model: model, WorldSize: 1}); r.found(s.Lookup(t.Context(), prompt)) != 0 {
		t.Error("a closed engine finds something")
	}
	r.rt.RunUntil(r.rt.Now().Add(time.Hour))
	list := r.events()
	oneEnd(t, list)
	for _, e := range of[lmcache.StoreEnded](list)[1:] {
		if e.Success || e.StoredCount != 0 {
			t.Errorf("%+v", e)
		}
	}
}

// TestREQ_E53_HostEnds: every submission of a host has one end with true counts,
// whichever verb, clock or fault ends it first.
func TestREQ_E53_HostEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRigNoLeak(t, setup{noBus: false, engine: func(o *lmcache.Options) { o.L1.WriteTTL, o.L1.ReadTTL = time.Second, time.Second }})
		id := int64(1)
		h, err := r.eng.AttachHost(lmcache.HostOptions{Model: model, Geometry: hostGeometry(), Instance: &id, Shared: true})
		if err != nil {
			t.Fatal(err)
		}
		r.keep(1, tokens(1, 2*chunkTokens))
		s := r.session("a")
		ends := make(chan struct{})
		n := 0
		for i := range 50 {
			st, err := h.PrepareStore(t.Context(), s, tokens(uint64(100+i), chunkTokens), 0, chunkTokens)
			if err != nil {
				t.Fatal(err)
			}
			m := r.session("b").Lookup(t.Context(), tokens(1, 2*chunkTokens))
			in, err := h.PrepareRetrieve(t.Context(), m, 0, 2*chunkTokens)
			if err != nil || !in.Success() {
				t.Fatal(err)
			}
			for _, f := range []func(){func() { _ = st.Commit() }, st.Abort, in.Done, in.Done} {
				n++
				go func() {
					time.Sleep(time.Second) // when the lease expires, and the alarm rings
					f()
					ends <- struct{}{}
				}()
			}
		}
		for range n {
			<-ends
		}
		synctest.Wait()
		time.Sleep(3 * time.Second)
		synctest.Wait()
		r.end(s)
		list := r.events()
		oneEnd(t, list)
		stored := 0
		for _, e := range of[lmcache.StoreEnded](list) {
			stored += e.StoredCount
		}
		objects := r.eng.Stats().Storage.L1.Objects
		if int64(stored) != objects {
			t.Errorf("%d chunks stored by the events, %d objects", stored, objects)
		}
		if got := r.eng.Stats().Storage.L1; got.WritingObjects != 0 || got.OrphanedBytes != 0 {
			t.Errorf("%d staged, %d bytes orphaned", got.WritingObjects, got.OrphanedBytes)
		}
	})
}

// TestREQ_E55_HostContext: the one verb that may wait ends with its context, before
// anything is claimed.
func TestREQ_E55_HostContext(t *testing.T) {
	r := newHostRig(t)
	prompt := tokens(1, 2*chunkTokens)
	r.keep(1, prompt)
	s := r.session("a")
	m := s.Lookup(t.Context(), prompt)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.host.PrepareRetrieve(ctx, m, 0, 32); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if got := r.leased(); got != 2 {
		t.Errorf("%d leased", got)
	}
	in := r.read(m, 0, 2)
	same(t, in, 1, 0, 2)
	in.Done()
	r.end(s)
	for _, e := range of[storage.ReadPrefetchedFinished](r.events()) {
		if e.Cause == l1.CauseUnused && len(e.SucceededKeys) > 0 {
			t.Error("a holder was released unused")
		}
	}
}

// TestREQ_S2_LentBuffers: the bytes that a host is lent change and are reused by
// nobody, whatever becomes of their lease, while the rest of the memory is written
// over and over.
func TestREQ_S2_LentBuffers(t *testing.T) {
	for name, lose := range map[string]func(*hostRig, *lmcache.Session){
		"ttl":   func(r *hostRig, _ *lmcache.Session) { r.wait(3 * time.Hour) },
		"clear": func(r *hostRig, _ *lmcache.Session) { r.clear(true) },
		"end":   func(r *hostRig, s *lmcache.Session) { r.end(s); r.clear(true) },
		"none":  func(*hostRig, *lmcache.Session) {},
	} {
		t.Run(name, func(t *testing.T) {
			r := newHostRig(t, func(o *lmcache.Options) { o.L1.Bytes = 10 * objectBytes })
			kept := tokens(1, 2*chunkTokens)
			r.keep(1, kept)
			s := r.session("a")
			in := r.read(s.Lookup(t.Context(), kept), 0, 2)
			st := r.prepare(s, tokens(2, 2*chunkTokens), 0, 2)
			fill(st, 2, 0)
			lose(r, s)
			for i := range 20 {
				r.keep(uint64(10+i), tokens(uint64(10+i), 6*chunkTokens))
				if n := r.hits(tokens(uint64(10+i), 6*chunkTokens)); n != 6 {
					t.Errorf("%d chunks of prompt %d", n, i)
				}
			}
			same(t, in, 1, 0, 2)
			for i, b := range st.All() {
				if !slices.Equal(b, object(2, i)) {
					t.Errorf("chunk %d that is being written has other bytes", i)
				}
			}
			in.Done()
			if err := st.Commit(); (err == nil) != (name == "none") {
				t.Errorf("commit: %v", err)
			}
			r.idle()
			r.keep(3, tokens(3, 10*chunkTokens)) // all of the memory is free again
			if n := r.hits(tokens(3, 10*chunkTokens)); n != 10 {
				t.Errorf("%d chunks", n)
			}
		})
	}
}
