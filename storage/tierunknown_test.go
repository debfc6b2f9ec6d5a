package storage_test

import (
	"testing"
	"time"

	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/l2/l2test"
	"github.com/lmcache-go/lmcache/storage"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// A key of which a store does not say whether it is there is a miss with the reason that
// something failed. It is counted, and it stays what it was: known to the tier.
func TestLookupWithoutAnAnswer(t *testing.T) {
	s := newShelf()
	f := l2test.NewFaulty(s)
	live(t, 16, []*shelf{s}, func(t *testing.T, w *world) {
		w.put("abc")
		w.flush()
		w.m.Clear(true)
		before := w.m.Stats().Tiers[0]
		fault := f.Inject(l2test.Fault{Op: l2test.Lookup, Effect: l2test.Fail, Err: l2.ErrThrottled, Match: func(k kv.Key) bool { return k == keys("b")[0] }})
		p := w.prefetch("abc", storage.PrefetchOptions{Policy: storage.Sparse})
		r := w.wait(p)
		if !r.Found.Has(0) || r.Found.Has(1) || !r.Found.Has(2) || r.Miss[1] != storage.MissL2IO {
			t.Errorf("found %v, misses %v", r.Found, r.Miss)
		}
		p.Release()
		st := w.m.Stats().Tiers[0]
		if st.UsedBytes != before.UsedBytes || st.FailuresByReason["throttled"] != 1 || st.Breaker != storage.BreakerClosed || fault.Hits() != 1 {
			t.Errorf("the tier counts %d bytes, before %d; failures %v", st.UsedBytes, before.UsedBytes, st.FailuresByReason)
		}
		fault.Remove()
		w.m.Clear(true)
		p = w.prefetch("abc", storage.PrefetchOptions{})
		if r := w.wait(p); r.Prefix != 3 {
			t.Errorf("when the store answers again: %+v", r)
		}
		p.Release()
	}, func(o *storage.Options) { o.Tiers[0].Adapter = f })
}

// A store that answers a probe by saying that it cannot serve is not back.
func TestProbeThatIsThrottled(t *testing.T) {
	s := newShelf()
	f := l2test.NewFaulty(s)
	live(t, 16, []*shelf{s}, func(t *testing.T, w *world) {
		w.put("abc")
		w.flush()
		w.m.Clear(true)
		gone := f.Inject(l2test.Fault{Op: l2test.Lookup, Effect: l2test.FailCall, Err: l2.ErrConnection})
		for range l2.DefaultFailures {
			p := w.prefetch("abc", storage.PrefetchOptions{})
			w.wait(p)
			p.Release()
		}
		gone.Remove()
		loading := f.Inject(l2test.Fault{Op: l2test.Lookup, Effect: l2test.Fail, Err: l2.ErrThrottled})
		pass(time.Minute)
		if st := w.m.Stats().Tiers[0]; loading.Hits() == 0 || st.Breaker != storage.BreakerOpen {
			t.Errorf("after %d probes that were refused the breaker is %s", loading.Hits(), st.Breaker)
		}
		loading.Remove()
		pass(10 * time.Minute)
		if st := w.m.Stats().Tiers[0]; st.Breaker != storage.BreakerClosed {
			t.Errorf("the breaker is %s", st.Breaker)
		}
	}, func(o *storage.Options) { o.Tiers[0].Adapter = f })
}

// mute is an adapter that panics when it is asked to describe itself.
type mute struct{ *shelf }

func (mute) Describe() map[string]any { panic("boo") }

// An adapter that cannot describe itself costs the status page its details.
func TestDescriptionThatPanics(t *testing.T) {
	s := newShelf()
	w := newTierWorld(t, 4, []*shelf{s}, func(o *storage.Options) { o.Tiers[0].Adapter = mute{s} })
	w.put("a")
	w.flush()
	if st := w.m.Stats().Tiers[0]; st.Details["error"] != "panic: boo" || st.Objects != 1 {
		t.Errorf("%+v", st)
	}
}
