package lmcache_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lmcache-go/lmcache"
	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/l2/mem"
	"github.com/lmcache-go/lmcache/storage"
)

// warmRig is an engine in front of a slow tier that has a prompt of four chunks, which
// L1 has lost.
func warmRig(t *testing.T, latency time.Duration) (r *rig, prompt []int32) {
	t.Helper()
	a, err := mem.Open(mem.Options{Capacity: 1 << 20, Latency: latency})
	if err != nil {
		t.Fatal(err)
	}
	r = newRigNoLeak(t, setup{engine: func(o *lmcache.Options) {
		o.Tiers = []storage.Tier{{Name: "mem", Adapter: a, Settings: l2.Settings{NoStartProbe: true}}}
	}})
	prompt = r.lose(3, 4)
	t.Cleanup(func() { // before the rig does: it waits without letting time pass
		r.closed = true
		if err := errors.Join(r.eng.Check(), r.eng.Close(context.WithoutCancel(t.Context()))); err != nil {
			t.Error(err)
		}
		r.idle()
	})
	return r, prompt
}

// warm begins to load a prompt.
func (r *rig) warm(prompt []int32) lmcache.WarmStatus {
	r.Helper()
	st, err := r.eng.Warm(r.Context(), lmcache.WarmRequest{Model: model, Tokens: prompt})
	if err != nil {
		r.Fatal(err)
	}
	return st
}

// A prompt that L1 has lost is brought back before anybody asks for it: the lookup that
// follows finds it in L1, and nothing is lent meanwhile.
func TestWarm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, prompt := warmRig(t, 20*time.Millisecond)
		st := r.warm(prompt)
		if st.Done || st.ID == "" || st.Chunks != 4 || st.Total != 4 {
			t.Fatalf("at once: %+v", st)
		}
		time.Sleep(time.Second)
		done, ok := r.eng.Warming(st.ID)
		if want := (lmcache.WarmStatus{ID: st.ID, Chunks: 4, Total: 4, Done: true, Found: 4}); !ok || done != want {
			t.Errorf("%+v, want %+v", done, want)
		}
		if l := r.eng.Stats().Storage.L1; l.LeasedBytes != 0 || l.Objects != 4 {
			t.Errorf("%d bytes are leased, L1 has %d objects", l.LeasedBytes, l.Objects)
		}
		r.events()
		s := r.session("reader")
		if got := r.found(s.Lookup(t.Context(), prompt)); got != 4*chunkTokens {
			t.Errorf("found %d tokens", got)
		}
		r.end(s)
		if e := of[lmcache.LookupEnded](r.events())[0]; e.L1HitTokens != 4*chunkTokens || e.L2HitTokens != 0 {
			t.Errorf("the lookup ended with %+v", e)
		}
		if again := r.warm(prompt); !again.Done || again.Found != 4 || again.ID == st.ID {
			t.Errorf("what is there already: %+v", again)
		}
		other := r.warm(tokens(9, 3*chunkTokens))
		time.Sleep(time.Second)
		if got, ok := r.eng.Warming(other.ID); !ok || !got.Done || got.Found != 0 || got.Total != 3 {
			t.Errorf("what no tier has: %+v", got)
		}
	})
}

// A result is kept for ten minutes, and no handle longer than it takes.
func TestWarmExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, prompt := warmRig(t, 20*time.Millisecond)
		seen, unseen := r.warm(prompt), r.warm(tokens(9, 2*chunkTokens))
		time.Sleep(300 * time.Second)
		if st, ok := r.eng.Warming(seen.ID); !ok || !st.Done {
			t.Errorf("after 300 s: %+v, %v", st, ok)
		}
		time.Sleep(599 * time.Second)
		if _, ok := r.eng.Warming(seen.ID); !ok {
			t.Error("a result is gone too early")
		}
		time.Sleep(1000 * time.Second)
		for _, id := range []string{seen.ID, unseen.ID, "", "warm-1"} {
			if st, ok := r.eng.Warming(id); ok {
				t.Errorf("%q is still there: %+v", id, st)
			}
		}
		if n := r.eng.Stats().Storage.Prefetches; n != 0 {
			t.Errorf("%d handles are left", n)
		}
	})
}

// One that is cancelled, and all when the engine closes, leave nothing behind.
func TestWarmEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, prompt := warmRig(t, 5*time.Second)
		st := r.warm(prompt)
		if !r.eng.CancelWarming(st.ID) || r.eng.CancelWarming(st.ID) || r.eng.CancelWarming("no") {
			t.Error("the wrong one was cancelled")
		}
		if _, ok := r.eng.Warming(st.ID); ok {
			t.Error("a cancelled one is remembered")
		}
		if n := r.eng.Stats().Storage.Prefetches; n != 0 {
			t.Errorf("%d handles are left", n)
		}
		r.warm(prompt)
		if err := r.eng.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if _, err := r.eng.Warm(t.Context(), lmcache.WarmRequest{Model: model, Tokens: prompt}); !errors.Is(err, lmcache.ErrClosed) {
			t.Errorf("a closed engine: %v", err)
		}
	})
}

// No more are remembered than the limit, and results go before those that run.
func TestWarmIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _ := warmRig(t, 100*time.Millisecond)
		first := r.warm(tokens(9, chunkTokens))
		for range lmcache.MaxWarmings - 1 {
			r.warm(tokens(9, chunkTokens))
		}
		if _, err := r.eng.Warm(t.Context(), lmcache.WarmRequest{Model: model, Tokens: tokens(9, chunkTokens)}); !errors.Is(err, lmcache.ErrManyWarmings) {
			t.Errorf("one too many: %v", err)
		}
		time.Sleep(300 * time.Second) // their results are there
		if _, ok := r.eng.Warming(first.ID); !ok {
			t.Error("a result is gone too early")
		}
		r.warm(tokens(9, chunkTokens))
		if _, ok := r.eng.Warming(first.ID); ok {
			t.Error("the oldest result is still there")
		}
	})
}

// What cannot be loaded is told, and what needs no loading too.
func TestWarmRefuses(t *testing.T) {
	r := tiered(t, 0)
	ask := func(q lmcache.WarmRequest) error {
		_, err := r.eng.Warm(t.Context(), q)
		return err
	}
	if st, err := r.eng.Warm(t.Context(), lmcache.WarmRequest{Tokens: tokens(1, chunkTokens-1)}); err != nil || st != (lmcache.WarmStatus{Done: true}) {
		t.Errorf("less than a chunk: %+v, %v", st, err)
	}
	if err := ask(lmcache.WarmRequest{Model: "other", Tokens: tokens(1, chunkTokens)}); !errors.Is(err, lmcache.ErrNoLayout) {
		t.Errorf("an unknown model: %v", err)
	}
	if err := ask(lmcache.WarmRequest{Model: model, WorldSize: 2, Tokens: tokens(1, chunkTokens)}); !errors.Is(err, lmcache.ErrNoLayout) {
		t.Errorf("another world: %v", err)
	}
	err := ask(lmcache.WarmRequest{Model: "a@b", Salt: "x/y", WorldSize: -1})
	for _, field := range []string{"Model", "Salt", "WorldSize"} {
		if err == nil || !strings.Contains(err.Error(), "Request."+field) {
			t.Errorf("%v does not name %s", err, field)
		}
	}
	if _, err := newRig(t, setup{}).eng.Warm(t.Context(), lmcache.WarmRequest{Model: model, Tokens: tokens(1, chunkTokens)}); !errors.Is(err, storage.ErrNoTiers) {
		t.Errorf("without tiers: %v", err)
	}
}
