package lmcache_test

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/lmcache-go/lmcache"
	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// TestHostRoundTrip: what a host stores is what it reads, by ranges, and the events
// say so.
func TestHostRoundTrip(t *testing.T) {
	r := newHostRig(t)
	prompt := tokens(1, 5*chunkTokens+3)
	s := r.session("a")
	if n := fill(r.prepare(s, prompt, 0, 2), 1, 0); n != 2 { // returned again below
		t.Fatalf("%d buffers for 2 chunks", n)
	}
	st := r.prepare(s, prompt, 0, 2)
	if len(st.Slots()) != 2 || st.Slots()[1].Chunk != 1 || st.Slots()[1].Bytes != objectBytes {
		t.Errorf("slots %+v", st.Slots())
	}
	r.wait(time.Second)
	if err := st.Commit(); err != nil {
		t.Fatal(err)
	}
	rest := r.prepare(s, prompt, 1, 5)
	if n := fill(rest, 1, 1); n != 3 {
		t.Errorf("%d buffers for the 3 chunks that are absent", n)
	}
	if err := rest.Commit(); err != nil {
		t.Fatal(err)
	}
	none := r.prepare(s, prompt, 0, 5)
	if n := fill(none, 1, 0); n != 0 || none.Commit() != nil || len(none.Slots()) != 0 {
		t.Errorf("%d buffers though all is present", n)
	}
	m := s.Lookup(t.Context(), prompt)
	if n := r.found(m); n != 5*chunkTokens {
		t.Errorf("found %d tokens", n)
	}
	first, second := r.read(m, 0, 2), r.read(m, 2, 5)
	same(t, first, 1, 0, 2)
	same(t, second, 1, 2, 5)
	first.Done()
	second.Done()
	first.Done()
	r.end(s)
	r.idle()
	list := r.events()
	ignore := cmpopts.IgnoreFields(lmcache.StoreEnded{}, "SubmittedAt")
	if diff := cmp.Diff([]lmcache.StoreEnded{
		{SessionID: "a", Device: "host", EngineID: "1", Model: model, OpID: "a#1", StoredCount: 2, TotalBytes: 2 * objectBytes, NumTokens: 32, Success: true},
		{SessionID: "a", Device: "host", EngineID: "1", Model: model, OpID: "a#3", StoredCount: 3, TotalBytes: 3 * objectBytes, NumTokens: 48, Success: true},
		{SessionID: "a", Device: "host", EngineID: "1", Model: model, OpID: "a#4", Success: true},
	}, of[lmcache.StoreEnded](list), ignore); diff != "" {
		t.Errorf("stores (-want +got):\n%s", diff)
	}
	if n := len(of[lmcache.StoreStarted](list)); n != 2 {
		t.Errorf("%d stores started", n)
	}
	if ends := of[lmcache.RetrieveEnded](list); len(ends) != 2 || ends[1].RetrievedCount != 3 || ends[1].Device != "host" || !ends[1].Success {
		t.Errorf("retrieves %+v", ends)
	}
	if e := of[lmcache.RequestReceipt](list); len(e) != 1 || e[0].StoredChunks != 5 || e[0].RetrievedChunks != 5 || e[0].StoreTime != time.Second || e[0].Outcome != "hit" {
		t.Errorf("receipts %+v", e)
	}
	oneEnd(t, list)
}

// TestHostArguments: what is wrong is said, all at once where there is more, before
// anything is reserved or published.
func TestHostArguments(t *testing.T) {
	r := newHostRig(t)
	for _, tc := range []struct {
		o    lmcache.HostOptions
		want []string
	}{
		{lmcache.HostOptions{}, []string{"Model", "Layout"}},
		{
			lmcache.HostOptions{Model: "a@b", WorldSize: 256, Geometry: &lmcache.HostGeometry{Slots: -1, BlockTokens: 3, DType: "float12"}},
			[]string{"Model", "Rank", "Layers", "Hidden", "Slots", "BlockTokens", "float12"},
		},
		{lmcache.HostOptions{Model: "m", Rank: 1, Geometry: hostGeometry()}, []string{"Rank"}},
		{lmcache.HostOptions{Model: "m", Geometry: hostGeometry(), Layout: r.host.Layout()}, []string{"not together"}},
		{lmcache.HostOptions{Model: "m", Geometry: &lmcache.HostGeometry{Layers: 1 << 20, Hidden: 1 << 20, DType: kv.Float16}}, []string{"more than the"}},
		{lmcache.HostOptions{Model: "m", Geometry: &lmcache.HostGeometry{Layers: math.MaxInt, Hidden: math.MaxInt, DType: kv.Float16}}, []string{"63 bits"}},
	} {
		_, err := r.eng.AttachHost(tc.o)
		for _, text := range tc.want {
			if err == nil || !strings.Contains(err.Error(), text) {
				t.Errorf("%v says nothing of %s", err, text)
			}
		}
	}
	if h := r.attach(lmcache.HostOptions{Model: "mla", Geometry: &lmcache.HostGeometry{Layers: 3, Hidden: 5, Slots: 4, DType: kv.BFloat16, MLA: true}}); h.Layout().String() != "torch.bfloat16[3,4,5]" {
		t.Errorf("layout %v", h.Layout())
	}
	prompt := tokens(1, 3*chunkTokens)
	s := r.session("a")
	m := s.Lookup(t.Context(), prompt)
	r.found(m)
	r.events()
	for _, x := range [][2]int{{-16, 16}, {0, 15}, {1, 16}, {32, 16}, {0, 64}} {
		if _, err := r.host.PrepareStore(t.Context(), s, prompt, x[0], x[1]); err == nil {
			t.Errorf("store of %v is accepted", x)
		}
		if _, err := r.host.PrepareRetrieve(t.Context(), m, x[0], x[1]); err == nil {
			t.Errorf("retrieve of %v is accepted", x)
		}
	}
	for _, bad := range []*lmcache.Session{nil, r.eng.Session(lmcache.Request{ID: "b", Model: "x/y"}), r.eng.Session(lmcache.Request{ID: "b", Model: "mla"})} {
		if _, err := r.host.PrepareStore(t.Context(), bad, prompt, 0, 16); err == nil {
			t.Error("store of a wrong session is accepted")
		}
	}
	if _, err := r.host.PrepareRetrieve(t.Context(), nil, 0, 16); err == nil {
		t.Error("retrieve of no match is accepted")
	}
	// An empty range is a success without any event.
	if st := r.prepare(s, prompt, 1, 1); st.Commit() != nil {
		t.Error("an empty store failed")
	}
	if in := r.read(m, 1, 1); !in.Success() {
		t.Error("an empty retrieve failed")
	}
	if list := r.events(); len(list) != 0 {
		t.Errorf("%d events", len(list))
	}
}

// TestREQ_E21_Unwritten: bytes that nobody committed are never readable, whatever
// ends the reservation, and another can store the chunks afterwards.
func TestREQ_E21_Unwritten(t *testing.T) {
	id := int64(7)
	for _, shared := range []bool{false, true} {
		for name, end := range map[string]func(*hostRig, *lmcache.HostWorker, *lmcache.HostStore){
			"abort":  func(_ *hostRig, _ *lmcache.HostWorker, st *lmcache.HostStore) { st.Abort() },
			"detach": func(_ *hostRig, h *lmcache.HostWorker, _ *lmcache.HostStore) { _ = h.Close() },
			"ttl": func(r *hostRig, _ *lmcache.HostWorker, _ *lmcache.HostStore) {
				r.wait(l1.DefaultWriteTTL + time.Second)
			},
			"clear": func(r *hostRig, _ *lmcache.HostWorker, _ *lmcache.HostStore) { r.clear(true) },
			"reap": func(r *hostRig, _ *lmcache.HostWorker, _ *lmcache.HostStore) {
				r.eng.Ping(id)
				r.wait(170 * time.Second)
			},
			"replace": func(r *hostRig, _ *lmcache.HostWorker, _ *lmcache.HostStore) {
				r.attach(lmcache.HostOptions{Instance: &id, WorldSize: 2})
			},
		} {
			t.Run(name, func(t *testing.T) {
				r := newHostRig(t, func(o *lmcache.Options) { o.ReapTimeout = 120 * time.Second })
				prompt := tokens(1, 3*chunkTokens)
				h := r.attach(lmcache.HostOptions{Instance: &id, Shared: shared})
				st, err := h.PrepareStore(t.Context(), r.session("a"), prompt, 0, 3*chunkTokens)
				if err != nil {
					t.Fatal(err)
				}
				fill(st, 1, 0)
				end(r, h, st)
				req := lmcache.Request{ID: "hits", Model: model, WorldSize: 1}
				if n := r.hitsOf(req, prompt); n != 0 || r.staged() != 0 {
					t.Errorf("%d chunks are readable, %d staged", n, r.staged())
				}
				if err := st.Commit(); !errors.Is(err, lmcache.ErrLost) {
					t.Errorf("commit afterwards: %v", err)
				}
				if n := r.hitsOf(req, prompt); n != 0 {
					t.Errorf("%d chunks are readable after a late commit", n)
				}
				s := r.eng.Session(req)
				again, err := r.host.PrepareStore(t.Context(), s, prompt, 0, 3*chunkTokens)
				if err != nil {
					t.Fatal(err)
				}
				if n := fill(again, 2, 0); n != 3 || again.Commit() != nil {
					t.Errorf("%d chunks can be stored afterwards", n)
				}
				in := r.readBy(r.host, s.Lookup(t.Context(), prompt), 0, 3)
				same(t, in, 2, 0, 3)
				in.Done()
				oneEnd(t, r.events())
			})
		}
	}
}

// TestREQ_E40_Detach: the end of a worker discards what is pending and takes back
// what is lent. Memory that the client may still use is out of use for the write TTL.
// (REQ-S2: reused by nobody.)
func TestREQ_E40_Detach(t *testing.T) {
	id := int64(-3)
	for _, shared := range []bool{false, true} {
		for name, end := range map[string]func(*hostRig, *lmcache.HostWorker){
			"close":  func(_ *hostRig, h *lmcache.HostWorker) { _ = h.Close() },
			"detach": func(r *hostRig, _ *lmcache.HostWorker) { _ = r.eng.Detach(r.Context(), id) },
			"reap":   func(r *hostRig, _ *lmcache.HostWorker) { r.eng.Ping(id); r.wait(40 * time.Second) },
		} {
			t.Run(name, func(t *testing.T) {
				r := newHostRig(t, func(o *lmcache.Options) { o.ReapTimeout = 30 * time.Second })
				kept := tokens(1, 2*chunkTokens)
				r.keep(1, kept)
				h := r.attach(lmcache.HostOptions{Instance: &id, Shared: shared})
				s := r.session("a")
				st, err := h.PrepareStore(t.Context(), s, tokens(2, 3*chunkTokens), 0, 3*chunkTokens)
				if err != nil {
					t.Fatal(err)
				}
				var late [][]byte
				for _, b := range st.All() {
					late = append(late, b)
				}
				in := r.readBy(h, s.Lookup(t.Context(), kept), 0, 2)
				same(t, in, 1, 0, 2)
				if st := r.eng.Stats().HostWorkers[1]; st.PendingStores != 1 || st.LentReads != 1 || st.Instance.ID != id {
					t.Errorf("%+v", st)
				}
				end(r, h)
				if r.staged() != 0 || r.leased() != 0 {
					t.Errorf("%d staged, %d leased", r.staged(), r.leased())
				}
				if _, err := r.eng.Host(id); !errors.Is(err, lmcache.ErrUnknownInstance) {
					t.Errorf("the instance: %v", err)
				}
				if _, err := h.PrepareStore(t.Context(), s, kept, 0, 16); !errors.Is(err, lmcache.ErrClosed) {
					t.Errorf("store: %v", err)
				}
				if shared {
					if q := r.eng.Stats(); q.Quarantined != 2 || q.Storage.L1.OrphanedBytes != 3*objectBytes {
						t.Errorf("%d leases in quarantine, %d bytes", q.Quarantined, q.Storage.L1.OrphanedBytes)
					}
					r.keep(3, tokens(3, 60*chunkTokens))
					for _, b := range late {
						clear(b) // a client that has not heard of it
					}
					if n := r.hits(tokens(3, 60*chunkTokens)); n != 60 {
						t.Errorf("%d chunks found", n)
					}
					s := r.session("check")
					same(t, r.read(s.Lookup(t.Context(), tokens(3, 60*chunkTokens)), 0, 60), 3, 0, 60)
					r.wait(l1.DefaultWriteTTL + time.Second)
				}
				if q := r.eng.Stats(); q.Quarantined != 0 || q.Storage.L1.OrphanedBytes != 0 {
					t.Errorf("%d leases in quarantine, %d bytes", q.Quarantined, q.Storage.L1.OrphanedBytes)
				}
				list := r.events()
				oneEnd(t, append(list, r.late()...))
			})
		}
	}
}

// late closes the engine and returns the last events.
func (r *hostRig) late() []heard {
	r.shut()
	return r.events()
}

// TestHostExpired: a host in the same process that takes too long loses what it
// reserved, but its memory is reused by nobody until it lets go; what it reads stays.
func TestHostExpired(t *testing.T) {
	r := newHostRig(t)
	kept := tokens(1, 2*chunkTokens)
	r.keep(1, kept)
	s := r.session("a")
	in := r.read(s.Lookup(t.Context(), kept), 0, 2)
	st := r.prepare(s, tokens(2, 2*chunkTokens), 0, 2)
	r.wait(2 * time.Hour)
	if got := r.eng.Stats().Storage.L1; got.WritingObjects != 0 || got.OrphanedBytes != 2*objectBytes || got.ReadingObjects != 2 {
		t.Errorf("%d staged, %d bytes orphaned, %d leased", got.WritingObjects, got.OrphanedBytes, got.ReadingObjects)
	}
	again := r.prepare(s, tokens(2, 2*chunkTokens), 0, 2)
	if n := fill(again, 2, 0); n != 2 || again == st {
		t.Errorf("%d buffers the second time", n)
	}
	fill(st, 3, 0)
	if err := st.Commit(); !errors.Is(err, lmcache.ErrLost) {
		t.Errorf("the late commit: %v", err)
	}
	if err := again.Commit(); err != nil {
		t.Error(err)
	}
	same(t, in, 1, 0, 2)
	in.Done()
	in = r.read(s.Lookup(t.Context(), tokens(2, 2*chunkTokens)), 0, 2)
	same(t, in, 2, 0, 2)
	in.Done()
	r.end(s)
	r.idle()
}

// TestREQ_E40_ExpiredSharedMemory: what expired and is shared is in use until its host
// lets go; when the worker is detached instead, it is out of use for the write TTL.
func TestREQ_E40_ExpiredSharedMemory(t *testing.T) {
	r := newHostRig(t)
	h := r.attach(lmcache.HostOptions{Shared: true})
	st, err := h.PrepareStore(t.Context(), r.session("a"), tokens(1, 2*chunkTokens), 0, 2*chunkTokens)
	if err != nil {
		t.Fatal(err)
	}
	r.wait(l1.DefaultWriteTTL + 2*time.Second)
	if err := h.Close(); err != nil {
		t.Error(err)
	}
	if q := r.eng.Stats(); q.Quarantined != 1 || q.Storage.L1.OrphanedBytes != 2*objectBytes {
		t.Errorf("%d leases in quarantine, %d bytes", q.Quarantined, q.Storage.L1.OrphanedBytes)
	}
	if err := st.Commit(); !errors.Is(err, lmcache.ErrLost) {
		t.Errorf("the late commit: %v", err)
	}
	r.wait(l1.DefaultWriteTTL + 2*time.Second)
	r.idle()
	oneEnd(t, append(r.events(), r.late()...))
}
