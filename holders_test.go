package lmcache_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/lmcache-go/lmcache"
	"github.com/lmcache-go/lmcache/gpu"
	"github.com/lmcache-go/lmcache/gpu/fake"
	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/storage"
)

// TestREQ_E9_EndReleases: the end of a session gives back at once what it leased,
// whatever was asked, read or given back before, and in the promised order of
// events.
func TestREQ_E9_EndReleases(t *testing.T) {
	prompt := tokens(1, 4*chunkTokens)
	for _, tc := range []struct {
		name   string
		unused int // objects that nobody read
		do     func(*rig, *lmcache.Match)
	}{
		{"not asked", 4, func(*rig, *lmcache.Match) {}},
		{"asked", 4, func(r *rig, m *lmcache.Match) { r.found(m) }},
		{"freed in part", 4, func(_ *rig, m *lmcache.Match) { m.Release(0, 2*chunkTokens) }},
		{"freed twice", 4, func(_ *rig, m *lmcache.Match) { m.Release(0, 64); m.Release(0, 64) }},
		{"read", 0, func(r *rig, m *lmcache.Match) {
			r.done(r.worker.Retrieve(r.Context(), m, table(span(0, 8)...), nil))
		}},
		{"refused", 4, func(r *rig, m *lmcache.Match) {
			if _, err := r.worker.Retrieve(r.Context(), m, table(span(0, 7)...), nil); err == nil {
				r.Error("too few blocks are accepted")
			}
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newRig(t, setup{})
			r.keep(1, prompt)
			r.events()
			s := r.session("a")
			m := s.Lookup(t.Context(), prompt)
			if got := r.leased(); got != 4 {
				t.Errorf("%d objects leased by the lookup", got)
			}
			tc.do(r, m)
			r.end(s)
			r.idle()
			r.end(s) // twice does nothing
			list := r.events()
			unused := 0
			for _, e := range of[storage.ReadPrefetchedFinished](list) {
				if e.Cause == l1.CauseUnused {
					unused += len(e.SucceededKeys)
				}
			}
			if unused != tc.unused {
				t.Errorf("%d objects went back unused, want %d", unused, tc.unused)
			}
			asked := tc.name != "not asked"
			if n := len(of[lmcache.LookupEnded](list)); (n == 1) != asked {
				t.Errorf("%d lookups ended", n)
			}
			if gone := of[lmcache.LookupAbandoned](list); (len(gone) == 0) != asked || !asked && gone[0].Reason != "session_end" {
				t.Errorf("abandoned: %+v", gone)
			}
			if n := len(of[lmcache.SessionEnding](list)); n != 1 {
				t.Errorf("the session ended %d times", n)
			}
			last := list[len(list)-2:]
			if _, ok := last[0].event.(lmcache.RequestEnded); !ok {
				t.Errorf("the last but one event is a %T", last[0].event)
			}
			receipt, ok := last[1].event.(lmcache.RequestReceipt)
			if !ok {
				t.Fatalf("the last event is a %T", last[1].event)
			}
			want := lmcache.RequestReceipt{SessionID: "a", Model: model, Outcome: "miss"}
			if asked {
				want.RequestedTokens, want.HitTokens, want.L1HitTokens, want.Outcome = 64, 64, 64, "hit"
			}
			if tc.unused == 0 {
				want.RetrievedChunks, want.BytesIn = 4, 4*objectBytes
			}
			receipt.LookupTime, receipt.PrefetchWait, receipt.RetrieveTime = 0, 0, 0
			if receipt != want {
				t.Errorf("receipt %+v, want %+v", receipt, want)
			}
		})
	}
}

// TestREQ_E12_Readers: as many workers as the request says read each object, each
// once, and it can be evicted exactly after the last. (REQ-E15: one that asks
// again does not use up another's turn.)
func TestREQ_E12_Readers(t *testing.T) {
	for _, readers := range []int{1, 2, 128, 1000} {
		r := newRig(t, setup{})
		prompt := tokens(2, 2*chunkTokens)
		r.keep(2, prompt)
		s := r.eng.Session(lmcache.Request{ID: "a", Model: model, Readers: readers})
		m := s.Lookup(t.Context(), prompt)
		n := min(readers, 128)
		workers := []*lmcache.Worker{r.worker}
		for len(workers) < n {
			w, err := r.eng.Attach(lmcache.WorkerOptions{Model: model, Backend: r.dev, Cache: r.cache})
			if err != nil {
				t.Fatal(err)
			}
			workers = append(workers, w)
		}
		read := func(w *lmcache.Worker) {
			t.Helper()
			r.wipe(r.cache, span(10, 4)...)
			if tr := r.done(w.Retrieve(t.Context(), m, table(span(10, 4)...), nil)); !tr.Success() {
				t.Error("a reader missed")
			}
			r.same(r.cache, 2, 0, span(10, 4)...)
		}
		if readers > 1 {
			read(workers[0])
		}
		for i, w := range workers {
			if got := r.leased(); got != 2 {
				t.Errorf("%d readers: %d objects leased before reader %d", readers, got, i)
			}
			r.clear(false) // takes nothing that is leased
			read(w)
			read(workers[0])
			if i == 0 && readers > 1 {
				read(w)
			}
		}
		r.idle() // though the session is open
		r.clear(false)
		if got := r.eng.Stats().Storage.L1.Objects; got != 0 {
			t.Errorf("%d objects cannot be removed", got)
		}
		r.end(s)
		r.shut()
	}
}

// TestREQ_E13_FailedRetrieveReturnsOnce: in all orders of a failing retrieve, a
// free of its range, a second lookup and the end of the session, each holder goes
// back once: another session's lease on the same objects is never touched.
func TestREQ_E13_FailedRetrieveReturnsOnce(t *testing.T) {
	prompt := tokens(3, 3*chunkTokens)
	steps := []string{"fail", "free", "end", "again"}
	permutations(len(steps), func(order []int) {
		r := newRig(t, setup{})
		r.keep(3, prompt)
		witness := r.session("witness")
		kept := witness.Lookup(t.Context(), prompt)
		s := r.session("a")
		m := s.Lookup(t.Context(), prompt)
		var name []string
		for _, i := range order {
			name = append(name, steps[i])
			switch steps[i] {
			case "fail":
				r.dev.Fail(fake.Fault{Kind: fake.Scatter, After: 1})
				tr := r.done(r.worker.Retrieve(t.Context(), m, table(span(0, 6)...), nil))
				if tr.Err() == nil && tr.Tokens() > 0 {
					t.Errorf("%v: a failing retrieve delivers %d tokens", name, tr.Tokens())
				}
			case "free":
				m.Release(0, 3*chunkTokens)
			case "end":
				r.end(s)
			case "again":
				s.Lookup(t.Context(), prompt)
			}
			if err := r.eng.Check(); err != nil {
				t.Errorf("%v: %v", name, err)
			}
			r.clear(false)
			if got := r.eng.Stats().Storage.L1; got.Objects != 3 || got.ReadingObjects != 3 {
				t.Fatalf("%v: %d objects, %d leased; another session holds 3", name, got.Objects, got.ReadingObjects)
			}
		}
		r.dev.Fail(fake.Fault{Kind: fake.Gather}) // takes the fault's turn if no retrieve did
		to := span(20, 6)
		tr := r.done(r.worker.Retrieve(t.Context(), kept, table(to...), nil))
		if tr.Err() != nil { // the armed fault struck here
			tr = r.done(r.worker.Retrieve(t.Context(), kept, table(to...), nil))
		}
		if !tr.Success() {
			t.Errorf("%v: the other session misses", name)
		}
		r.same(r.cache, 3, 0, to...)
		r.end(s)
		r.end(witness)
		r.shut()
	})
}

func permutations(n int, f func([]int)) {
	order := make([]int, 0, n)
	var next func()
	next = func() {
		if len(order) == n {
			f(order)
			return
		}
		for i := range n {
			if !slices.Contains(order, i) {
				order = append(order, i)
				next()
				order = order[:len(order)-1]
			}
		}
	}
	next()
}

// TestREQ_E14_OthersLeases: a session that has not looked a prompt up reads
// nothing of it, and what it gives back is not another's.
func TestREQ_E14_OthersLeases(t *testing.T) {
	r := newRig(t, setup{})
	prompt := tokens(4, 3*chunkTokens)
	r.keep(4, prompt)
	a := r.session("a")
	ma := a.Lookup(t.Context(), prompt)
	b := r.session("b")
	mb := b.Lookup(t.Context(), tokens(5, 3*chunkTokens))
	before := r.snapshot(r.cache)
	if tr := r.done(r.worker.Retrieve(t.Context(), mb, table(span(0, 6)...), nil)); tr.Tokens() != 0 {
		t.Errorf("a session without the prompt reads %d tokens", tr.Tokens())
	}
	mb.Release(0, 3*chunkTokens)
	r.end(b)
	mb.Release(0, 3*chunkTokens)
	if string(before) != string(r.snapshot(r.cache)) {
		t.Error("blocks have changed")
	}
	r.clear(false)
	if got := r.leased(); got != 3 {
		t.Errorf("%d objects leased by the first session, want 3", got)
	}
	tr := r.done(r.worker.Retrieve(t.Context(), ma, table(span(0, 6)...), nil))
	if !tr.Success() {
		t.Error("the first session misses")
	}
	r.same(r.cache, 4, 0, span(0, 6)...)
	r.end(a)
}

// TestREQ_E26_LackOfMemory: what does not fit shortens the stored prefix; it
// reports false and disturbs nobody (REQ-E25: true means present).
func TestREQ_E26_LackOfMemory(t *testing.T) {
	r := newRig(t, setup{bytes: 2 * objectBytes})
	prompt := tokens(6, 5*chunkTokens)
	s := r.session("a")
	tr := r.store(s, 6, prompt, span(0, 10)...)
	if tr.Err() != nil || tr.Success() || tr.Chunks() != 2 || tr.Tokens() != 2*chunkTokens {
		t.Errorf("%v, success %v, %d chunks, %d tokens", tr.Err(), tr.Success(), tr.Chunks(), tr.Tokens())
	}
	if e := of[lmcache.StoreEnded](r.events())[0]; e.Success || e.StoredCount != 2 {
		t.Errorf("ended %+v", e)
	}
	m := s.Lookup(t.Context(), prompt)
	if got := r.found(m); got != 2*chunkTokens {
		t.Errorf("found %d tokens", got)
	}
	// All of it is leased: another prompt gets nothing, and does not wait.
	other := r.session("b")
	if tr := r.store(other, 7, tokens(7, 3*chunkTokens), span(0, 6)...); tr.Err() != nil || tr.Success() || tr.Chunks() != 0 {
		t.Errorf("with all memory lent: %v, success %v, %d chunks", tr.Err(), tr.Success(), tr.Chunks())
	}
	list := r.events()
	oneEnd(t, list)
	if n := len(of[lmcache.StoreStarted](list)); n != 0 {
		t.Errorf("%d stores started that had nothing to copy", n)
	}
	r.wipe(r.cache, span(20, 4)...)
	r.done(r.worker.Retrieve(t.Context(), m, table(span(20, 4)...), nil))
	r.same(r.cache, 6, 0, span(20, 4)...)
	r.end(s)
	if tr := r.store(other, 7, tokens(7, 2*chunkTokens), span(0, 4)...); !tr.Success() || tr.Chunks() != 2 {
		t.Errorf("with memory again: success %v, %d chunks", tr.Success(), tr.Chunks())
	}
	if got := r.hits(tokens(7, 2*chunkTokens)); got != 2 {
		t.Errorf("%d chunks found", got)
	}
	r.end(other)
}

// TestREQ_E27_NullBlocks: null blocks are neither read nor written, and a chunk
// with one is not stored.
func TestREQ_E27_NullBlocks(t *testing.T) {
	null := gpu.BlockID(0)
	for _, tc := range []struct {
		ids    []gpu.BlockID
		stored int
		found  int
		tokens int
	}{
		{[]gpu.BlockID{1, 2, 0, 0, 5, 6}, 2, 1, chunkTokens},
		{[]gpu.BlockID{1, 0, 3, 4, 5, 6}, 2, 0, 0},
		{[]gpu.BlockID{1, 2, 3, 4, 0, 6}, 2, 2, 2 * chunkTokens},
		{[]gpu.BlockID{0, 0, 0, 0, 0, 0}, 0, 0, 0},
	} {
		t.Run(fmt.Sprint(tc.ids), func(t *testing.T) {
			r := newRig(t, setup{})
			w, err := r.eng.Attach(lmcache.WorkerOptions{Model: "null", Backend: r.dev, Cache: r.cache, NullBlock: &null})
			if err != nil {
				t.Fatal(err)
			}
			prompt := tokens(8, 3*chunkTokens)
			r.compute(r.cache, 8, 0, span(0, 7)...)
			for i, id := range tc.ids {
				if id != null {
					r.compute(r.cache, 8, i, id)
				}
			}
			s := r.eng.Session(lmcache.Request{ID: "a", Model: "null"})
			tr := r.done(w.Store(t.Context(), s, prompt, table(tc.ids...), nil))
			if !tr.Success() || tr.Chunks() != tc.stored || tr.Tokens() != tc.tokens {
				t.Errorf("success %v, %d chunks, %d tokens", tr.Success(), tr.Chunks(), tr.Tokens())
			}
			r.idle()
			m := s.Lookup(t.Context(), prompt)
			if n, err := m.Chunks(t.Context()); err != nil || n != tc.found {
				t.Errorf("%d chunks found, %v", n, err)
			}
			// To a null block nothing is written.
			to := span(20, 6)
			to[1] = null
			before := r.snapshot(r.cache, span(20, 6)...)
			if tr = r.done(w.Retrieve(t.Context(), m, table(to...), nil)); !tr.Success() {
				t.Error("the retrieve failed")
			}
			if string(before) != string(r.snapshot(r.cache, span(20, 6)...)) {
				t.Error("the null block or another has changed")
			}
			for i := range tc.found * perChunk {
				if i != 1 {
					r.same(r.cache, 8, i, to[i])
				}
			}
			r.end(s)
			if tr := r.done(w.Store(t.Context(), r.eng.Session(lmcache.Request{ID: "b", Model: "null"}), prompt, table(span(1, 6)...), nil)); !tr.Success() || tr.Chunks() != 3-tc.stored {
				t.Errorf("without null blocks: %d chunks, want the other %d", tr.Chunks(), 3-tc.stored)
			}
		})
	}
}

// TestREQ_E39_BadBlocks: block lists that are short, or name what does not exist,
// are refused before anything is reserved or copied, and holders go back.
func TestREQ_E39_BadBlocks(t *testing.T) {
	r := newRig(t, setup{})
	prompt := tokens(9, 3*chunkTokens)
	r.keep(9, prompt)
	before, copies := r.snapshot(r.cache), r.dev.Stats()
	for _, blocks := range [][][]gpu.BlockID{
		nil,
		{},
		{nil},
		table(span(0, 5)...),
		{span(0, 6), span(0, 6)},
		table(0, 1, 2, 3, 4, 64),
		table(0, 1, 2, 3, 4, -1),
		table(-2, 1, 2, 3, 4, 5),
		table(1<<31-1, 1, 2, 3, 4, 5),
	} {
		s := r.session("a")
		m := s.Lookup(t.Context(), prompt)
		if _, err := r.worker.Retrieve(t.Context(), m, blocks, nil); err == nil {
			t.Errorf("retrieve with blocks %v is accepted", blocks)
		}
		if got := r.leased(); got != 0 {
			t.Errorf("%d objects leased after blocks %v were refused", got, blocks)
		}
		if _, err := r.worker.Store(t.Context(), s, tokens(10, 3*chunkTokens), blocks, nil); err == nil {
			t.Errorf("store with blocks %v is accepted", blocks)
		}
		r.end(s)
		r.idle()
	}
	if now := r.dev.Stats(); now.Gathers != copies.Gathers || now.Scatters != copies.Scatters {
		t.Error("something was copied")
	}
	if string(before) != string(r.snapshot(r.cache)) {
		t.Error("blocks have changed")
	}
	if n := len(of[lmcache.StoreSubmitted](r.events())); n != 1 { // that of keep
		t.Errorf("%d stores submitted", n-1)
	}
	// More ids than needed are fine.
	s := r.session("b")
	r.done(r.worker.Retrieve(t.Context(), s.Lookup(t.Context(), prompt), table(span(0, 9)...), nil))
	r.same(r.cache, 9, 0, span(0, 6)...)
	r.end(s)
}

// TestBadRequests: what is wrong with a request is said by the verbs, all at once,
// and nothing is published or kept.
func TestBadRequests(t *testing.T) {
	r := newRig(t, setup{})
	bad := r.eng.Session(lmcache.Request{ID: "bad", Model: "a@b", Salt: "x/y", WorldSize: 256, Readers: -1})
	m := bad.Lookup(t.Context(), tokens(1, 64))
	_, err := m.Tokens(t.Context())
	if err == nil {
		t.Fatal("no error")
	}
	for _, field := range []string{"Model", "Salt", "WorldSize", "Readers"} {
		if !strings.Contains(err.Error(), "Request."+field) {
			t.Errorf("%v says nothing of %s", err, field)
		}
	}
	if _, err := r.worker.Store(t.Context(), bad, tokens(1, 64), table(span(0, 8)...), nil); err == nil {
		t.Error("store: no error")
	}
	if _, err := r.worker.Store(t.Context(), nil, tokens(1, 64), table(span(0, 8)...), nil); err == nil {
		t.Error("store without a session: no error")
	}
	if _, err := r.worker.Retrieve(t.Context(), nil, nil, nil); err == nil {
		t.Error("retrieve without a match: no error")
	}
	if list := r.events(); len(list) != 0 {
		t.Errorf("%d events", len(list))
	}
	r.end(bad)
	// A model or world size that is left out must be clear.
	prompt := tokens(1, 2*chunkTokens)
	r.keep(1, prompt)
	open := r.eng.Session(lmcache.Request{ID: "open"})
	if got := r.found(open.Lookup(t.Context(), prompt)); got != 31 {
		t.Errorf("with one model: %d tokens", got)
	}
	if _, err := r.eng.Attach(lmcache.WorkerOptions{Model: model, WorldSize: 2, Backend: r.dev, Cache: r.cache}); err != nil {
		t.Fatal(err)
	}
	if n, err := open.Lookup(t.Context(), prompt).Tokens(t.Context()); n != 0 || !errors.Is(err, lmcache.ErrAmbiguousModel) {
		t.Errorf("with two world sizes: %d tokens, %v", n, err)
	}
	if _, err := r.worker.Store(t.Context(), open, prompt, table(span(0, 4)...), nil); !errors.Is(err, lmcache.ErrAmbiguousModel) {
		t.Errorf("store with two world sizes: %v", err)
	}
	r.end(open)
	r.events()
	// An unknown model is a miss that says why.
	s := r.eng.Session(lmcache.Request{ID: "x", Model: "unknown"})
	if got := r.found(s.Lookup(t.Context(), prompt)); got != 0 {
		t.Errorf("unknown model: %d tokens", got)
	}
	r.end(s)
	list := r.events()
	if e := of[lmcache.LookupEnded](list); len(e) != 1 || e[0].EarlyExitReason != "no_gpu_context" || e[0].Model != "unknown" ||
		e[0].RequestedTokens != 0 || e[0].Misses[storage.MissNoLayout] != 2 {
		t.Errorf("unknown model: %+v", e)
	}
	if n := len(of[lmcache.RequestEnded](list)); n != 1 {
		t.Errorf("the session without a model ended %d times", n)
	}
	// So is a prompt without a full chunk.
	s = r.eng.Session(lmcache.Request{ID: "y", Model: model, WorldSize: 1})
	if got := r.found(s.Lookup(t.Context(), prompt[:15])); got != 0 {
		t.Errorf("15 tokens: %d found", got)
	}
	r.end(s)
	if e := of[lmcache.LookupEnded](r.events()); len(e) != 1 || e[0].EarlyExitReason != "empty_chunk_hashes" || e[0].Misses[storage.MissUnderChunkSize] != 1 {
		t.Errorf("15 tokens: %+v", e)
	}
}
