package observe

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/lmcache-go/lmcache"
	"github.com/lmcache-go/lmcache/eventbus"
)

// sessionSteps are the events of one session with everything in it.
func sessionSteps(id string) []func(*spanRig, float64) {
	st := func(op string) []func(*spanRig, float64) {
		return []func(*spanRig, float64){
			ev(lmcache.StoreSubmitted{SessionID: id, Device: "d", OpID: op}), ev(lmcache.StoreStarted{SessionID: id, Device: "d", OpID: op}),
			ev(lmcache.StoreEnded{SessionID: id, Device: "d", OpID: op, Success: true}),
		}
	}
	steps := []func(*spanRig, float64){
		ev(lmcache.RequestStarted{SessionID: id}), ev(lmcache.LookupStarted{SessionID: id}), ev(lmcache.LookupEnded{SessionID: id}),
		ev(lmcache.LookupAbandoned{SessionID: id}), ev(lmcache.RetrieveSubmitted{SessionID: id}), ev(lmcache.RetrieveStarted{SessionID: id}),
		ev(lmcache.RetrieveEnded{SessionID: id, RetrievedCount: 1, Success: true}), ev(lmcache.RequestEnded{SessionID: id}),
	}
	return append(append(steps, st("1")...), st("2")...)
}

// Whatever order events come in and whichever are lost: after the age limits no
// span is open, none has ended twice, and what was given up was counted.
func TestREQ_O48_AnyOrderAnyLoss(t *testing.T) {
	rng := rand.New(rand.NewPCG(48, 1))
	for round := range 400 {
		r := newSpanRig(t, SpanOptions{})
		var all []func(*spanRig, float64)
		for s := range 3 {
			all = append(all, sessionSteps(fmt.Sprint(s))...)
		}
		rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		loss := rng.Float64()
		for _, publish := range all {
			if rng.Float64() >= loss {
				publish(r, 100*rng.Float64())
				r.bus.Drain(second(0))
			}
		}
		if round%2 == 0 { // by age
			for s := 0.0; s <= 4000; s += 300 {
				r.bus.Drain(second(s))
			}
		} else if err := r.bus.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		var leaked, seen uint64
		for _, n := range r.subj.Stats().Leaked {
			leaked += n
		}
		for _, s := range r.rec.Ended() {
			if v, ok := attributeOf(s, "lmcache.span.leaked"); ok && v.AsBool() {
				seen++
			}
			if s.EndTime().Before(s.StartTime()) {
				t.Errorf("round %d: %s ends before it starts", round, s.Name())
			}
		}
		if open := r.open(); open != 0 || r.subj.Stats().Open != 0 || leaked != seen || r.subj.spans.sessions.len() != 0 {
			t.Fatalf("round %d: %d spans open (Stats: %d), %d given up, %d counted, %d sessions left",
				round, open, r.subj.Stats().Open, seen, leaked, r.subj.spans.sessions.len())
		}
	}
}

// A million sessions whose ends were all lost, and as many that end, leave no more
// behind than the limits say.
func TestREQ_O48_MemoryIsFlat(t *testing.T) {
	const sessions = 1_000_000
	s, err := NewSpanSubscriber(noop.NewTracerProvider(), SpanOptions{})
	if err != nil {
		t.Fatal(err)
	}
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	var early uint64
	for i := range sessions {
		id, at := fmt.Sprint(i), epoch.Add(time.Duration(i)*time.Microsecond)
		s.requestStarted(id, "", at)
		if i%2 == 0 {
			s.requestEnded(id, at)
		} else {
			s.spans.submitted(id, spanStore, at)
			s.start(id, childKey{kind: spanStore}, at, nil)
		}
		if i == sessions/10 { // all limits have been reached
			early = heap()
		}
	}
	late := heap()
	if late > early+early/4+(1<<20) {
		t.Errorf("heap %d bytes after %d sessions, %d after %d", early, sessions/10, late, sessions)
	}
	st := s.Stats()
	registry := &s.spans.registry.mu
	if s.spans.sessions.len() != maxSpanSessions || registry.ended.len() != maxSpanSessions || len(registry.open) != maxSpanSessions || st.Open != 2*maxSpanSessions ||
		st.PushedOut != sessions/2-maxSpanSessions || st.Leaked["request"] != st.PushedOut || st.Leaked["store"] != st.PushedOut {
		t.Errorf("%d sessions, %d closed, %+v", s.spans.sessions.len(), registry.ended.len(), st)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if st := s.Stats(); st.Open != 0 || st.Leaked["request"] != sessions/2 || len(registry.open) != 0 {
		t.Errorf("after Close: %+v, %d sessions registered", st, len(registry.open))
	}
}

// The ages: a child is given up after 900 seconds, and the root then ends when its
// request did; a root after an hour of silence; both earlier at Close.
func TestREQ_O48_Ages(t *testing.T) {
	t.Run("the end of a store was lost", func(t *testing.T) {
		r := newSpanRig(t, SpanOptions{})
		r.play(step{0, requestStart()}, step{1, storeSubmit("1")}, step{1, storeStart("1")}, step{2, requestEnd()})
		r.bus.Drain(second(900))
		if n := len(r.rec.Ended()); n != 0 {
			t.Fatalf("%d spans have ended after 899 seconds", n)
		}
		r.bus.Drain(second(911))
		r.want("request [0,2]", "  mp.store [1,911] !?")
	})
	t.Run("the end of the request was lost", func(t *testing.T) {
		r := newSpanRig(t, SpanOptions{MaxAge: 2000 * time.Second})
		r.play(step{0, requestStart()}, step{1000, lookupStart()}, step{1001, lookupEnd(0, 0)})
		r.bus.Drain(second(3000)) // 1999 after the last event
		if n := len(r.rec.Ended()); n != 1 {
			t.Fatalf("%d spans have ended, want the lookup", n)
		}
		r.bus.Drain(second(3011))
		r.want("request [0,3011] !?", "  mp.lookup_prefetch [1000,1001]")
		if got := r.subj.Stats().Leaked["request"]; got != 1 {
			t.Errorf("%d roots were counted", got)
		}
		r.play(step{3020, requestEnd()}, step{3020, requestEnd()}) // too late, and no end twice
		r.want("request [0,3011] !?", "  mp.lookup_prefetch [1000,1001]")
	})
	t.Run("close", func(t *testing.T) {
		r := newSpanRig(t, SpanOptions{})
		r.play(step{0, requestStart()}, step{1, storeSubmit("1")}, step{1, storeStart("1")}, step{5, lookupStart()})
		if err := r.bus.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := r.subj.Close(); err != nil {
			t.Fatal(err)
		}
		got := r.tree()
		if len(got) != 3 || r.open() != 0 {
			t.Errorf("%q", got)
		}
	})
	t.Run("the start came after all", func(t *testing.T) { // a child of a trace that was given up
		r := newSpanRig(t, SpanOptions{})
		r.play(step{0, requestStart()})
		r.bus.Drain(second(3700))
		r.play(step{3701, storeStart("1")}, step{3702, storeEnd("1")})
		r.want("request [0,3700] !?", "  mp.store [3701,3702]")
	})
}

// REQ-O60: a session has a limit of its own; the oldest child goes.
func TestSpanChildrenLimit(t *testing.T) {
	r := newSpanRig(t, SpanOptions{})
	const extra = 10
	for i := range maxSessionChildren + extra {
		storeStart(fmt.Sprint(i))(r, float64(i))
	}
	r.bus.Drain(second(0))
	if st := r.subj.Stats(); st.ChildrenPushed != extra || st.Leaked["store"] != extra || st.Open != maxSessionChildren+1 {
		t.Errorf("%+v", st)
	}
	for i := range maxSessionChildren + extra {
		storeEnd(fmt.Sprint(i))(r, 1000)
	}
	requestEnd()(r, 1001)
	r.bus.Drain(second(0))
	if r.open() != 0 || r.subj.spans.sessions.len() != 0 {
		t.Errorf("%d spans open", r.open())
	}
}

// A flood of bulk events at ten times the queue costs no span: the request events
// are in the reserved class.
func TestREQ_O31_SpansSurviveAFlood(t *testing.T) {
	const queue, sessions = 100, 10
	r := newSpanRig(t, SpanOptions{})
	r.bus = eventbus.New(eventbus.Options{Manual: true, Queue: queue})
	if _, err := r.bus.Subscribe(r.subj); err != nil {
		t.Fatal(err)
	}
	sink := &floodSink{}
	if _, err := r.bus.Subscribe(sink); err != nil {
		t.Fatal(err)
	}
	for i := range 10 * queue {
		ev(lmcache.Lookup{SessionID: "flood"})(r, 0)
		if i%queue == 0 {
			id := fmt.Sprint(i / queue)
			ev(lmcache.RequestStarted{SessionID: id})(r, 0)
			ev(lmcache.LookupStarted{SessionID: id})(r, 0)
			ev(lmcache.LookupEnded{SessionID: id})(r, 1)
			ev(lmcache.RequestEnded{SessionID: id})(r, 2)
		}
	}
	r.bus.Drain(second(0))
	if sink.n != queue {
		t.Errorf("%d bulk events were kept, want %d", sink.n, queue)
	}
	if ended := len(r.rec.Ended()); ended != 2*sessions || r.open() != 0 {
		t.Errorf("%d spans ended, %d open, want %d and none", ended, r.open(), 2*sessions)
	}
}

type floodSink struct{ n int }

func (*floodSink) Name() string { return "floodSink" }

func (f *floodSink) Subscribe(s *eventbus.Subscription) {
	eventbus.On(s, func(lmcache.Lookup, time.Time) { f.n++ })
}

// BenchmarkSpans is what one request with lookup, retrieve and store costs the
// dispatcher.
func BenchmarkSpans(b *testing.B) {
	s, err := NewSpanSubscriber(sdktrace.NewTracerProvider(), SpanOptions{})
	if err != nil {
		b.Fatal(err)
	}
	at := epoch
	b.ReportAllocs()
	for b.Loop() {
		s.requestStarted("s", "", at)
		s.start("s", childKey{kind: spanLookup}, at, nil)
		s.lookupEnded(lmcache.LookupEnded{SessionID: "s", HitTokens: 768, RequestedTokens: 1024}, at)
		s.spans.submitted("s", spanRetrieve, at)
		s.start("s", childKey{spanRetrieve, "d", "1"}, at, retrieveStartAttributes(&lmcache.RetrieveStarted{}))
		s.retrieveEnded(lmcache.RetrieveEnded{SessionID: "s", Device: "d", OpID: "1", RetrievedCount: 3, Success: true}, at)
		s.spans.submitted("s", spanStore, at)
		s.start("s", childKey{spanStore, "d", "1"}, at, storeStartAttributes(&lmcache.StoreStarted{}))
		s.storeEnded(lmcache.StoreEnded{SessionID: "s", Device: "d", OpID: "1", Success: true}, at)
		s.requestEnded("s", at)
	}
}
