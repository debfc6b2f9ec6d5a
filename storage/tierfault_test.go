package storage_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lmcache-go/lmcache/eventbus"
	"github.com/lmcache-go/lmcache/internal/leak"
	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/storage"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// live runs f in a bubble of fake time, over a manager with goroutines and these
// tiers. Close must leave nothing behind.
func live(t *testing.T, objects int64, shelves []*shelf, f func(t *testing.T, w *world), change ...func(*storage.Options)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		leak.Check(t)
		w := &world{t: t, layout: rawLayout(t, objectBytes), bus: eventbus.New(eventbus.Options{Manual: true})}
		if _, err := w.bus.Subscribe(&w.seen); err != nil {
			t.Fatal(err)
		}
		o := storage.Options{L1: l1.Options{Bytes: objects * objectBytes}, Bus: w.bus}
		withTiers(&storage.VirtualOptions{}, shelves...)(&o)
		for _, c := range change {
			c(&o)
		}
		var err error
		if w.m, err = storage.Open(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		f(t, w)
		if err := w.m.Close(context.Background()); err != nil {
			t.Error(err)
		}
		if err := w.m.Check(); err != nil {
			t.Error(err)
		}
		if err := w.bus.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
}

// pass lets fake time go by; it is called in a bubble only.
func pass(d time.Duration) { time.Sleep(d) }

// REQ-S63: an adapter that hangs, and does not even listen to its context, stops
// neither the others nor prefetching, and its slots come back.
func TestREQ_S63_HangingAdapter(t *testing.T) {
	a, b := newShelf(), newShelf()
	var hang chan struct{} // of the bubble
	a.before = func(context.Context, string, []kv.Key) error {
		<-hang
		return nil
	}
	live(t, 16, []*shelf{a, b}, func(t *testing.T, w *world) {
		hang = make(chan struct{})
		a.keep(t, w.layout, "x")
		b.keep(t, w.layout, "ab")
		for range 4 {
			p := w.prefetch("ab", storage.PrefetchOptions{})
			if r := w.wait(p); r.Prefix != 2 {
				t.Fatalf("got %+v", r)
			}
			w.read(p, 2).Finish()
			p.Release()
		}
		if s := w.m.Stats().Tiers[0]; s.Breaker != storage.BreakerOpen {
			t.Errorf("the breaker is %s", s.Breaker)
		}
		close(hang)
		time.Sleep(2 * time.Minute) // several probes
		s := w.m.Stats().Tiers[0]
		if s.Breaker != storage.BreakerClosed || s.InflightCalls != 0 {
			t.Errorf("after the hang: %s, %d calls", s.Breaker, s.InflightCalls)
		}
		p := w.prefetch("x", storage.PrefetchOptions{})
		if r := w.wait(p); r.Prefix != 1 {
			t.Errorf("after the hang: %+v", r)
		}
		p.Release()
	})
}

// REQ-S64: a deadline gives what there is, in each phase and whatever comes later.
func TestREQ_S64_Deadline(t *testing.T) {
	const late = 3 * time.Second
	for _, in := range []string{"lookup", "load"} {
		for _, end := range []string{"success", "failure", "never"} {
			t.Run(in+" "+end, func(t *testing.T) {
				s := newShelf()
				var forever chan struct{} // of the bubble
				s.before = func(ctx context.Context, op string, _ []kv.Key) error {
					if op != in {
						return nil
					}
					switch end {
					case "never":
						<-forever
						return l2.ErrIO
					case "failure":
						time.Sleep(late)
						return fmt.Errorf("%w: late", l2.ErrIO)
					}
					time.Sleep(late)
					return nil
				}
				live(t, 16, []*shelf{s}, func(t *testing.T, w *world) {
					forever = make(chan struct{})
					s.keep(t, w.layout, "bc")
					w.put("a")
					p := w.prefetch("abc", storage.PrefetchOptions{Deadline: time.Second})
					began := time.Now()
					r := w.wait(p)
					if took := time.Since(began); took != time.Second {
						t.Errorf("it took %v", took)
					}
					if r.Prefix != 1 || r.Miss[1] != storage.MissDeadline {
						t.Errorf("got %+v", r)
					}
					w.read(p, 1).Finish()
					p.Release()
					time.Sleep(40 * time.Second)
					resident := w.resident("bc")
					if want := in == "load" && end == "success"; (resident == "bc") != want {
						t.Errorf("resident after the drain: %s", resident)
					}
					st := w.m.Stats()
					if st.L1.LeasedBytes != 0 || st.Tiers[0].Pins != 0 || st.Tiers[0].InflightLoads != 0 {
						t.Errorf("the drain left %d leased bytes, %d pins and %d loads", st.L1.LeasedBytes, st.Tiers[0].Pins, st.Tiers[0].InflightLoads)
					}
					if w.m.Flush(t.Context()) != nil || strings.Contains(s.stores(), "b") {
						t.Errorf("late data was stored: %s", s.stores())
					}
					if n := strings.Count(strings.Join(w.events(), "\n"), "sm.prefetch.resolved id=0"); n != 1 {
						t.Errorf("resolved %d times", n)
					}
					close(forever)
				})
			})
		}
	}
}

// REQ-S66: no pin outlives its request, in whatever phase that ends.
func TestREQ_S66_Pins(t *testing.T) {
	for _, after := range []time.Duration{0, 500 * time.Microsecond, 1500 * time.Microsecond, 2500 * time.Microsecond} {
		s := newShelf()
		w := newTierWorld(t, 16, []*shelf{s}, func(o *storage.Options) { o.Prefetch.MaxInflight = 1 })
		s.keep(t, w.layout, "abcdef")
		first, second := w.prefetch("abc", storage.PrefetchOptions{}), w.prefetch("def", storage.PrefetchOptions{})
		w.after(after)
		first.Release()
		second.Release()
		w.after(time.Second)
		st := w.m.Stats()
		if st.Tiers[0].Pins != 0 || st.L1.LeasedBytes != 0 || st.L1.StagedBytes != 0 || st.L1.UsedBytes != 0 {
			t.Errorf("dropped after %v: %d pins, %+v", after, st.Tiers[0].Pins, st.L1)
		}
	}
}

// REQ-S71: who waits is answered, by the end of the manager, of its context, by a
// panic of the adapter and by the breaker.
func TestREQ_S71_WaitersAreAnswered(t *testing.T) {
	for _, phase := range []string{"lookup", "load", "store"} {
		for _, by := range []string{"close", "cancel", "panic", "unreachable"} {
			t.Run(phase+" "+by, func(t *testing.T) {
				s := newShelf()
				s.before = func(ctx context.Context, op string, _ []kv.Key) error {
					if op != phase {
						return nil
					}
					switch by {
					case "panic":
						panic("boo")
					case "unreachable":
						return l2.ErrConnection
					}
					<-ctx.Done()
					return ctx.Err()
				}
				live(t, 16, []*shelf{s}, func(t *testing.T, w *world) {
					s.keep(t, w.layout, "abc")
					ctx, cancel := context.WithTimeout(t.Context(), time.Second)
					defer cancel()
					var p *storage.Prefetch
					answered := make(chan error, 1)
					if phase == "store" {
						w.put("x")
						go func() { answered <- w.m.Flush(ctx) }()
					} else {
						p = w.prefetch("abc", storage.PrefetchOptions{})
						go func() {
							_, err := p.Wait(ctx)
							answered <- err
						}()
					}
					if by == "close" {
						time.Sleep(100 * time.Millisecond)
						go func() { _ = w.m.Close(context.Background()) }()
					}
					select {
					case err := <-answered:
						if by == "cancel" && err == nil {
							t.Error("the context was ignored")
						}
					case <-time.After(time.Minute):
						t.Error("no answer")
					}
					if p != nil {
						p.Release()
					}
					time.Sleep(time.Minute)
				}, func(o *storage.Options) { o.DrainTimeout = time.Second })
			})
		}
	}
}

// REQ-S2: no buffer is used again while an adapter has it, whatever happens to the
// object: its time is over, it is deleted, cleared by force, or the manager closes.
func TestREQ_S2_BuffersOfCallsThatIgnoreTheirContext(t *testing.T) {
	for _, op := range []string{"store", "load"} {
		for _, by := range []string{"ttl", "delete", "clear", "close"} {
			t.Run(op+" "+by, func(t *testing.T) {
				s := newShelf()
				var hold chan struct{}        // of the bubble
				var held atomic.Pointer[byte] // first byte of the buffer of the first call
				s.item = func(what string, it *l2.Item) {
					if what == op && held.CompareAndSwap(nil, &it.Data[0]) {
						<-hold
						if op == "load" { // as late as can be
							fill(it.Data, '!')
						} else if !filledWith(it.Data, 'a') {
							t.Error("a buffer was changed beneath a store")
						}
					}
				}
				synctest.Test(t, func(t *testing.T) {
					hold = make(chan struct{})
					w := &world{t: t, layout: rawLayout(t, objectBytes)}
					o := storage.Options{L1: l1.Options{Bytes: 4 * objectBytes}, DrainTimeout: time.Second}
					withTiers(&storage.VirtualOptions{}, s)(&o)
					var err error
					if w.m, err = storage.Open(t.Context(), o); err != nil {
						t.Fatal(err)
					}
					if op == "store" {
						w.put("a")
					} else {
						s.keep(t, w.layout, "a")
						p := w.prefetch("a", storage.PrefetchOptions{Deadline: time.Second})
						w.wait(p)
						p.Release()
					}
					synctest.Wait()
					switch by {
					case "ttl":
						time.Sleep(700 * time.Second)
					case "delete":
						w.m.Delete(keys("a"), true)
					case "clear":
						w.m.Clear(true)
					case "close":
						ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
						if err := w.m.Close(ctx); err == nil {
							t.Error("Close does not tell of the call")
						}
						cancel()
					}
					if by != "close" {
						for _, n := range []string{"p", "q", "r", "s", "t"} { // all memory that there is
							l, err := w.m.ReserveWrite(t.Context(), keys(n), w.layout, storage.New, storage.WriteOptions{})
							if err != nil {
								t.Fatal(err)
							}
							for _, b := range l.All() {
								if &b[0] == held.Load() {
									t.Error("the buffer was handed out")
								}
								fill(b, n[0])
							}
							l.Finish()
						}
					}
					close(hold)
					time.Sleep(time.Minute)
					if by != "close" {
						if got := w.m.Stats().L1; got.OrphanedBytes != 0 {
							t.Errorf("%d bytes are orphaned for ever", got.OrphanedBytes)
						}
						if err := w.m.Close(context.Background()); err != nil {
							t.Error(err)
						}
					}
				})
			})
		}
	}
}

// REQ-S3: a load that fails leaves nothing that could be leased or stored.
// REQ-S9: and no path keeps a lease.
func TestREQ_S3_S9_FailedLoads(t *testing.T) {
	s := newShelf()
	w := newTierWorld(t, 6, []*shelf{s})
	rng := rand.New(rand.NewPCG(1, 2))
	const names = "abcdefghij"
	s.keep(t, w.layout, names)
	bad := map[string]bool{}
	s.item = func(op string, it *l2.Item) {
		switch name := named([]kv.Key{it.Key}); {
		case op == "store" && !filledWith(it.Data, name[0]):
			t.Fatalf("an object that nobody wrote was stored as %s", name)
		case op == "load" && rng.IntN(3) == 0:
			fill(it.Data, '?')
			it.Err = []error{l2.ErrIO, l2.ErrNotFound, l2.ErrTimeout}[rng.IntN(3)]
			bad[name] = true
		}
	}
	s.before = func(_ context.Context, op string, _ []kv.Key) error {
		if op == "lookup" && rng.IntN(50) == 0 {
			panic("lookup")
		}
		return nil
	}
	rounds := 100000
	if testing.Short() {
		rounds = 2000
	}
	for range rounds {
		lo := rng.IntN(len(names))
		part := names[lo : lo+1+rng.IntN(len(names)-lo)]
		switch rng.IntN(3) {
		case 0:
			w.put(part[:min(2, len(part))])
		default:
			p := w.prefetch(part, storage.PrefetchOptions{Readers: 1 + rng.IntN(2)})
			if rng.IntN(4) == 0 {
				w.after(time.Duration(rng.IntN(3000)) * time.Microsecond)
			} else if r := w.wait(p); r.Prefix > 0 {
				w.read(p, r.Prefix).Finish()
			}
			p.Release()
		}
		w.seen.lines, w.seen.times = nil, nil
	}
	w.flush()
	w.after(time.Minute)
	st := w.m.Stats()
	if len(bad) == 0 || st.L1.LeasedBytes != 0 || st.L1.StagedBytes != 0 || st.Tiers[0].Pins != 0 {
		t.Errorf("%d keys failed; %d bytes are leased, %d staged, %d keys pinned", len(bad), st.L1.LeasedBytes, st.L1.StagedBytes, st.Tiers[0].Pins)
	}
}

// REQ-S19: a bit in the result means resident, verified and leased.
func TestREQ_S19_BitsOfTiersAreTrue(t *testing.T) {
	s := newShelf()
	w := newTierWorld(t, 16, []*shelf{s})
	const names = "abcdefgh"
	s.keep(t, w.layout, names)
	for mask := range 1 << len(names) {
		s.item = func(op string, it *l2.Item) {
			if op == "load" && mask&(1<<strings.Index(names, named([]kv.Key{it.Key}))) != 0 {
				it.Err = l2.ErrIO
			}
		}
		p := w.prefetch(names, storage.PrefetchOptions{Policy: storage.Sparse})
		r := w.wait(p)
		for i := range names {
			want := mask&(1<<i) == 0
			l, err := p.Read(t.Context(), storage.Select{Lo: i, Hi: i + 1})
			l.Finish()
			if r.Found.Has(i) != want || (err == nil) != want {
				t.Fatalf("mask %b, position %d: found %v, read %v", mask, i, r.Found.Has(i), err)
			}
		}
		p.Release()
		w.m.Clear(true)
		w.seen.lines, w.seen.times = nil, nil
	}
}

// Several processes that start at the same time on one store do not take each other's
// test objects away.
func TestStartProbesShareAStore(t *testing.T) {
	s := newShelf()
	probing := func(o *storage.Options) { o.Tiers[0].Settings.NoStartProbe = false }
	others := 0
	s.before = func(_ context.Context, op string, _ []kv.Key) error {
		if op == "lookup" && others == 0 {
			others++
			newTierWorld(t, 16, []*shelf{s}, probing)
		}
		return nil
	}
	newTierWorld(t, 16, []*shelf{s}, probing)
	if others != 1 || len(s.objects) > 0 {
		t.Errorf("%d others have started; %d objects are left", others, len(s.objects))
	}
}
