package lmcache_test

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lmcache-go/lmcache"
)

// sessionTTL sets the time after which sessions fall asleep.
func sessionTTL(d time.Duration) func(*lmcache.Options) {
	return func(o *lmcache.Options) { o.SessionTTL = d }
}

// TestREQ_E10_OpenLeasesLive: leases of an open session do not expire, whether it is
// polled, has a transfer that runs, or has no TTL.
func TestREQ_E10_OpenLeasesLive(t *testing.T) {
	prompt := tokens(1, 3*chunkTokens)
	evict := func(r *hostRig) { r.clear(false) } // takes all that is not leased
	t.Run("polled", func(t *testing.T) {
		r := newHostRig(t, sessionTTL(600*time.Second))
		r.keep(1, prompt)
		s := r.session("a")
		m := s.Lookup(t.Context(), prompt)
		for range 70 {
			r.wait(10 * time.Second)
			r.found(m)
			evict(r)
		}
		same(t, r.read(m, 0, 3), 1, 0, 3)
	})
	t.Run("remote", func(t *testing.T) {
		r := newHostRig(t, sessionTTL(600*time.Second))
		c := r.client(1)
		r.keep(1, prompt)
		k := key("a", prompt, 0, 3)
		r.eng.OpenSession(k.Request).Lookup(t.Context(), prompt)
		for range 70 {
			r.wait(10 * time.Second)
			r.found(r.eng.FindSession(k.Request).Match())
			evict(r)
		}
		in, err := c.h.PrepareRetrieveKey(t.Context(), k)
		if err != nil {
			t.Fatal(err)
		}
		same(t, in, 1, 0, 3)
		if err := c.h.CommitRetrieve(k); err != nil {
			t.Error(err)
		}
		r.eng.OpenSession(k.Request).Lookup(t.Context(), prompt)
		r.wait(601 * time.Second)
		if got := r.eng.Stats().SessionStates; r.leased() != 0 || got.Dormant != 1 {
			t.Errorf("%d leased by an idle session, %+v", r.leased(), got)
		}
		r.wait(3001 * time.Second)
		if r.eng.FindSession(k.Request) != nil {
			t.Error("the session is still there")
		}
	})
	t.Run("no TTL", func(t *testing.T) {
		r := newHostRig(t)
		r.keep(1, prompt)
		m := r.session("a").Lookup(t.Context(), prompt)
		r.found(m)
		r.wait(24 * time.Hour)
		evict(r)
		same(t, r.read(m, 0, 3), 1, 0, 3)
		if n := r.eng.Stats().Storage.L1.LeasesExpired; n != 0 {
			t.Errorf("%d leases expired", n)
		}
	})
	t.Run("prefill", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := newRigNoLeak(t, setup{engine: sessionTTL(600 * time.Second)})
			r.keep(1, prompt)
			s := r.session("a")
			m := s.Lookup(t.Context(), prompt)
			r.found(m)
			r.dev.Pause()
			out, err := r.worker.Store(t.Context(), s, tokens(2, 2*chunkTokens), table(span(0, 4)...), nil)
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(700 * time.Second)
			r.clear(false)
			r.dev.Resume()
			if err := out.Wait(t.Context()); err != nil || !out.Success() {
				t.Errorf("store: %v, success %v", err, out.Success())
			}
			if in := r.done(r.worker.Retrieve(t.Context(), m, table(span(10, 6)...), nil)); !in.Success() {
				t.Error("the match is gone")
			}
			r.same(r.cache, 1, 0, span(10, 6)...)
			r.end(s)
		})
	})
}

// TestREQ_E11_IdleTTL: the TTL counts from the last use. A session that sleeps holds
// no lease, wakes up with the next verb, and is given up after an hour. (REQ-S23: the
// leases of a lookup go back when its owner times out, ends or looks up again.)
func TestREQ_E11_IdleTTL(t *testing.T) {
	r := newHostRig(t, sessionTTL(600*time.Second))
	prompt := tokens(1, 3*chunkTokens)
	r.keep(1, prompt)
	r.events()
	s := r.session("a")
	states := func(open, dormant int, abandoned int64) {
		t.Helper()
		if got := r.eng.Stats().SessionStates; got.Open != open || got.Dormant != dormant || got.Abandoned != abandoned {
			t.Errorf("%+v, want %d open, %d dormant, %d abandoned", got, open, dormant, abandoned)
		}
	}
	m := s.Lookup(t.Context(), prompt)
	r.wait(599 * time.Second)
	states(1, 0, 0)
	if r.leased() != 3 {
		t.Errorf("%d leased after 599 s", r.leased())
	}
	m.Planned() // a use
	r.wait(599 * time.Second)
	states(1, 0, 0)
	r.wait(2 * time.Second)
	states(0, 1, 0)
	if r.leased() != 0 {
		t.Errorf("%d leased after 601 s without a use", r.leased())
	}
	if gone := of[lmcache.LookupAbandoned](r.events()); len(gone) != 1 || gone[0].Reason != "expired" {
		t.Errorf("abandoned: %+v", gone)
	}
	// What was looked up covers nothing now; a use wakes the session up.
	if n := r.found(m); n != 0 {
		t.Errorf("found %d tokens", n)
	}
	states(1, 0, 0)
	m = s.Lookup(t.Context(), prompt)
	if n := r.found(m); n != len(prompt)-1 || r.leased() != 3 {
		t.Errorf("found %d tokens", n)
	}
	// Again and again, and at last for too long.
	r.wait(3599 * time.Second)
	states(0, 1, 0)
	st := r.prepare(s, prompt, 0, 3)
	if err := st.Commit(); err != nil {
		t.Error(err)
	}
	states(1, 0, 0)
	r.events()
	r.wait(3601 * time.Second)
	states(0, 0, 1)
	list := r.events()
	if n := len(of[lmcache.SessionEnding](list)); n != 0 {
		t.Errorf("%d sessions are said to be ending", n)
	}
	if e := of[lmcache.RequestEnded](list); len(e) != 1 || e[0].SessionID != "a" {
		t.Errorf("ended: %+v", e)
	}
	if e := of[lmcache.RequestReceipt](list); len(e) != 1 || e[0].Outcome != "abandoned" {
		t.Errorf("receipts: %+v", e)
	}
	if _, err := r.host.PrepareStore(t.Context(), s, prompt, 0, 16); !errors.Is(err, lmcache.ErrClosed) {
		t.Errorf("a store in an abandoned session: %v", err)
	}
	r.end(s)
	if n := len(of[lmcache.RequestEnded](r.events())); n != 0 {
		t.Errorf("it ended again, %d times", n)
	}
}

// TestJobExpires: a result that nobody asks for is dropped 600 s after it was known
// or asked for, also in a session that is used otherwise.
func TestJobExpires(t *testing.T) {
	r := newHostRig(t)
	prompt := tokens(1, 3*chunkTokens)
	r.keep(1, prompt)
	r.events()
	s := r.session("a")
	m := s.Lookup(t.Context(), prompt)
	r.wait(500 * time.Second)
	m.Planned()
	for range 5 {
		r.wait(119 * time.Second)
		if r.leased() != 3 {
			t.Fatal("dropped early")
		}
		r.prepare(s, prompt, 0, 3)
	}
	r.wait(10 * time.Second)
	if r.leased() != 0 || r.eng.Stats().ActivePrefetchJobs != 0 || s.Match() != nil {
		t.Errorf("%d leased, %d jobs", r.leased(), r.eng.Stats().ActivePrefetchJobs)
	}
	if gone := of[lmcache.LookupAbandoned](r.events()); len(gone) != 1 || gone[0].Reason != "expired" {
		t.Errorf("abandoned: %+v", gone)
	}
	if n := r.found(m); n != 0 || r.read(m, 0, 3).Success() {
		t.Errorf("found %d tokens, or the match is read", n)
	}
}

// TestREQ_E17_FreeWhileRunning: what is given back while the lookup is under way is
// given back.
func TestREQ_E17_FreeWhileRunning(t *testing.T) {
	prompt := tokens(1, 8*chunkTokens)
	r := newHostRig(t)
	r.keep(1, prompt)
	for range 200 {
		s := r.session("a")
		var wg sync.WaitGroup
		wg.Go(func() {
			for {
				if m := s.Match(); m != nil {
					m.Release(0, len(prompt))
					return
				}
				runtime.Gosched()
			}
		})
		s.Lookup(t.Context(), prompt)
		wg.Wait()
		if n := r.leased(); n != 0 {
			t.Fatalf("%d objects leased", n)
		}
		r.end(s)
	}
	if n := len(of[lmcache.LookupAbandoned](r.events())); n != 0 {
		t.Errorf("%d lookups count as undelivered", n)
	}
}

// TestREQ_E18_Ending: a session ends without any registered model, twice, and while
// the sweep is at it (REQ-S25), with one end in the events.
func TestREQ_E18_Ending(t *testing.T) {
	prompt := tokens(1, 2*chunkTokens)
	t.Run("no model", func(t *testing.T) {
		r := newHostRig(t)
		r.keep(1, prompt)
		remote := r.eng.OpenSession(lmcache.Request{ID: "remote", Model: model, WorldSize: 1})
		s := r.session("a")
		for _, s := range []*lmcache.Session{s, remote} {
			s.Lookup(t.Context(), prompt)
		}
		r.events()
		if err := r.host.Close(); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			r.end(s)
			for _, id := range []string{"remote", "never"} {
				if err := r.eng.EndSession(id); err != nil {
					t.Error(err)
				}
			}
		}
		r.idle()
		list := r.events()
		if n := len(of[lmcache.RequestEnded](list)); n != 2 {
			t.Errorf("%d sessions ended", n)
		}
		if n := len(of[lmcache.SessionEnding](list)); n != 5 { // a, and two remote ones twice
			t.Errorf("%d sessions were about to end", n)
		}
	})
	t.Run("race", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := newRigNoLeak(t, setup{engine: sessionTTL(time.Second)})
			r.keep(1, prompt)
			r.events()
			const n = 40
			var wg sync.WaitGroup
			for i := range n {
				s := r.eng.OpenSession(lmcache.Request{ID: fmt.Sprint(i), Model: model, WorldSize: 1})
				s.Lookup(t.Context(), prompt)
				for range 2 {
					wg.Go(func() {
						time.Sleep(3600 * time.Second) // the very moment at which it is given up
						if i%2 == 0 {
							_ = s.Close() // only the touch can fail
						} else {
							_ = r.eng.EndSession(fmt.Sprint(i))
						}
					})
				}
			}
			wg.Wait()
			synctest.Wait()
			r.idle()
			if got := r.eng.Stats().Sessions; got != 0 {
				t.Errorf("%d sessions left", got)
			}
			list := r.events()
			if a, b := len(of[lmcache.RequestEnded](list)), len(of[lmcache.RequestReceipt](list)); a != n || b != n {
				t.Errorf("%d sessions ended, %d receipts", a, b)
			}
		})
	})
}

// TestLateOperations: an operation of a request that has ended works in a session of
// its own, which ends without a word; a new lookup opens the request anew.
func TestLateOperations(t *testing.T) {
	r := newHostRig(t, sessionTTL(600*time.Second))
	c := r.client(1)
	prompt := tokens(1, 2*chunkTokens)
	req := lmcache.Request{ID: "a", Model: model, WorldSize: 1}
	if r.eng.FindSession(req) != nil {
		t.Error("a session that nobody opened")
	}
	s := r.eng.OpenSession(req)
	if again, done := r.eng.SessionFor(req); again != s || r.eng.FindSession(req) != s {
		t.Error("another session")
	} else {
		done()
	}
	other := req
	other.Salt = "tenant"
	if r.eng.OpenSession(other) == s {
		t.Error("one session for two tenants")
	}
	if err := r.eng.EndSession("a"); err != nil {
		t.Fatal(err)
	}
	if n := r.eng.Stats().Sessions; n != 0 {
		t.Errorf("%d sessions left", n)
	}
	if !c.commit(key("a", prompt, 0, 2), tensorsOf(1, 0, 2)...) {
		t.Error("a late store is false")
	}
	c.check(1, prompt, 2)
	if r.eng.FindSession(req) != nil || r.eng.Stats().Sessions != 0 {
		t.Error("the late store opened a session")
	}
	list := r.events()
	ends := of[lmcache.RequestEnded](list)
	if n := slices.IndexFunc(ends, func(e lmcache.RequestEnded) bool { return e.SessionID == "a" }); n < 0 || len(ends) != 2 { // and check
		t.Errorf("ended: %+v", ends)
	}
	oneEnd(t, list)
	r.wait(61 * time.Second)
	late, done := r.eng.SessionFor(req)
	done()
	if r.eng.FindSession(req) != late {
		t.Error("after a minute no session is opened")
	}
	if err := r.eng.EndSession("a"); err != nil {
		t.Fatal(err)
	}
	if m := r.eng.OpenSession(req).Lookup(t.Context(), prompt); r.found(m) == 0 || r.eng.FindSession(req).Match() != m {
		t.Error("a new lookup finds nothing")
	}
	// An invalid request opens nothing, and its verbs say what is wrong.
	bad, done := r.eng.SessionFor(lmcache.Request{ID: strings.Repeat("x", 257), Model: model, WorldSize: 1})
	defer done()
	if _, err := bad.Lookup(t.Context(), prompt).Tokens(t.Context()); err == nil || !strings.Contains(err.Error(), "Request.ID") {
		t.Errorf("an id of 257 bytes: %v", err)
	}
	if n := r.eng.Stats().Sessions; n != 1 {
		t.Errorf("%d sessions", n)
	}
}

// TestREQ_E20_Bounds: a million requests that never end are bounded: the longest
// unused sessions go, are counted, and leave no lease.
func TestREQ_E20_Bounds(t *testing.T) {
	n, limit := 1_000_000, 2000
	if testing.Short() {
		n = 50_000
	}
	r := newHostRig(t, func(o *lmcache.Options) { o.MaxSessions, o.Bus = limit, nil })
	prompt := tokens(1, 2*chunkTokens)
	r.keep(1, prompt)
	var first, used *lmcache.Session
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	var before uint64
	for i := range n {
		s := r.eng.OpenSession(lmcache.Request{ID: fmt.Sprint(i), Model: model, WorldSize: 1})
		switch {
		case i == 0:
			first = s
		case i == 1:
			used = s
		case i%500 == 0:
			r.found(used.Lookup(t.Context(), prompt))
		}
		if i == n/2 {
			before = heap()
		}
	}
	if after := heap(); after > before+before/4 {
		t.Errorf("heap grew from %d to %d bytes", before, after)
	}
	got := r.eng.Stats()
	if got.Sessions != limit || got.SessionStates.Abandoned != int64(n-limit) || r.leased() != 2 {
		t.Errorf("%d sessions, %d abandoned, %d leased", got.Sessions, got.SessionStates.Abandoned, r.leased())
	}
	if _, err := r.host.PrepareStore(t.Context(), first, prompt, 0, 16); !errors.Is(err, lmcache.ErrClosed) {
		t.Errorf("the first session: %v", err)
	}
	if used.Match() == nil {
		t.Error("the session that was used is gone")
	}
}

// TestSessionBytes: tokens and hashes are kept within their bound, those of the
// longest unused sessions go first, and a session that lost them works as before.
func TestSessionBytes(t *testing.T) {
	const one = 4*4*chunkTokens + 4*32 // bytes of a prompt of 4 chunks
	r := newHostRig(t, func(o *lmcache.Options) { o.SessionBytes = 3 * one })
	var list []*lmcache.Session
	for i := range 5 {
		s := r.session(fmt.Sprint(i))
		r.found(s.Lookup(t.Context(), tokens(uint64(i), 4*chunkTokens)))
		list = append(list, s)
		if got := r.eng.Stats().SessionStates.KeptBytes; got != int64(min(i+1, 3)*one) {
			t.Errorf("%d bytes kept after %d prompts", got, i+1)
		}
	}
	for i, s := range list {
		prompt := tokens(uint64(i), 4*chunkTokens)
		st := r.prepare(s, prompt, 0, 4)
		fill(st, uint64(i), 0)
		if err := st.Commit(); err != nil {
			t.Fatal(err)
		}
		same(t, r.read(s.Lookup(t.Context(), prompt), 0, 4), uint64(i), 0, 4)
	}
	for _, s := range list {
		r.end(s)
	}
	if got := r.eng.Stats().SessionStates.KeptBytes; got != 0 {
		t.Errorf("%d bytes kept by nobody", got)
	}
	// A prompt that does not fit at all is hashed each time.
	long := tokens(9, 40*chunkTokens)
	r.keep(9, long)
	if n := r.hits(long); n != 40 {
		t.Errorf("%d chunks found", n)
	}
}

// TestRenewalEndsWithItsOwner: a transfer that was given up, and a match that was
// dropped, are not renewed.
func TestRenewalEndsWithItsOwner(t *testing.T) {
	r := newHostRig(t, func(o *lmcache.Options) { o.L1.ReadTTL = 30 * time.Second })
	prompt := tokens(1, 2*chunkTokens)
	r.keep(1, prompt)
	s := r.session("a")
	m := s.Lookup(t.Context(), prompt)
	r.wait(time.Hour - 51*time.Minute) // within the time of the job
	if r.leased() != 2 {
		t.Errorf("%d leased", r.leased())
	}
	second := s.Lookup(t.Context(), prompt[:chunkTokens])
	if r.leased() != 1 || r.found(m) != 0 {
		t.Errorf("%d leased after another lookup", r.leased())
	}
	second.Release(0, chunkTokens)
	r.wait(time.Minute)
	if got := r.eng.Stats().Storage.L1; got.Leases != 0 || got.LeasesExpired != 0 {
		t.Errorf("%d leases, %d expired", got.Leases, got.LeasesExpired)
	}
}

// TestREQ_E11_LookupAtTheEdge: a session that looks up at the moment at which it would
// fall asleep keeps what it has found.
func TestREQ_E11_LookupAtTheEdge(t *testing.T) {
	const ttl = time.Minute
	r := newRig(t, setup{noBus: true, engine: sessionTTL(ttl)})
	prompt := tokens(1, 3*chunkTokens)
	r.keep(1, prompt)
	for range 1000 {
		s := r.session("a")
		opened := time.Now()
		for !time.Now().After(opened) {
			runtime.Gosched()
		}
		var ringing sync.WaitGroup
		var stop atomic.Bool
		for range 2 {
			ringing.Go(func() {
				for !stop.Load() {
					lmcache.Ring(s, opened.Add(ttl)) // by its opening it is idle, by its lookup it is not
				}
			})
		}
		m := s.Lookup(t.Context(), prompt)
		stop.Store(true)
		ringing.Wait()
		if r.found(m) == 0 {
			t.Fatal("the lookup was dropped as the one of an idle session")
		}
		r.end(s)
	}
}
