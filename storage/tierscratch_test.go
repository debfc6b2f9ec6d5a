package storage_test

import (
	"context"
	"testing"
	"time"

	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/storage"
)

// A call that never returns keeps the memory for its conversion, and another piece
// takes the place of that, once for each worker. No other tier waits, and to wait for
// a conversion does not count against the store.
func TestStuckCallsDoNotStopConversions(t *testing.T) {
	a, b := newShelf(), newShelf()
	var hold chan struct{} // of the bubble
	a.before = func(_ context.Context, op string, keys []storage.Key) error {
		if n := named(keys); op == "load" && (n == "a" || n == "b") {
			<-hold
		}
		return nil
	}
	live(t, 64, []*shelf{a, b}, func(t *testing.T, w *world) {
		hold = make(chan struct{})
		w.put("abcdefgh")
		w.flush()
		w.m.Clear(false)
		a.lose(key("h"))
		b.mu.Lock()
		for _, n := range "abcdefg" {
			delete(b.objects, key(string(n)))
		}
		b.mu.Unlock()
		load := func(name string) storage.PrefetchResult {
			t.Helper()
			p := w.prefetch(name, storage.PrefetchOptions{Deadline: 40 * time.Second})
			defer p.Release()
			r := w.wait(p)
			if r.Prefix == 1 {
				w.read(p, 1).Finish()
			}
			return r
		}
		stuck := func(name string) {
			t.Helper()
			began := time.Now()
			if r := load(name); r.Miss == nil || r.Miss[0] != storage.MissL2Timeout || time.Since(began) > 35*time.Second {
				t.Errorf("%s after %v: %+v", name, time.Since(began), r)
			}
		}
		stuck("a")
		for _, n := range []string{"c", "d"} {
			if r := load(n); r.Prefix != 1 {
				t.Errorf("%s beside a call that is stuck: %+v", n, r)
			}
		}
		stuck("b")
		if r := load("e"); r.Prefix != 0 {
			t.Errorf("e beside two calls that are stuck: there is more memory than for two: %+v", r)
		}
		if r := load("h"); r.Prefix != 1 {
			t.Errorf("h, of the other tier: %+v", r)
		}
		st := w.m.Stats().Tiers[0]
		if st.FailuresByReason["throttled"] != 1 || st.Breaker != storage.BreakerClosed {
			t.Errorf("failures %v, breaker %s", st.FailuresByReason, st.Breaker)
		}
		close(hold)
		for _, n := range []string{"f", "g"} {
			if r := load(n); r.Prefix != 1 {
				t.Errorf("%s, after all have returned: %+v", n, r)
			}
		}
	}, func(o *storage.Options) {
		for i := range o.Tiers {
			o.Tiers[i].Settings.Serde, o.Tiers[i].Settings.SerdeWorkers = newZstd(t), 1
		}
	}, func(o *storage.Options) { o.Tiers[0].Settings.Breaker = l2.Breaker{Failures: 3} })
}
