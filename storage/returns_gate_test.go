package storage_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"testing"
	"time"

	"github.com/lmcache-go/lmcache/eventbus"
	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/l1/policy"
	"github.com/lmcache-go/lmcache/storage"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// story is the work of one request with every kind of lease. Whatever happens on the
// way, end gives back what it has got, as its deferred calls would.
type story struct {
	*world
	ctx    context.Context
	cancel context.CancelFunc
	writes []storage.WriteLease
	reads  []storage.ReadLease
	found  []*storage.Prefetch
	failed int // calls that returned an error
}

// tolerate takes the error of a call: one of those that the injected failures may cause.
func (s *story) tolerate(err error) bool {
	s.t.Helper()
	var bad *storage.ReadError
	switch {
	case err == nil:
		return true
	case errors.Is(err, context.Canceled), errors.Is(err, storage.ErrClosed), errors.As(err, &bad):
	default:
		s.t.Errorf("an error that nothing injected causes: %v", err)
	}
	s.failed++
	return false
}

func (s *story) write(names string, mode storage.Mode, wait time.Duration) {
	l, err := s.m.ReserveWrite(s.ctx, keys(names), s.layout, mode, storage.WriteOptions{Wait: wait})
	if s.tolerate(err) {
		s.writes = append(s.writes, l)
	}
}

func (s *story) look(names string, o storage.PrefetchOptions) {
	p, err := s.m.SubmitPrefetch(s.ctx, keys(names), s.layout, o)
	if s.tolerate(err) {
		s.found = append(s.found, p)
	}
}

func (s *story) claim(i int, of storage.Select) {
	if i < len(s.found) {
		l, err := s.found[i].Read(s.ctx, of)
		if s.tolerate(err) {
			s.reads = append(s.reads, l)
		}
	}
}

// last is the newest of a list, or its zero value.
func last[T any](list []T) (one T) {
	if len(list) > 0 {
		one = list[len(list)-1]
	}
	return one
}

var storySteps = []func(*story){
	func(s *story) { s.write("abcdefgh", storage.New, 0) }, // two of them do not fit
	func(s *story) { last(s.writes).FinishRange(0, 3) },
	func(s *story) { last(s.writes).Drop(3) },
	func(s *story) { last(s.writes).Finish() },
	func(s *story) { s.look("abcx", storage.PrefetchOptions{Readers: 2}) },
	func(s *story) { s.look("xaef", storage.PrefetchOptions{Readers: 3, Policy: storage.Sparse}) },
	func(s *story) { s.claim(0, storage.Select{Hi: 2}) },
	func(s *story) { s.claim(0, storage.Select{Hi: 4}) }, // one was not found: fails
	func(s *story) { s.claim(1, storage.Select{Lo: 1, Hi: 4, Stride: 2, Offset: 1}) },
	func(s *story) { s.write("ijkl", storage.New, time.Second) }, // waits in vain, for some
	func(s *story) { s.write("aeim", storage.All, 0) },           // leased, staged, neither
	func(s *story) {
		if p := last(s.found); p != nil {
			_, err := p.Wait(s.ctx)
			s.tolerate(err)
			_, err = p.WaitPlan(s.ctx)
			s.tolerate(err)
			p.Renew()
			p.ReleaseRange(storage.Select{Hi: 2}, 2)
		}
	},
	func(s *story) { last(s.reads).FinishRange(0, 1); last(s.reads).Renew() },
	func(s *story) { last(s.writes).AbortRange(1, 3); last(s.writes).Renew() },
	func(s *story) { s.look("abefi", storage.PrefetchOptions{Warm: true, Policy: storage.Sparse}) },
	func(s *story) { s.m.Touch(keys("abz")); s.tolerate(s.m.Flush(s.ctx)) },
	badArguments,
}

// badArguments makes calls that must be refused and reserve nothing.
func badArguments(s *story) {
	ctx, list := s.ctx, keys("ab")
	before := s.m.Stats()
	_, err := s.m.ReserveWrite(ctx, nil, s.layout, storage.New, storage.WriteOptions{})
	errs := []error{err}
	_, err = s.m.ReserveWrite(ctx, list, kv.Layout{}, storage.New, storage.WriteOptions{})
	errs = append(errs, err)
	_, err = s.m.ReserveWrite(ctx, list, s.layout, storage.All, storage.WriteOptions{Wait: -1})
	errs = append(errs, err)
	_, err = s.m.ReserveWrite(ctx, list, rawLayout(s.t, 1<<40), storage.All, storage.WriteOptions{})
	errs = append(errs, err)
	_, err = s.m.ReserveWrite(ctx, append(list, kv.Key{}), s.layout, storage.All, storage.WriteOptions{})
	errs = append(errs, err)
	_, err = s.m.SubmitPrefetch(ctx, nil, s.layout, storage.PrefetchOptions{})
	errs = append(errs, err)
	_, err = s.m.SubmitPrefetch(ctx, list, kv.Layout{}, storage.PrefetchOptions{})
	errs = append(errs, err)
	_, err = s.m.SubmitPrefetch(ctx, list, s.layout, storage.PrefetchOptions{Policy: 9})
	errs = append(errs, err)
	_, err = s.m.SubmitPrefetch(ctx, append(list, kv.Key{}), s.layout, storage.PrefetchOptions{})
	errs = append(errs, err)
	for i, err := range errs {
		if err == nil {
			s.t.Errorf("bad call %d was not refused", i)
		}
	}
	if after := s.m.Stats(); after.L1.Leases != before.L1.Leases || after.Prefetches != before.Prefetches || after.L1.UsedBytes != before.L1.UsedBytes {
		s.t.Errorf("refused calls changed %+v into %+v", before, after)
	}
}

// end gives everything back.
func (s *story) end() {
	for _, r := range s.reads {
		r.EndScope()
		r.Abort()
	}
	for _, p := range s.found {
		p.Release()
	}
	for _, w := range s.writes {
		w.Abort()
	}
	s.cancel()
}

// storyFailures happen between two steps of a story.
var storyFailures = map[string]func(*story){
	"nothing":       func(*story) {},
	"ended context": func(s *story) { s.cancel() },
	"context ends in a wait": func(s *story) {
		s.v.At(s.v.Now().Add(time.Millisecond), s.cancel)
	},
	"close": func(s *story) { _ = s.m.Close(s.ctx) }, // says who holds memory
	"close in a wait": func(s *story) {
		s.v.At(s.v.Now().Add(time.Millisecond), func() { _ = s.m.Close(s.ctx) })
	},
	"expiry":                func(s *story) { s.after(l1.DefaultWriteTTL) },
	"expiry of the readers": func(s *story) { s.after(l1.DefaultReadTTL) },
	"forced clear":          func(s *story) { s.m.Clear(true) },
	"forced clear in a wait": func(s *story) {
		s.v.At(s.v.Now().Add(time.Millisecond), func() { s.m.Clear(true) })
	},
	"forced delete": func(s *story) { s.m.Delete(keys("aceik"), true) },
	"eviction": func(s *story) {
		l, err := s.m.ReserveWrite(s.ctx, keys("uvwxyz"), s.layout, storage.New, storage.WriteOptions{})
		if s.tolerate(err) {
			l.Finish()
		}
	},
}

// tell runs a story with a failure in front of a step and returns how many calls
// failed.
func tell(t *testing.T, what string, at int, change func(*storage.Options), subs ...eventbus.Subscriber) int {
	t.Helper()
	w := newWorld(t, 6, func(o *storage.Options) {
		if change != nil {
			change(o)
		}
	})
	for _, sub := range subs {
		if _, err := w.bus.Subscribe(sub); err != nil {
			t.Fatal(err)
		}
	}
	s := &story{world: w}
	s.ctx, s.cancel = context.WithCancel(t.Context())
	for i, step := range storySteps {
		if i == at {
			storyFailures[what](s)
		}
		step(s)
		w.bus.Drain(w.v.Now())
		if err := w.m.Check(); err != nil {
			t.Fatalf("after step %d: %v", i, err)
		}
	}
	s.end()
	if got := w.m.Stats(); got.L1.LeasedBytes != 0 || got.L1.StagedBytes != 0 || got.L1.OrphanedBytes != 0 || got.L1.Leases != 0 ||
		got.L1.ReadingObjects != 0 || got.L1.WritingObjects != 0 || got.Prefetches != 0 {
		t.Errorf("left at the end: %+v", got)
	}
	return s.failed
}

// REQ-S9: every failure in front of every step: nothing is leased or staged in the end.
func TestREQ_S9_LeasesReturnOnEveryPath(t *testing.T) {
	for what := range storyFailures {
		failed := 0
		for at := range storySteps {
			t.Run(fmt.Sprintf("%s/%d", what, at), func(t *testing.T) { failed += tell(t, what, at, nil) })
		}
		t.Logf("%s: %d calls failed", what, failed)
		if what == "nothing" && failed != len(storySteps) { // one claim per run
			t.Errorf("%d calls failed without a failure", failed)
		}
	}
}

// trap is LRU that panics at a call.
type trap struct {
	policy.Policy
	left *int // calls before it panics
}

func (p *trap) step() {
	if *p.left--; *p.left == 0 {
		panic("trap")
	}
}

func (p *trap) Insert(id policy.ID, size int64, salt uint32, at time.Time) {
	p.step()
	p.Policy.Insert(id, size, salt, at)
}

func (p *trap) Remove(id policy.ID) {
	p.step()
	p.Policy.Remove(id)
}

func (p *trap) Pin(id policy.ID) {
	p.step()
	p.Policy.Pin(id)
}

func (p *trap) Unpin(id policy.ID, read bool, at time.Time) {
	p.step()
	p.Policy.Unpin(id, read, at)
}

func (p *trap) Touch(id policy.ID, at time.Time) {
	p.step()
	p.Policy.Touch(id, at)
}

func (p *trap) Victims(need policy.Need) iter.Seq[policy.ID] {
	p.step()
	return p.Policy.Victims(need)
}

// REQ-S9: a policy that panics at any of its calls, beside the other failures.
func TestREQ_S9_PanickingPolicy(t *testing.T) {
	for what := range storyFailures {
		most := 0
		for at := 0; at < len(storySteps); at += 3 {
			n := 1
			for left := 0; left <= 0; n++ { // until it is not called so often
				left = n
				tell(t, what, at, func(o *storage.Options) {
					o.L1.NewPolicy = func() policy.Policy { return &trap{policy.NewLRU(), &left} }
				})
				if t.Failed() {
					t.Fatalf("%s in front of step %d, call %d of the policy", what, at, n)
				}
			}
			most = max(most, n)
		}
		if most < 10 {
			t.Errorf("%s: the policy was called %d times at most", what, most)
		}
	}
}

// explosive is a subscriber whose handlers all panic.
type explosive struct{ n int }

func (*explosive) Name() string { return "explosive" }

func (e *explosive) Subscribe(s *eventbus.Subscription) {
	explode[l1.ReadReserved](e, s)
	explode[l1.ReadFinished](e, s)
	explode[l1.WriteReserved](e, s)
	explode[l1.WriteFinished](e, s)
	explode[l1.WriteAborted](e, s)
	explode[l1.KeysEvicted](e, s)
	explode[l1.LeaseExpired](e, s)
	explode[storage.ReadFailed](e, s)
	explode[storage.ReadPrefetched](e, s)
	explode[storage.ReadPrefetchedFinished](e, s)
	explode[storage.WriteReserved](e, s)
	explode[storage.WriteFinished](e, s)
	explode[storage.PrefetchResolved](e, s)
}

func explode[E eventbus.Event](x *explosive, s *eventbus.Subscription) {
	eventbus.On(s, func(E, time.Time) {
		x.n++
		panic("explosive")
	})
}

// REQ-S9: subscribers that panic at each event, beside the other failures.
func TestREQ_S9_PanickingSubscriber(t *testing.T) {
	for what := range storyFailures {
		x := &explosive{}
		for at := range storySteps {
			tell(t, what, at, nil, x)
		}
		if x.n < 50 {
			t.Errorf("%s: %d events reached the subscriber", what, x.n)
		}
	}
}
