package lmcache_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lmcache-go/lmcache"
	"github.com/lmcache-go/lmcache/gpu"
	"github.com/lmcache-go/lmcache/gpu/fake"
	"github.com/lmcache-go/lmcache/l1"
)

// TestREQ_E56_CloseWaits: Close waits for the transfers that run, ends all sessions
// with their events and leaves nothing lent out; afterwards verbs refuse.
func TestREQ_E56_CloseWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRigNoLeak(t, setup{})
		prompt := tokens(1, 3*chunkTokens)
		r.keep(1, prompt)
		r.events()
		a, b := r.session("a"), r.session("b")
		m := a.Lookup(t.Context(), prompt)
		b.Lookup(t.Context(), prompt)
		r.compute(r.cache, 2, 0, span(0, 6)...)
		r.dev.Pause()
		out, err := r.worker.Store(t.Context(), a, tokens(2, 3*chunkTokens), table(span(0, 6)...), nil)
		if err != nil {
			t.Fatal(err)
		}
		in, err := r.worker.Retrieve(t.Context(), m, table(span(10, 6)...), nil)
		if err != nil {
			t.Fatal(err)
		}
		results := make(chan error, 3)
		for range 2 {
			go func() { results <- r.eng.Close(context.WithoutCancel(t.Context())) }()
		}
		go func() { results <- r.worker.Close() }()
		synctest.Wait()
		select {
		case err := <-results:
			t.Fatalf("closed while transfers run: %v", err)
		default:
		}
		if !r.eng.Stats().Closed {
			t.Error("not closed by its stats")
		}
		if _, err := r.worker.Store(t.Context(), a, prompt, table(span(20, 6)...), nil); !errors.Is(err, lmcache.ErrClosed) {
			t.Errorf("store while closing: %v", err)
		}
		r.dev.Resume()
		for range 3 {
			if err := <-results; err != nil {
				t.Errorf("close: %v", err)
			}
		}
		r.closed = true
		for _, tr := range []*lmcache.Transfer{out, in} {
			if _, done, err := tr.Done(); !done || err != nil || !tr.Success() {
				t.Errorf("done %v, %v, success %v", done, err, tr.Success())
			}
		}
		r.same(r.cache, 1, 0, span(10, 6)...)
		r.idle()
		if pinned := r.dev.Stats(); pinned.PinnedBytes != 0 || pinned.Streams != 0 {
			t.Errorf("%d bytes still pinned, %d streams open", pinned.PinnedBytes, pinned.Streams)
		}
		list := r.events()
		oneEnd(t, list)
		if diff := cmp.Diff([]lmcache.RequestEnded{{SessionID: "a"}, {SessionID: "b"}}, of[lmcache.RequestEnded](list)); diff != "" {
			t.Errorf("sessions ended (-want +got):\n%s", diff)
		}
		// Closed: a lookup finds nothing, everything else says so.
		for _, s := range []*lmcache.Session{a, r.session("late")} {
			m := s.Lookup(t.Context(), prompt)
			if n := r.found(m); n != 0 {
				t.Errorf("found %d tokens", n)
			}
			if _, err := r.worker.Retrieve(t.Context(), m, nil, nil); !errors.Is(err, lmcache.ErrClosed) {
				t.Errorf("retrieve: %v", err)
			}
			if _, err := r.worker.Store(t.Context(), s, prompt, table(span(0, 6)...), nil); !errors.Is(err, lmcache.ErrClosed) {
				t.Errorf("store: %v", err)
			}
			r.end(s)
		}
		if _, err := r.eng.Clear(t.Context(), true); !errors.Is(err, lmcache.ErrClosed) {
			t.Errorf("clear: %v", err)
		}
		if _, err := r.eng.Attach(lmcache.WorkerOptions{Model: model, Backend: r.dev, Cache: r.cache}); !errors.Is(err, lmcache.ErrClosed) {
			t.Errorf("attach: %v", err)
		}
		if pinned := r.dev.Stats(); pinned.PinnedBytes != 0 || pinned.Streams != 0 {
			t.Errorf("after a refused attach %d bytes are pinned, %d streams open", pinned.PinnedBytes, pinned.Streams)
		}
	})
}

// TestREQ_E56_CloseGivesUp: a device that never reports is given up at the deadline
// of Close. Its leases stay, the error names their holder, its transfers fail with
// an end each, and what it writes later hits nobody.
func TestREQ_E56_CloseGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRigNoLeak(t, setup{leaves: true})
		prompt := tokens(1, 3*chunkTokens)
		r.keep(1, prompt)
		s := r.session("holder")
		m := s.Lookup(t.Context(), prompt)
		r.dev.Hang()
		out, err := r.worker.Store(t.Context(), s, tokens(2, 3*chunkTokens), table(span(0, 6)...), nil)
		if err != nil {
			t.Fatal(err)
		}
		in, err := r.worker.Retrieve(t.Context(), m, table(span(10, 6)...), nil)
		if err != nil {
			t.Fatal(err)
		}
		waiting := make(chan error, 1)
		go func() { waiting <- r.worker.Close() }() // has no deadline of its own
		synctest.Wait()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 30*time.Second)
		defer cancel()
		began := time.Now()
		err = r.eng.Close(ctx)
		if took := time.Since(began); took != 30*time.Second {
			t.Errorf("close took %v", took)
		}
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("close: %v", err)
		}
		var leaked *l1.LeakError
		if !errors.As(err, &leaked) || leaked.Owner != "holder" || leaked.Leases != 2 || leaked.Bytes != 6*objectBytes {
			t.Errorf("close: %v", err)
		}
		if err := <-waiting; !errors.Is(err, lmcache.ErrClosed) {
			t.Errorf("the close of the worker: %v", err)
		}
		for _, tr := range []*lmcache.Transfer{out, in} {
			if _, done, err := tr.Done(); !done || !errors.Is(err, lmcache.ErrClosed) || tr.Success() || tr.Tokens() != 0 {
				t.Errorf("done %v, %v, success %v", done, err, tr.Success())
			}
		}
		oneEnd(t, r.events())
		if pinned := r.dev.Stats().PinnedBytes; pinned == 0 {
			t.Error("memory that the device may write to was unpinned")
		}
		if err := r.eng.Close(ctx); err != nil {
			t.Errorf("second close: %v", err)
		}
		r.dev.Release() // it goes on where it was: into memory that is still there
	})
}

// TestREQ_E40_WorkerClose: closing one worker waits for its transfers alone, frees
// all it held, drops its registration and leaves the others as they are.
func TestREQ_E40_WorkerClose(t *testing.T) {
	r := newRig(t, setup{})
	w, err := r.eng.Attach(lmcache.WorkerOptions{Model: "n", Backend: r.dev, Cache: r.cache})
	if err != nil {
		t.Fatal(err)
	}
	if got := r.eng.Stats().Models; !cmp.Equal(got, []string{model, "n"}) {
		t.Errorf("models %v", got)
	}
	prompt := tokens(1, 3*chunkTokens)
	s := r.eng.Session(lmcache.Request{ID: "a", Model: "n"})
	r.compute(r.cache, 1, 0, span(0, 6)...)
	tr, err := w.Store(t.Context(), s, prompt, table(span(0, 6)...), nil)
	if err != nil {
		t.Fatal(err)
	}
	m := s.Lookup(t.Context(), tokens(2, 64))
	for range 2 {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, done, err := tr.Done(); !done || err != nil {
		t.Errorf("done %v, %v", done, err)
	}
	if _, err := w.Store(t.Context(), s, prompt, table(span(0, 6)...), nil); !errors.Is(err, lmcache.ErrClosed) {
		t.Errorf("store: %v", err)
	}
	if _, err := w.Retrieve(t.Context(), m, nil, nil); !errors.Is(err, lmcache.ErrClosed) {
		t.Errorf("retrieve: %v", err)
	}
	if got := r.eng.Stats(); len(got.Workers) != 1 || !cmp.Equal(got.Models, []string{model}) {
		t.Errorf("%d workers, models %v", len(got.Workers), got.Models)
	}
	if n := r.found(s.Lookup(t.Context(), prompt)); n != 0 {
		t.Errorf("without its model's worker a lookup finds %d tokens", n)
	}
	r.end(s) // works without a model
	// It may come back, and finds what it stored.
	if w, err = r.eng.Attach(lmcache.WorkerOptions{Model: "n", Backend: r.dev, Cache: r.cache}); err != nil {
		t.Fatal(err)
	}
	if w.ID() != "3" {
		t.Errorf("the third worker is %s", w.ID())
	}
	s = r.eng.Session(lmcache.Request{ID: "b", Model: "n"})
	m = s.Lookup(t.Context(), prompt)
	if tr := r.done(w.Retrieve(t.Context(), m, table(span(10, 6)...), nil)); !tr.Success() || tr.Chunks() != 3 {
		t.Errorf("%d chunks", tr.Chunks())
	}
	r.same(r.cache, 1, 0, span(10, 6)...)
	// A retrieve by a worker that has closed gives its turn back.
	m = s.Lookup(t.Context(), prompt)
	if err := w.Close(); err != nil {
		t.Error(err)
	}
	if _, err := w.Retrieve(t.Context(), m, table(span(10, 6)...), nil); !errors.Is(err, lmcache.ErrClosed) {
		t.Errorf("retrieve: %v", err)
	}
	r.idle()
	r.end(s)
}

// TestREQ_E44_Layouts: workers of one model whose layouts differ are accepted, but
// never read each other's objects.
func TestREQ_E44_Layouts(t *testing.T) {
	r := newRig(t, setup{})
	prompt := tokens(1, 3*chunkTokens)
	r.keep(1, prompt)
	s := r.session("a")
	m := s.Lookup(t.Context(), prompt) // of the first layout
	wide := shape(64)
	wide.Layers = 4
	cache, err := r.dev.NewPaged(wide)
	if err != nil {
		t.Fatal(err)
	}
	w, err := r.eng.Attach(lmcache.WorkerOptions{Model: model, Backend: r.dev, Cache: cache})
	if err != nil {
		t.Fatal(err)
	}
	before := r.snapshot(cache)
	r.events()
	tr := r.done(w.Retrieve(t.Context(), m, table(span(0, 6)...), nil))
	if tr.Success() || tr.Tokens() != 0 {
		t.Errorf("foreign bytes: success %v, %d tokens", tr.Success(), tr.Tokens())
	}
	if got := r.leased(); got != 0 {
		t.Errorf("%d objects leased after the miss", got)
	}
	if string(before) != string(r.snapshot(cache)) {
		t.Error("the paged cache has changed")
	}
	// Lookups now mean the other layout.
	m = s.Lookup(t.Context(), prompt)
	if got := r.found(m); got != 0 {
		t.Errorf("found %d tokens of another layout", got)
	}
	e := of[lmcache.LookupEnded](r.events())
	if diff := cmp.Diff(map[string]int{"layout_mismatch": 3}, e[len(e)-1].Misses.Map()); diff != "" {
		t.Errorf("misses (-want +got):\n%s", diff)
	}
	r.end(s)
}

// TestAttachErrors: all that is wrong with a worker is said at once, and nothing
// stays open.
func TestAttachErrors(t *testing.T) {
	r := newRig(t, setup{bytes: 2 * objectBytes})
	before := r.dev.Stats()
	bad, err := r.dev.NewPaged(gpu.Shape{Layers: 2, Blocks: 4, BlockTokens: 5, Heads: 2, HeadSize: 4, DType: "float16"})
	if err != nil {
		t.Fatal(err)
	}
	large, err := r.dev.NewPaged(gpu.Shape{Layers: 6, Blocks: 4, BlockTokens: 8, Heads: 2, HeadSize: 4, DType: "float16"})
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		o    lmcache.WorkerOptions
		want []string
	}{
		{lmcache.WorkerOptions{}, []string{"Model", "Backend", "Cache"}},
		{lmcache.WorkerOptions{Model: "a@b", WorldSize: 256, Rank: 3, Backend: r.dev, Cache: bad}, []string{"Model", "Rank", "BlockTokens: must divide"}},
		{lmcache.WorkerOptions{Model: "a", WorldSize: 2, Rank: 2, Backend: r.dev, Cache: &gpu.Paged{}}, []string{"Rank", "no groups"}},
		{lmcache.WorkerOptions{Model: "a", Backend: r.dev, Cache: large}, []string{"3072 bytes, more than the 2048"}},
	} {
		_, err := r.eng.Attach(tc.o)
		for _, want := range tc.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, want it to say %q", err, want)
			}
		}
	}
	for after := range 2 {
		r.dev.Fail(fake.Fault{Kind: fake.Open, After: after})
		if _, err := r.eng.Attach(lmcache.WorkerOptions{Model: "a", Backend: r.dev, Cache: r.cache}); !errors.Is(err, fake.ErrInjected) {
			t.Errorf("stream %d: %v", after, err)
		}
	}
	if now := r.dev.Stats(); now.Streams != before.Streams || now.PinnedBytes != before.PinnedBytes {
		t.Errorf("%d streams open, %d bytes pinned; before %d and %d", now.Streams, now.PinnedBytes, before.Streams, before.PinnedBytes)
	}
	if got := r.eng.Stats(); len(got.Workers) != 1 || len(got.Models) != 1 {
		t.Errorf("%d workers, models %v", len(got.Workers), got.Models)
	}
	// Memory that cannot be pinned is only slower.
	r.dev.Fail(fake.Fault{Kind: fake.Pin})
	w, err := r.eng.Attach(lmcache.WorkerOptions{Model: "slow", Backend: r.dev, Cache: r.cache})
	if err != nil {
		t.Fatal(err)
	}
	got := r.eng.Stats().Workers[1]
	want := lmcache.WorkerStats{
		EngineID: w.ID(), Model: "slow", WorldSize: 1, Device: "fake:0", ObjectBytes: objectBytes, Healthy: true,
		KernelGroups: []lmcache.KernelGroupStats{{
			Layers: 2, Blocks: 64, BlockTokens: 8, Heads: 2, HeadSize: 4, DType: "float16", Format: gpu.FormatTwoNBBSNHHS,
		}},
		UnpinnedBytes: got.UnpinnedBytes,
	}
	if diff := cmp.Diff(want, got); diff != "" || got.UnpinnedBytes < 2*objectBytes {
		t.Errorf("stats (-want +got):\n%s", diff)
	}
}

// TestOpenErrors: all that is wrong with the options is said at once.
func TestOpenErrors(t *testing.T) {
	_, err := lmcache.Open(t.Context(), lmcache.Options{ChunkTokens: -1, HashAlgorithm: "md5", L1: l1.Options{Align: 3}})
	for _, want := range []string{"ChunkTokens", "HashAlgorithm", "Bytes", "Align"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want it to say %q", err, want)
		}
	}
}

// TestEngineStats: the parts of the engine's state that no other test looks at.
func TestEngineStats(t *testing.T) {
	r := newRig(t, setup{})
	s := r.session("a")
	s.Lookup(t.Context(), tokens(1, 64))
	got := r.eng.Stats()
	if got.Sessions != 1 || got.ActivePrefetchJobs != 1 || got.ChunkTokens != chunkTokens || got.HashAlgorithm != "blake3" ||
		got.BootID != r.eng.BootID() || len(got.BootID) != 16 || got.StartedAt.IsZero() || got.Closed {
		t.Errorf("%+v", got)
	}
	other, err := lmcache.Open(t.Context(), lmcache.Options{L1: l1.Options{Bytes: 1 << 20}})
	if err != nil {
		t.Fatal(err)
	}
	if other.BootID() == got.BootID {
		t.Error("two engines with one boot id")
	}
	if _, err := r.worker.Retrieve(t.Context(), other.Session(lmcache.Request{}).Lookup(t.Context(), nil), nil, nil); err == nil {
		t.Error("a match of another engine is accepted")
	}
	if _, err := r.worker.Store(t.Context(), other.Session(lmcache.Request{Model: model}), nil, nil, nil); err == nil {
		t.Error("a session of another engine is accepted")
	}
	if err := other.Close(t.Context()); err != nil {
		t.Error(err)
	}
	r.end(s)
	if got := r.eng.Stats(); got.Sessions != 0 || got.ActivePrefetchJobs != 0 {
		t.Errorf("%d sessions, %d jobs", got.Sessions, got.ActivePrefetchJobs)
	}
	r.eng.ReportBlocks(7, model, []lmcache.BlockAllocation{{RequestID: "a", NewBlockIDs: span(1, 2)}})
	if e := of[lmcache.BlocksAllocated](r.events()); len(e) != 1 || e[0].InstanceID != 7 || len(e[0].Records) != 1 {
		t.Errorf("%+v", e)
	}
}

// TestREQ_E60_SelfTest: a device that exchanges K and V, or loses a bit, is refused
// with the reason, and leaves nothing behind.
func TestREQ_E60_SelfTest(t *testing.T) {
	r := newRig(t, setup{leaves: true}) // the device sees faults
	defer r.shut()
	before := r.eng.Stats()
	for _, kind := range []fake.Kind{fake.Gather, fake.Scatter} {
		for _, effect := range []fake.Effect{fake.Swap, fake.Flip, fake.Refuse} {
			r.dev.Fail(fake.Fault{Kind: kind, Effect: effect, Count: 1})
			w, err := r.eng.Attach(lmcache.WorkerOptions{Model: "other", Backend: r.dev, Cache: r.cache})
			if w != nil || err == nil || effect != fake.Refuse && !errors.Is(err, gpu.ErrSelfTest) {
				t.Errorf("%v of a %v: %v", effect, kind, err)
			}
		}
	}
	if after := r.eng.Stats(); len(after.Workers) != len(before.Workers) || len(after.Models) != 1 {
		t.Errorf("%d workers of %v", len(after.Workers), after.Models)
	}
	w, err := r.eng.Attach(lmcache.WorkerOptions{Model: "other", Backend: r.dev, Cache: r.cache})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Error(err)
	}
}
