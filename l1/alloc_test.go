package l1_test

import (
	"testing"
	"time"

	"github.com/lmcache-go/lmcache/eventbus"
	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// listener hears all events of the package and keeps nothing.
type listener struct{ keys int }

func (*listener) Name() string { return "Listener" }

func (l *listener) Subscribe(s *eventbus.Subscription) {
	hear[l1.ReadReserved](l, s)
	hear[l1.ReadFinished](l, s)
	hear[l1.WriteReserved](l, s)
	hear[l1.WriteFinished](l, s)
	hear[l1.KeysEvicted](l, s)
}

func hear[E interface {
	eventbus.Event
	EventKeys() int
}](l *listener, s *eventbus.Subscription) {
	eventbus.On(s, func(e E, _ time.Time) { l.keys += e.EventKeys() })
}

// REQ-P6: reserve, finish, read, take and release allocate nothing but what the
// caller brings, and the pages of evicted keys now and then.
func TestCallsDoNotAllocate(t *testing.T) {
	for _, c := range []struct {
		name     string
		capacity int64
	}{{"room", 1 << 16}, {"evicting", 64}} {
		t.Run(c.name, func(t *testing.T) {
			f := newFixture(t, l1.Options{Bytes: c.capacity * unit, NoBytes: true})
			l := &listener{}
			if _, err := f.bus.Subscribe(l); err != nil {
				t.Fatal(err)
			}
			lists := make([][]kv.Key, 1200)
			for i := range lists {
				lists[i] = chunks(i, 0, 16)
			}
			at := f.now()
			next := 0
			call := func() {
				keys := lists[next%len(lists)]
				next++
				w, err := f.m.ReserveWrite(at, keys, f.layout, l1.WriteAll, l1.WriteOptions{Owner: "writer"})
				if err != nil {
					t.Fatal(err)
				}
				w.Finish(at, l1.OriginNew)
				r, err := f.m.ReserveRead(at, keys, f.layout, l1.ReadOptions{Owner: "reader"})
				if err != nil {
					t.Fatal(err)
				}
				taken, bad := r.Take(at, l1.All(16))
				if bad != 0 {
					t.Fatalf("%d positions could not be taken", bad)
				}
				taken.Finish(at, l1.CauseRead)
				f.bus.Drain(at)
			}
			for range lists {
				call() // pools, pages and queues grow to their size
			}
			const rounds = 100
			n := testing.AllocsPerRun(10, func() {
				for range rounds {
					call()
				}
			})
			if n > 0.2*rounds {
				t.Errorf("%v allocations in %d rounds", n, rounds)
			}
			if l.keys < 4*16*2000 {
				t.Errorf("the subscriber heard of %d keys only", l.keys)
			}
		})
	}
}
