package lmcache_test

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lmcache-go/lmcache"
	"github.com/lmcache-go/lmcache/gpu"
	"github.com/lmcache-go/lmcache/gpu/fake"
)

// oneEnd checks that the events have as many ends as submissions of stores and of
// retrieves, each once per op id (REQ-E53).
func oneEnd(t *testing.T, list []heard) {
	t.Helper()
	open := make(map[string]string)
	begin := func(op, what string) {
		if _, ok := open[op]; ok || op == "" {
			t.Errorf("%s: op id %q twice", what, op)
		}
		open[op] = what
	}
	end := func(op, what string) {
		if open[op] != what {
			t.Errorf("%s of %q ended, which is %q", what, op, open[op])
		}
		open[op] = "ended " + what
	}
	for _, h := range list {
		switch e := h.event.(type) {
		case lmcache.StoreSubmitted:
			begin(e.OpID, "store")
		case lmcache.StoreStarted:
			if open[e.OpID] != "store" {
				t.Errorf("store %q started, which is %q", e.OpID, open[e.OpID])
			}
		case lmcache.StoreEnded:
			end(e.OpID, "store")
		case lmcache.RetrieveSubmitted:
			begin(e.OpID, "retrieve")
		case lmcache.RetrieveStarted:
			if open[e.OpID] != "retrieve" {
				t.Errorf("retrieve %q started, which is %q", e.OpID, open[e.OpID])
			}
		case lmcache.RetrieveEnded:
			end(e.OpID, "retrieve")
		}
	}
	for op, what := range open {
		if what == "store" || what == "retrieve" {
			t.Errorf("%s %q has no end", what, op)
		}
	}
}

// TestREQ_E31_FailedCopyOfStore: whichever copy of a store fails, exactly the
// batches in front of it are published, nothing behind it is, nothing stays
// staged, and a second store writes the rest (REQ-E53).
func TestREQ_E31_FailedCopyOfStore(t *testing.T) {
	const n = 5
	prompt := tokens(1, n*chunkTokens)
	for _, batch := range []int{1, 2, 8} {
		for _, effect := range []fake.Effect{fake.Refuse, fake.Tear} {
			for fail := range n {
				t.Run(fmt.Sprintf("batch %d, effect %d, copy %d", batch, effect, fail), func(t *testing.T) {
					r := newRig(t, setup{})
					lmcache.SetBatch(r.worker, batch)
					r.dev.Fail(fake.Fault{Kind: fake.Gather, After: fail, Effect: effect})
					s := r.session("a")
					tr := r.store(s, 1, prompt, span(0, n*perChunk)...)
					want := fail / batch * batch
					if !errors.Is(tr.Err(), fake.ErrInjected) || tr.Success() || tr.Chunks() != want || tr.Tokens() != want*chunkTokens {
						t.Errorf("%v, success %v, %d chunks, %d tokens, want %d chunks", tr.Err(), tr.Success(), tr.Chunks(), tr.Tokens(), want)
					}
					if got := r.hits(prompt); got != want {
						t.Errorf("%d chunks found, want %d", got, want)
					}
					list := r.events()
					oneEnd(t, list)
					if e := of[lmcache.StoreEnded](list)[0]; e.Success || e.StoredCount != want || e.TotalBytes != int64(want)*objectBytes {
						t.Errorf("ended %+v", e)
					}
					r.idle()
					// The device still works, and the session knows what is missing.
					if tr = r.store(s, 1, prompt, span(0, n*perChunk)...); !tr.Success() || tr.Chunks() != n-want || tr.Tokens() != n*chunkTokens {
						t.Errorf("second store: %v, %d chunks, want %d", tr.Err(), tr.Chunks(), n-want)
					}
					m := s.Lookup(t.Context(), prompt)
					to := span(30, n*perChunk)
					if tr = r.done(r.worker.Retrieve(t.Context(), m, table(to...), nil)); !tr.Success() {
						t.Error(tr.Err())
					}
					r.same(r.cache, 1, 0, to...)
					r.end(s)
				})
			}
		}
	}
}

// TestREQ_E32_FailedRetrieve: whichever step of a retrieve fails, it reports no
// success and no tokens, no other block changes, every holder goes back, and the
// next retrieve delivers the bytes (REQ-E53).
func TestREQ_E32_FailedRetrieve(t *testing.T) {
	const n = 4
	prompt := tokens(2, n*chunkTokens)
	for _, batch := range []int{1, 3} {
		for _, f := range []fake.Fault{
			{Kind: fake.Scatter},
			{Kind: fake.Scatter, After: 1, Effect: fake.Tear},
			{Kind: fake.Scatter, After: 2},
			{Kind: fake.Scatter, After: 3},
			{Kind: fake.Copy, After: 2, Effect: fake.Tear},
		} {
			t.Run(fmt.Sprintf("batch %d, %v %d", batch, f.Kind, f.After), func(t *testing.T) {
				r := newRig(t, setup{})
				lmcache.SetBatch(r.worker, batch)
				r.keep(2, prompt)
				r.events()
				s := r.session("a")
				m := s.Lookup(t.Context(), prompt)
				to := span(10, n*perChunk)
				rest := r.snapshot(r.cache, to...)
				r.dev.Fail(f)
				tr := r.done(r.worker.Retrieve(t.Context(), m, table(to...), nil))
				if !errors.Is(tr.Err(), fake.ErrInjected) || tr.Success() || tr.Tokens() != 0 || tr.Chunks() != 0 || tr.Bytes() != 0 {
					t.Errorf("%v, success %v, %d tokens, %d chunks", tr.Err(), tr.Success(), tr.Tokens(), tr.Chunks())
				}
				if string(rest) != string(r.snapshot(r.cache, to...)) {
					t.Error("other blocks have changed")
				}
				list := r.events()
				oneEnd(t, list)
				if e := of[lmcache.RetrieveEnded](list)[0]; e.Success || e.RetrievedCount != 0 || e.TotalBytes != 0 || e.NumTokens != 0 {
					t.Errorf("ended %+v", e)
				}
				r.idle() // though the session is open
				tr = r.done(r.worker.Retrieve(t.Context(), m, table(to...), nil))
				if !tr.Success() || tr.Chunks() != n {
					t.Errorf("second retrieve: %v, %d chunks", tr.Err(), tr.Chunks())
				}
				r.same(r.cache, 2, 0, to...)
				r.end(s)
			})
		}
	}
}

// TestREQ_E32_DeadDevice: a device that is lost fails what runs; then the worker
// refuses everything, holders go back, and other workers go on.
func TestREQ_E32_DeadDevice(t *testing.T) {
	r := newRig(t, setup{})
	prompt := tokens(3, 4*chunkTokens)
	other := fake.New(fake.Options{Index: 1})
	defer func() {
		if err := other.Close(); err != nil {
			t.Error(err)
		}
	}()
	cache, err := other.NewPaged(shape(16))
	if err != nil {
		t.Fatal(err)
	}
	w, err := r.eng.Attach(lmcache.WorkerOptions{Model: model, Backend: other, Cache: cache})
	if err != nil {
		t.Fatal(err)
	}
	r.keep(3, prompt)

	s := r.session("a")
	m := s.Lookup(t.Context(), prompt)
	r.dev.Pause()
	in, err := r.worker.Retrieve(t.Context(), m, table(span(0, 8)...), nil)
	if err != nil {
		t.Fatal(err)
	}
	more := tokens(4, 3*chunkTokens)
	out, err := r.worker.Store(t.Context(), s, more, table(span(20, 6)...), nil)
	if err != nil {
		t.Fatal(err)
	}
	r.dev.Lose()
	r.dev.Resume()
	for _, tr := range []*lmcache.Transfer{in, out} {
		if err := tr.Wait(t.Context()); !errors.Is(err, fake.ErrLost) || tr.Success() || tr.Tokens() != 0 || tr.Chunks() != 0 {
			t.Errorf("%v, success %v, %d tokens, %d chunks", err, tr.Success(), tr.Tokens(), tr.Chunks())
		}
	}
	if got := r.hits(more); got != 0 {
		t.Errorf("%d chunks of a lost store are readable", got)
	}
	// That it is lost is known behind what was queued: at the latest a further
	// transfer has it settled.
	r.until(func() bool { return !r.eng.Stats().Workers[0].Healthy })
	m = s.Lookup(t.Context(), prompt)
	if _, err := r.worker.Store(t.Context(), s, prompt, table(span(0, 8)...), nil); !errors.Is(err, lmcache.ErrUnhealthy) {
		t.Errorf("store: %v", err)
	}
	if _, err := r.worker.Retrieve(t.Context(), m, table(span(0, 8)...), nil); !errors.Is(err, lmcache.ErrUnhealthy) {
		t.Errorf("retrieve: %v", err)
	}
	if got := r.leased(); got != 0 {
		t.Errorf("%d objects leased after the refusal", got)
	}
	tr := r.done(w.Retrieve(t.Context(), m, table(span(0, 8)...), nil))
	if !tr.Success() || tr.Chunks() != 4 {
		t.Errorf("the other device: %v, %d chunks", tr.Err(), tr.Chunks())
	}
	for i := range 8 {
		for layer := range 2 {
			for plane := range 2 {
				if string(other.Block(cache, 0, layer, plane, gpu.BlockID(i))) != string(pattern(3, i, layer, plane, 128)) {
					t.Fatalf("block %d has wrong bytes", i)
				}
			}
		}
	}
	r.end(s)
	oneEnd(t, r.events())
}

// until waits for a state that a goroutine of the engine is about to reach. Every
// round settles a transfer, so that the lanes have a reason to run.
func (r *rig) until(ok func() bool) {
	r.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			r.Fatal("the state was not reached in ten seconds")
		}
		s := r.session("until")
		if tr, err := r.worker.Store(r.Context(), s, tokens(99, chunkTokens), table(0, 1), nil); err == nil {
			_ = tr.Wait(r.Context())
		}
		r.end(s)
	}
}

// TestREQ_E32_LostLease: the leases of transfers that run do not expire, however long
// the device takes. A store that loses its lease to a forced clear publishes nothing;
// a retrieve that does still has its bytes.
func TestREQ_E32_LostLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRigNoLeak(t, setup{})
		prompt, other := tokens(5, 3*chunkTokens), tokens(6, 3*chunkTokens)
		r.keep(6, other)
		s := r.session("a")
		m := s.Lookup(t.Context(), other)
		r.compute(r.cache, 5, 0, span(0, 6)...)
		r.dev.Pause()
		out, err := r.worker.Store(t.Context(), s, prompt, table(span(0, 6)...), nil)
		if err != nil {
			t.Fatal(err)
		}
		in, err := r.worker.Retrieve(t.Context(), m, table(span(10, 6)...), nil)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		if got := r.eng.Stats().Storage.L1; got.WritingObjects != 3 || got.ReadingObjects != 3 || got.LeasesExpired != 0 {
			t.Errorf("after an hour: %d staged objects, %d leased, %d leases expired", got.WritingObjects, got.ReadingObjects, got.LeasesExpired)
		}
		r.clear(true)
		if got := r.eng.Stats().Storage.L1; got.WritingObjects != 0 || got.OrphanedBytes != 6*objectBytes {
			t.Errorf("after a clear: %d staged objects, %d bytes orphaned", got.WritingObjects, got.OrphanedBytes)
		}
		r.dev.Resume()
		if err := out.Wait(t.Context()); err != nil || out.Success() || out.Chunks() != 0 || out.Tokens() != 0 {
			t.Errorf("store: %v, success %v, %d chunks, %d tokens", err, out.Success(), out.Chunks(), out.Tokens())
		}
		if got := r.hits(prompt); got != 0 {
			t.Errorf("%d chunks are readable", got)
		}
		if err := in.Wait(t.Context()); err != nil || !in.Success() {
			t.Errorf("retrieve: %v", err)
		}
		r.same(r.cache, 6, 0, span(10, 6)...)
		if tr := r.store(s, 5, prompt, span(0, 6)...); !tr.Success() || tr.Chunks() != 3 {
			t.Errorf("second store: %d chunks", tr.Chunks())
		}
		r.end(s)
		oneEnd(t, r.events())
	})
}

// TestFailedProducer: after an event that failed nothing is copied: no object
// becomes readable and no block changes.
func TestFailedProducer(t *testing.T) {
	for _, batch := range []int{1, 8} {
		r := newRig(t, setup{})
		lmcache.SetBatch(r.worker, batch)
		prompt, other := tokens(7, 4*chunkTokens), tokens(8, 4*chunkTokens)
		r.keep(8, other)
		host, err := r.dev.OpenStream(gpu.Normal)
		if err != nil {
			t.Fatal(err)
		}
		r.dev.Fail(fake.Fault{Kind: fake.Gather})
		host.Gather(make([]byte, objectBytes), r.cache, 0, span(40, perChunk))
		bad := host.Record()
		before := r.snapshot(r.cache)
		s := r.session("a")
		m := s.Lookup(t.Context(), other)
		out := r.done(r.worker.Store(t.Context(), s, prompt, table(span(0, 8)...), bad))
		in := r.done(r.worker.Retrieve(t.Context(), m, table(span(10, 8)...), bad))
		chained := r.done(r.worker.Retrieve(t.Context(), m, table(span(30, 8)...), in))
		for i, tr := range []*lmcache.Transfer{out, in, chained} {
			if tr.Err() == nil || tr.Success() || tr.Chunks() != 0 || tr.Tokens() != 0 {
				t.Errorf("transfer %d: %v, success %v, %d chunks", i, tr.Err(), tr.Success(), tr.Chunks())
			}
		}
		if string(before) != string(r.snapshot(r.cache)) {
			t.Error("blocks were overwritten after a failed event")
		}
		if got := r.hits(prompt); got != 0 {
			t.Errorf("%d chunks are readable", got)
		}
		r.idle()
		if !r.eng.Stats().Workers[0].Healthy {
			t.Error("the worker's device counts as failed")
		}
		if tr := r.store(s, 7, prompt, span(0, 8)...); !tr.Success() || tr.Chunks() != 4 {
			t.Errorf("the next store: %v, %d chunks", tr.Err(), tr.Chunks())
		}
		r.end(s)
		oneEnd(t, r.events())
		if err := host.Close(); err != nil {
			t.Error(err)
		}
		r.shut()
	}
}
