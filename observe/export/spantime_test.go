package export_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/lmcache-go/lmcache"
	"github.com/lmcache-go/lmcache/eventbus"
	"github.com/lmcache-go/lmcache/gpu"
	"github.com/lmcache-go/lmcache/gpu/fake"
	"github.com/lmcache-go/lmcache/internal/leak"
	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/observe"
)

// virtualHost is an engine over a device in virtual time, which copies a megabyte per
// second after a millisecond. A chunk is 16 tokens and an object 1024 bytes.
type virtualHost struct {
	*host

	dev    *fake.Device
	copies copies
}

// copies are the first and the last moment of the device's copies.
type copies struct {
	mu          sync.Mutex
	first, last map[fake.Kind]time.Time
}

func (c *copies) add(w fake.Work) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.first[w.Kind]; !ok {
		c.first[w.Kind] = w.Start
	}
	c.last[w.Kind] = w.End
}

func newVirtualHost(t *testing.T, bus *eventbus.Bus) *virtualHost {
	t.Helper()
	h := &virtualHost{host: &host{t: t, rig: &rig{bus: bus}}}
	h.copies.first, h.copies.last = make(map[fake.Kind]time.Time), make(map[fake.Kind]time.Time)
	cost := fake.Cost{Latency: time.Millisecond, Bandwidth: 1 << 20}
	h.dev = fake.New(fake.Options{Clock: fake.Virtual, Gather: cost, Scatter: cost, OnWork: h.copies.add})
	var err error
	if h.eng, err = lmcache.Open(t.Context(), lmcache.Options{ChunkTokens: 16, L1: l1.Options{Bytes: 8192, Align: 64}, Bus: bus}); err != nil {
		t.Fatal(err)
	}
	cache, err := h.dev.NewPaged(gpu.Shape{Layers: 2, Blocks: 16, BlockTokens: 8, Heads: 2, HeadSize: 4, DType: "float16"})
	if err != nil {
		t.Fatal(err)
	}
	if h.worker, err = h.eng.Attach(lmcache.WorkerOptions{Model: "m", Backend: h.dev, Cache: cache, NoSelfTest: true}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.eng.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
		if err := h.dev.Close(); err != nil {
			t.Error(err)
		}
	})
	return h
}

// REQ-O49: the spans of copies begin and end when the device says, also if the
// dispatcher does not get to see an event until an hour after all of them.
func TestREQ_O49_DelayedDispatcher(t *testing.T) {
	leak.Check(t)
	rec := tracetest.NewSpanRecorder()
	subj, err := observe.NewSpanSubscriber(sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(rec)), observe.SpanOptions{MaxAge: 24 * time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	bus := eventbus.New(eventbus.Options{Manual: true})
	if _, err := bus.Subscribe(subj); err != nil {
		t.Fatal(err)
	}
	h := newVirtualHost(t, bus)
	h.serve(prompt(0, 48), 0)  // stores
	h.serve(prompt(0, 48), 47) // retrieves
	if n := len(rec.Started()); n != 0 {
		t.Fatalf("%d spans before anything was dispatched", n)
	}
	bus.Drain(time.Now().Add(time.Hour))
	if err := bus.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	kinds := map[string]fake.Kind{"mp.store": fake.Gather, "mp.retrieve": fake.Scatter}
	type times struct{ Start, End time.Time }
	got, want := make(map[string]times), make(map[string]times)
	for name, kind := range kinds {
		want[name] = times{h.copies.first[kind], h.copies.last[kind]}
		if d := want[name].End.Sub(want[name].Start); d < time.Millisecond {
			t.Fatalf("%s: the device copied for %v", name, d)
		}
	}
	for _, s := range rec.Ended() {
		if _, ok := kinds[s.Name()]; !ok {
			continue
		}
		if _, ok := got[s.Name()]; ok { // the second store had nothing to copy
			continue
		}
		got[s.Name()] = times{s.StartTime(), s.EndTime()}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-device +spans):\n%s", diff)
	}
}

// REQ-O39: a store that is still being copied when its request ends has its start and
// end after that, and its span in the request's trace, whose root ended with the request.
func TestREQ_O39_AfterTheRequest(t *testing.T) {
	leak.Check(t)
	rec := tracetest.NewSpanRecorder()
	h := newTracedHost(t, observe.Options{}, nil, sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(rec)))
	var order eventOrder
	if _, err := h.rig.bus.Subscribe(&order); err != nil {
		t.Fatal(err)
	}
	h.dev.Hang()
	s := h.eng.Session(lmcache.Request{ID: "late", Model: "m"})
	if hit, err := s.Lookup(t.Context(), prompt(0, 32)).Tokens(t.Context()); err != nil || hit != 0 {
		t.Fatalf("hit %d, %v", hit, err)
	}
	tr, err := h.worker.Store(t.Context(), s, prompt(0, 32), blocks(2), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	h.rig.flush(t)
	for _, s := range rec.Ended() {
		if s.Name() == "request" {
			t.Error("the root ended while a store was pending")
		}
	}
	h.dev.Release()
	if err := tr.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	h.close(t.Context())
	if diff := cmp.Diff([]string{"mp.request.end", "mp.store.start", "mp.store.end"}, order.names); diff != "" {
		t.Errorf("order of events (-want +got):\n%s", diff)
	}
	spans := make(map[string]sdktrace.ReadOnlySpan)
	for _, s := range rec.Ended() {
		spans[s.Name()] = s
	}
	root, store := spans["request"], spans["mp.store"]
	if root == nil || store == nil {
		t.Fatalf("spans %v", spans)
	}
	if store.Parent().SpanID() != root.SpanContext().SpanID() || !root.EndTime().Equal(order.requestEnd) || !store.StartTime().Equal(order.storeStart) {
		t.Errorf("root ends %v, the request %v; store begins %v, its copy %v", root.EndTime(), order.requestEnd, store.StartTime(), order.storeStart)
	}
	if n := h.subj.Stats(); n.Leaked["request"]+n.Leaked["store"] != 0 {
		t.Errorf("given up: %v", n.Leaked)
	}
}

// eventOrder notes what comes of one request, and when it says that it was.
type eventOrder struct {
	names                  []string
	requestEnd, storeStart time.Time
}

func (*eventOrder) Name() string { return "eventOrder" }

func (o *eventOrder) Subscribe(s *eventbus.Subscription) {
	eventbus.On(s, func(e lmcache.RequestEnded, at time.Time) { o.names, o.requestEnd = append(o.names, e.EventName()), at })
	eventbus.On(s, func(e lmcache.StoreStarted, at time.Time) { o.names, o.storeStart = append(o.names, e.EventName()), at })
	eventbus.On(s, func(e lmcache.StoreEnded, _ time.Time) { o.names = append(o.names, e.EventName()) })
}

// REQ-O39: transfers finish, and give their leases back, just the same with a bus that
// is full and that nobody drains, with one that is switched off, and with none.
func TestREQ_O39_LeasesWithoutABus(t *testing.T) {
	full := eventbus.New(eventbus.Options{Queue: 1, Manual: true})
	if _, err := full.Subscribe(idle{}); err != nil {
		t.Fatal(err)
	}
	for name, bus := range map[string]*eventbus.Bus{"full": full, "disabled": eventbus.New(eventbus.Options{Disabled: true}), "none": nil} {
		t.Run(name, func(t *testing.T) {
			leak.Check(t)
			h := newVirtualHost(t, bus)
			h.serve(prompt(0, 48), 0)
			h.serve(prompt(0, 64), 48)
			h.serve(prompt(0, 64), 63)
			st := h.eng.Stats().Storage.L1
			if st.Objects != 4 || st.Leases != 0 || st.LeasedBytes != 0 || st.ReadingObjects != 0 || st.WritingObjects != 0 {
				t.Errorf("%d objects, %d leases of %d bytes, %d being read and %d written", st.Objects, st.Leases, st.LeasedBytes, st.ReadingObjects, st.WritingObjects)
			}
			if err := h.eng.Check(); err != nil {
				t.Error(err)
			}
		})
	}
	if full.Stats().Dropped == 0 {
		t.Error("the bus was not full")
	}
	if err := full.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}
