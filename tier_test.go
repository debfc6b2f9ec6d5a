package lmcache_test

import (
	"context"
	"testing"
	"time"

	"github.com/lmcache-go/lmcache"
	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/l2/mem"
	"github.com/lmcache-go/lmcache/storage"
)

// tiered is an engine with one outer tier, whose calls take a while.
func tiered(t *testing.T, latency time.Duration) *rig {
	t.Helper()
	a, err := mem.Open(mem.Options{Capacity: 1 << 20, Latency: latency})
	if err != nil {
		t.Fatal(err)
	}
	return newRig(t, setup{engine: func(o *lmcache.Options) {
		o.Tiers = []storage.Tier{{Name: "mem", Adapter: a, Settings: l2.Settings{NoStartProbe: true}}}
	}})
}

// lose stores a prompt of n chunks, waits until the tier has it, and drops it from L1.
func (r *rig) lose(seed uint64, n int) []int32 {
	r.Helper()
	prompt := tokens(seed, n*chunkTokens+1)
	s := r.session("writer")
	r.store(s, seed, prompt, span(0, n*perChunk)...)
	r.end(s)
	if err := r.eng.Flush(r.Context()); err != nil {
		r.Fatal(err)
	}
	if got, err := r.eng.Clear(r.Context(), false); err != nil || got != n {
		r.Fatalf("cleared %d chunks, %v", got, err)
	}
	r.events()
	return prompt
}

// What L1 has lost comes back from the tier, byte for byte, and counts as its hit.
func TestRetrieveFromTier(t *testing.T) {
	r := tiered(t, 0)
	prompt := r.lose(3, 4)
	s := r.session("reader")
	m := s.Lookup(t.Context(), prompt)
	to := span(30, 4*perChunk)
	if tr := r.done(r.worker.Retrieve(t.Context(), m, table(to...), nil)); !tr.Success() || tr.Chunks() != 4 {
		t.Fatalf("retrieve: %v, %d chunks", tr.Success(), tr.Chunks())
	}
	r.same(r.cache, 3, 0, to...)
	r.end(s)
	ended := of[lmcache.LookupEnded](r.events())[0]
	if ended.L2HitTokens != 4*chunkTokens || ended.L1HitTokens != 0 || ended.HitTokens != 4*chunkTokens {
		t.Errorf("the lookup ended with %+v", ended)
	}
	r.idle()
}

// TestREQ_E17_FreeWhileTierLoads: what is given back before a slow tier has
// answered is given back then.
func TestREQ_E17_FreeWhileTierLoads(t *testing.T) {
	r := tiered(t, 20*time.Millisecond)
	prompt := r.lose(3, 4)
	s := r.session("reader")
	m := s.Lookup(t.Context(), prompt)
	m.Release(0, 4*chunkTokens)
	if _, known := m.Planned(); known {
		t.Error("the tier has answered already")
	}
	if got := r.found(m); got != 4*chunkTokens {
		t.Errorf("found %d tokens", got)
	}
	if l := r.eng.Stats().Storage.L1; l.LeasedBytes != 0 {
		t.Errorf("%d bytes are leased", l.LeasedBytes)
	}
	r.end(s)
	r.idle()
}

// A session that ends, a lookup that is replaced and an engine that closes while a
// tier loads leave nothing behind; who waits is answered.
func TestEndWhileTierLoads(t *testing.T) {
	for _, by := range []string{"end", "replace", "close"} {
		t.Run(by, func(t *testing.T) {
			r := tiered(t, 20*time.Millisecond)
			prompt := r.lose(3, 4)
			s := r.session("reader")
			m := s.Lookup(t.Context(), prompt)
			answered := make(chan error, 1)
			go func() {
				_, err := m.Tokens(context.WithoutCancel(t.Context()))
				answered <- err
			}()
			switch by {
			case "end":
				r.end(s)
			case "replace":
				s.Lookup(t.Context(), prompt[:2*chunkTokens])
			case "close":
				r.shut()
			}
			if err := <-answered; err != nil {
				t.Error(err)
			}
			if by == "replace" {
				r.end(s)
			}
			r.shut()
		})
	}
}
