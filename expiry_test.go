package lmcache_test

import (
	"encoding/binary"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lmcache-go/lmcache"
	"github.com/lmcache-go/lmcache/internal/leak"
	"github.com/lmcache-go/lmcache/storage"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// shortTTL is over before an engine renews its leases, which it does at most once a
// millisecond.
const shortTTL = 500 * time.Microsecond

func shortLived(o *lmcache.Options) { o.L1.ReadTTL, o.L1.WriteTTL = shortTTL, shortTTL }

// crowd writes objects of its own until all of what is not in use has other bytes.
func crowd(t *testing.T, e *lmcache.Engine) {
	t.Helper()
	sm := lmcache.Storage(e)
	layout, err := kv.RawLayout(objectBytes)
	if err != nil {
		t.Fatal(err)
	}
	for i := range sm.Stats().L1.CapacityBytes / objectBytes {
		var h [32]byte
		binary.BigEndian.PutUint64(h[:], uint64(i)+1)
		k := kv.Key{Hash: kv.Hash32(h), Model: "crowd", Rank: 0x01000100}
		w, err := sm.ReserveWrite(t.Context(), []kv.Key{k}, layout, storage.New, storage.WriteOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range w.All() {
			for j := range b {
				b[j] = 0xDD
			}
		}
		w.Finish()
	}
}

// losses are ways in which a transfer loses its leases.
var losses = map[string]func(t *testing.T, e *lmcache.Engine, pass func(time.Duration)){
	"expiry": func(_ *testing.T, _ *lmcache.Engine, pass func(time.Duration)) { pass(shortTTL) },
	"expiry, then others": func(t *testing.T, e *lmcache.Engine, pass func(time.Duration)) {
		pass(shortTTL)
		crowd(t, e)
	},
	"forced clear": func(t *testing.T, e *lmcache.Engine, _ func(time.Duration)) {
		if _, err := e.Clear(t.Context(), true); err != nil {
			t.Fatal(err)
		}
	},
	"forced clear, then others": func(t *testing.T, e *lmcache.Engine, _ func(time.Duration)) {
		if _, err := e.Clear(t.Context(), true); err != nil {
			t.Fatal(err)
		}
		crowd(t, e)
	},
}

func asleep(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// eachLoss calls f in a bubble for every loss and size of batches, with the number of
// pieces of work that the device does before, until f says that there are no more.
func eachLoss(t *testing.T, f func(r *rig, steps int, lose func()) (more bool)) {
	for name, lose := range losses {
		for _, batch := range []int{1, 3, 8} {
			t.Run(fmt.Sprintf("%s, batch %d", name, batch), func(t *testing.T) {
				for steps, more := 0, true; more && !t.Failed(); steps++ {
					synctest.Test(t, func(t *testing.T) {
						r := newRigNoLeak(t, setup{bytes: 24 * objectBytes, engine: shortLived})
						lmcache.SetBatch(r.worker, batch)
						more = f(r, steps, func() { lose(t, r.eng, asleep) })
						r.idle()
						oneEnd(t, r.events())
					})
				}
			})
		}
	}
}

// steps lets the device do so many pieces of work, and reports whether there were.
func (r *rig) steps(n int) (all bool) {
	for all = true; all && n > 0; n-- {
		all = r.dev.Step()
	}
	synctest.Wait() // what they complete is settled
	return all
}

// TestREQ_E32_StoreLosesItsLease: a store whose reservation expires or is cleared away,
// before the first copy, between any two pieces of the device's work and after the last,
// reports exactly the chunks that were published before. The others never become
// readable, although the device goes on to write them (REQ-S2), and can be stored again.
func TestREQ_E32_StoreLosesItsLease(t *testing.T) {
	const n = 5
	prompt := tokens(1, n*chunkTokens)
	eachLoss(t, func(r *rig, steps int, lose func()) bool {
		s := r.session("a")
		r.compute(r.cache, 1, 0, span(0, n*perChunk)...)
		r.dev.Pause()
		out, err := r.worker.Store(r.Context(), s, prompt, table(span(0, n*perChunk)...), nil)
		if err != nil {
			r.Fatal(err)
		}
		more := r.steps(steps)
		published := r.hits(prompt)
		_, done, _ := out.Done()
		lose()
		left := r.hits(prompt)
		if left > published {
			r.Errorf("%d steps: %d chunks are readable after the loss, %d were before", steps, left, published)
		}
		r.dev.Resume()
		if err := out.Wait(r.Context()); err != nil {
			r.Errorf("%d steps: %v", steps, err)
		}
		if out.Success() != done || done != (published == n) || out.Chunks() != published || out.Tokens() != published*chunkTokens {
			r.Errorf("%d steps: success %v, done before %v, %d chunks, %d tokens, %d chunks published before",
				steps, out.Success(), done, out.Chunks(), out.Tokens(), published)
		}
		if got := r.hits(prompt); got != left {
			r.Errorf("%d steps: %d chunks are readable, %d were before the copies ended", steps, got, left)
		}
		r.idle()
		r.end(s)

		// Another session stores and reads all of it.
		s = r.session("b")
		if tr := r.store(s, 1, prompt, span(0, n*perChunk)...); !tr.Success() || tr.Chunks() != n-left {
			r.Errorf("%d steps: stored again: success %v, %d chunks, %d were there", steps, tr.Success(), tr.Chunks(), left)
		}
		to := span(30, n*perChunk)
		tr := r.done(r.worker.Retrieve(r.Context(), s.Lookup(r.Context(), prompt), table(to...), nil))
		if !tr.Success() || tr.Chunks() != n {
			r.Errorf("%d steps: success %v, %d chunks read", steps, tr.Success(), tr.Chunks())
		}
		r.same(r.cache, 1, 0, to...)
		r.end(s)
		return more
	})
}

// TestREQ_E32_RetrieveLosesItsLease: a retrieve whose leases expire or are cleared away,
// at any point after its copies were queued, still delivers the right bytes, whoever gets
// memory meanwhile; no other block changes.
func TestREQ_E32_RetrieveLosesItsLease(t *testing.T) {
	const n = 5
	prompt := tokens(2, n*chunkTokens)
	eachLoss(t, func(r *rig, steps int, lose func()) bool {
		r.keep(2, prompt)
		s := r.session("a")
		m := s.Lookup(r.Context(), prompt)
		to := span(10, n*perChunk)
		rest := r.snapshot(r.cache, to...)
		r.dev.Pause()
		in, err := r.worker.Retrieve(r.Context(), m, table(to...), nil)
		if err != nil {
			r.Fatal(err)
		}
		more := r.steps(steps)
		lose()
		r.dev.Resume()
		if err := in.Wait(r.Context()); err != nil || !in.Success() || in.Chunks() != n {
			r.Errorf("%d steps: %v, success %v, %d chunks", steps, err, in.Success(), in.Chunks())
		}
		r.same(r.cache, 2, 0, to...)
		if string(rest) != string(r.snapshot(r.cache, to...)) {
			r.Errorf("%d steps: other blocks have changed", steps)
		}
		r.idle()
		r.end(s)
		return more
	})
}

// TestREQ_E33_LookupLosesItsLease: between a lookup and its retrieve everything may be
// lost: the retrieve delivers all of the right bytes, or is a miss and writes nothing.
func TestREQ_E33_LookupLosesItsLease(t *testing.T) {
	const n = 5
	prompt := tokens(3, n*chunkTokens)
	for name, lose := range losses {
		for _, asked := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, asked %v", name, asked), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					r := newRigNoLeak(t, setup{bytes: 24 * objectBytes, engine: shortLived})
					r.keep(3, prompt)
					s := r.session("a")
					m := s.Lookup(t.Context(), prompt)
					if asked {
						r.found(m)
					}
					lose(t, r.eng, asleep)
					before := r.snapshot(r.cache)
					to := span(10, n*perChunk)
					in := r.done(r.worker.Retrieve(t.Context(), m, table(to...), nil))
					// A match from before a forced clear is a miss; one whose lease has expired is
					// not, as long as the objects are there.
					if want := name == "expiry"; in.Success() != want {
						t.Errorf("success %v, want %v", in.Success(), want)
					}
					switch {
					case in.Success():
						r.same(r.cache, 3, 0, to...)
					case in.Tokens() != 0 || string(before) != string(r.snapshot(r.cache)):
						t.Errorf("a miss of %d tokens has written", in.Tokens())
					}
					r.end(s)
					r.idle()
					oneEnd(t, r.events())
				})
			})
		}
	}
}

// TestREQ_E32_ClearBesideCommits: forced clears run beside the publishing of a store,
// the settling of a retrieve and the commit of a host: nobody reports more than there
// was, nothing wrong is readable, and nothing stays lent out.
func TestREQ_E32_ClearBesideCommits(t *testing.T) {
	leak.Check(t)
	const n = 6
	r := newRigNoLeak(t, setup{})
	host, err := r.eng.AttachHost(lmcache.HostOptions{Model: model, Geometry: hostGeometry()})
	if err != nil {
		t.Fatal(err)
	}
	lmcache.SetBatch(r.worker, 1)
	prompt, other := tokens(4, n*chunkTokens), tokens(5, n*chunkTokens)
	r.compute(r.cache, 4, 0, span(0, n*perChunk)...)
	lost := 0
	for round := range 200 {
		s := r.session("a")
		st, err := host.PrepareStore(t.Context(), s, other, 0, n*chunkTokens)
		if err != nil {
			t.Fatal(err)
		}
		fill(st, 5, 0)
		r.dev.Pause()
		out, err := r.worker.Store(t.Context(), s, prompt, table(span(0, n*perChunk)...), nil)
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		wg.Go(func() { r.dev.Resume() })
		wg.Go(func() { _ = st.Commit() })
		wg.Go(func() {
			for range round % 5 {
				if _, err := r.eng.Clear(t.Context(), true); err != nil {
					t.Error(err)
				}
			}
		})
		wg.Wait()
		if err := out.Wait(t.Context()); err != nil || out.Success() != (out.Chunks() == n) {
			t.Fatalf("round %d: %v, success %v, %d chunks", round, err, out.Success(), out.Chunks())
		}
		if !out.Success() {
			lost++
		}
		got := r.hits(prompt)
		to := span(20, n*perChunk)
		in := r.done(r.worker.Retrieve(t.Context(), s.Lookup(t.Context(), prompt), table(to...), nil))
		if !in.Success() || in.Chunks() != got || round%5 == 0 && got != n {
			t.Fatalf("round %d: success %v, %d chunks read, %d found", round, in.Success(), in.Chunks(), got)
		}
		r.same(r.cache, 4, 0, to[:got*perChunk]...)
		r.checkHost(host, s, other, n)
		r.end(s)
		r.idle()
		if _, err := r.eng.Clear(t.Context(), false); err != nil {
			t.Fatal(err)
		}
		if t.Failed() {
			t.Fatalf("round %d", round)
		}
	}
	t.Logf("%d of 200 stores lost a lease", lost)
	oneEnd(t, r.events())
}

// checkHost reads what a lookup finds of the prompt of seed 5.
func (r *rig) checkHost(host *lmcache.HostWorker, s *lmcache.Session, prompt []int32, most int) {
	r.Helper()
	m := s.Lookup(r.Context(), prompt)
	got, err := m.Chunks(r.Context())
	if err != nil || got > most {
		r.Fatalf("%d chunks found (%v)", got, err)
	}
	in, err := host.PrepareRetrieve(r.Context(), m, 0, got*chunkTokens)
	if err != nil {
		r.Fatal(err)
	}
	same(r.T, in, 5, 0, got)
	in.Done()
}
