package eventbus_test

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lmcache-go/lmcache/eventbus"
)

// Events of the property test: who published, the how many-th of this publisher
// on this type, keys.
type (
	bulkA struct{ Who, Seq, Keys int }
	bulkB struct{ Who, Seq, Keys int }
	resvC struct{ Who, Seq, Keys int }
	asidD struct{ Who, Seq, Keys int }
)

func (bulkA) EventName() string   { return "prop.bulk" }
func (bulkB) EventName() string   { return "prop.keyed" }
func (e bulkB) EventKeys() int    { return e.Keys }
func (resvC) EventName() string   { return "prop.reserved" }
func (resvC) EventReserved() bool { return true }
func (e resvC) EventKeys() int    { return e.Keys }
func (asidD) EventName() string   { return "prop.isolated" }
func (asidD) EventIsolated() bool { return true }

// witness sees all events of one publisher and checks their order.
type witness struct {
	t        testing.TB
	queue    string
	last     [8]int // of each publisher
	panicked int
	count    map[string]uint64
}

func (w *witness) see(name string, who, seq int) {
	w.count[name]++
	if seq <= w.last[who] {
		w.t.Errorf("%s: %d of publisher %d comes after %d", w.queue, seq, who, w.last[who])
	}
	w.last[who] = seq
}

// TestREQ_O32_PublishedIsDeliveredPlusDropped runs eight publishers against
// queues that are too small, with handlers that panic and subscriptions that come
// and go.
func TestREQ_O32_PublishedIsDeliveredPlusDropped(t *testing.T) {
	for seed := range uint64(6) {
		for _, o := range []eventbus.Options{
			{Queue: 16, Reserved: 8, Keys: 100},
			{Queue: 3000, Reserved: 1500, Keys: 2000},
			{},
		} {
			t.Run(fmt.Sprintf("seed%d/queue%d", seed, o.Queue), func(t *testing.T) { conserve(t, seed, o) })
		}
	}
}

func conserve(t *testing.T, seed uint64, o eventbus.Options) {
	const publishers, each = 8, 3000
	b := newBus(t, o)
	rng := func(i uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, i)) }

	// Two witnesses that stay, one on each kind of queue, and both panic now and then.
	shared := &witness{t: t, queue: "shared", count: map[string]uint64{}}
	isolated := &witness{t: t, queue: "isolated", count: map[string]uint64{}}
	unstable := func(w *witness, r *rand.Rand) {
		if r.IntN(500) == 0 {
			w.panicked++
			panic("unstable")
		}
	}
	for i, w := range []*witness{shared, isolated} {
		r := rng(uint64(100 + i))
		subscribe(t, b, w.queue, func(s *eventbus.Subscription) {
			if w == isolated {
				s.Isolated(64, eventbus.Drop)
				eventbus.On(s, func(e asidD, _ time.Time) { w.see("prop.isolated", e.Who, e.Seq); unstable(w, r) })
			}
			eventbus.On(s, func(e bulkA, _ time.Time) { w.see("prop.bulk", e.Who, e.Seq); unstable(w, r) })
			eventbus.On(s, func(e bulkB, _ time.Time) { w.see("prop.keyed", e.Who, e.Seq); unstable(w, r) })
			eventbus.On(s, func(e resvC, _ time.Time) { w.see("prop.reserved", e.Who, e.Seq); unstable(w, r) })
		})
	}

	var load, side sync.WaitGroup
	var over atomic.Bool
	// Others come and go.
	side.Go(func() {
		for r := rng(200); !over.Load(); {
			s, err := b.Subscribe(subscriber{"Passer-by", func(s *eventbus.Subscription) {
				if r.IntN(2) == 0 {
					s.Isolated(8, eventbus.Drop)
				}
				eventbus.On(s, func(e bulkA, _ time.Time) {
					if e.Seq%50 == 0 {
						panic("passing")
					}
				})
				eventbus.On(s, func(resvC, time.Time) {})
				s.AfterBatch(func() {})
			}})
			if err != nil {
				t.Error(err)
				return
			}
			s.Close()
			runtime.Gosched()
		}
	})
	// Somebody looks at the limits all the time.
	limits := b.Stats()
	side.Go(func() {
		for !over.Load() {
			s := b.Stats()
			for i, c := range []eventbus.ClassStats{s.Bulk, s.Reserved} {
				if c.Events < 0 || c.Events > c.EventLimit || c.Keys < 0 || c.Keys > c.KeyLimit {
					t.Errorf("class %d: %+v", i, c)
				}
			}
			for _, q := range s.Isolated {
				if c := q.Waiting; c.Events < 0 || c.Events > c.EventLimit || c.Keys > c.KeyLimit {
					t.Errorf("%s: %+v", q.Subscriber, c)
				}
			}
			runtime.Gosched()
		}
	})
	var published [publishers]map[string]uint64
	for who := range publishers {
		load.Go(func() {
			r := rng(uint64(who))
			n := map[string]uint64{}
			a, bb := eventbus.TopicOf[bulkA](b), eventbus.TopicOf[bulkB](b)
			c, d := eventbus.TopicOf[resvC](b), eventbus.TopicOf[asidD](b)
			for seq := 1; seq <= each; seq++ {
				if seq%64 == 0 {
					runtime.Gosched()
				}
				keys := r.IntN(20)
				switch r.IntN(4) {
				case 0:
					a.Publish(bulkA{who, seq, keys})
					n["prop.bulk"]++
				case 1:
					bb.Publish(bulkB{who, seq, keys})
					n["prop.keyed"]++
				case 2:
					c.Publish(resvC{who, seq, keys})
					n["prop.reserved"]++
				case 3:
					d.Publish(asidD{who, seq, keys})
					n["prop.isolated"]++
				}
			}
			published[who] = n
		})
	}
	load.Wait()
	over.Store(true)
	side.Wait()
	flush(t, b)

	total := map[string]uint64{}
	for _, m := range published {
		for name, n := range m {
			total[name] += n
		}
	}
	s := b.Stats()
	if s.Bulk.Events+s.Reserved.Events+s.Bulk.Keys+s.Reserved.Keys != 0 {
		t.Errorf("something waits: %+v", s)
	}
	if s.Bulk.EventLimit != limits.Bulk.EventLimit {
		t.Errorf("the limits changed")
	}
	check := func(queue string, rows []eventbus.TypeStats, w *witness, names ...string) (dropped uint64) {
		seen := 0
		for _, r := range rows {
			if !slices.Contains(names, r.Name) {
				continue
			}
			if w.count[r.Name] != r.Delivered || r.Published != total[r.Name] || r.Published != r.Delivered+r.Dropped {
				t.Errorf("%s: %d published, %d seen, counts %+v", queue, total[r.Name], w.count[r.Name], r)
			}
			dropped += r.Dropped
			seen++
		}
		if seen != len(names) {
			t.Errorf("%s: rows of %d types, want %v", queue, seen, names)
		}
		return dropped
	}
	if d := check("shared", s.Types, shared, "prop.bulk", "prop.keyed", "prop.reserved"); d != s.Dropped {
		t.Errorf("dropped %d in all, %d by type", s.Dropped, d)
	}
	if len(s.Isolated) != 1 {
		t.Fatalf("%d isolated queues", len(s.Isolated))
	}
	q := s.Isolated[0]
	if r := row(t, b, "prop.isolated"); r.Published != 0 || r.IsolatedDropped != total["prop.isolated"]-isolated.count["prop.isolated"] {
		t.Errorf("of the isolated type %d published and %d seen: %+v", total["prop.isolated"], isolated.count["prop.isolated"], r)
	}
	if d := check("isolated", q.Types, isolated, "prop.bulk", "prop.keyed", "prop.reserved", "prop.isolated"); d != q.Dropped {
		t.Errorf("isolated: dropped %d in all, %d by type", q.Dropped, d)
	}
	for _, w := range []*witness{shared, isolated} {
		if got := s.Panics[w.queue]; got != uint64(w.panicked) {
			t.Errorf("%s: %d panics counted, want %d", w.queue, got, w.panicked)
		}
	}
}
