package observe

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lmcache-go/lmcache"
	"github.com/lmcache-go/lmcache/eventbus"
	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/storage"
)

// fakeSpans gives the SpanStats it is told to.
type fakeSpans struct {
	name  string
	stats SpanStats
}

func (s *fakeSpans) Name() string     { return s.name }
func (s *fakeSpans) Stats() SpanStats { return s.stats }

type fakeRecorder struct {
	written uint64
	dropped map[string]uint64
}

func (r fakeRecorder) Records() (uint64, map[string]uint64) { return r.written, r.dropped }

// REQ-O12: an idle adapter has no series of what is in flight, two of one type are
// told apart, and their sum is what is reserved.
func TestREQ_O12_tiers(t *testing.T) {
	rec, s := newRecorder(), &storage.Stats{}
	watchFor(t, rec, Sources{Storage: pointed{s}})
	tiers := func() map[string]float64 {
		return only(rec.scrape(t), nameL2Stores, nameL2Loads, nameL2LoadBytes, nameL2Usage, nameL2Capacity, nameL2ReadWrite, nameL2StoreCompleted, nameL2LoadCompleted)
	}
	if got := tiers(); len(got) > 0 {
		t.Errorf("without tiers: %v", got)
	}
	s.Tiers = []storage.TierStats{
		{Index: 0, Name: "fs", InflightStores: 2, UsedBytes: 100, CapacityBytes: 1000, WrittenBytes: 300},
		{Index: 1, Name: "fs", InflightLoads: 3, InflightLoadBytes: 4096, UsedBytes: 20, CapacityBytes: 50, ReadBytes: 75},
		{Index: 2, Name: "s3", UsedBytes: 7},
	}
	want := map[string]float64{
		nameL2Stores + `{adapter_index="0",l2_name="fs"}`:    2,
		nameL2Loads + `{adapter_index="1",l2_name="fs"}`:     3,
		nameL2LoadBytes + `{adapter_index="1",l2_name="fs"}`: 4096,
		nameL2Usage + `{l2_name="fs"}`:                       120, nameL2Usage + `{l2_name="s3"}`: 7,
		nameL2Capacity + `{l2_name="fs"}`: 1050, nameL2Capacity + `{l2_name="s3"}`: 0, nameL2ReadWrite: 0.25,
		nameL2StoreCompleted + `{l2_name="fs"}`: 0, nameL2StoreCompleted + `{l2_name="s3"}`: 0,
		nameL2LoadCompleted + `{l2_name="fs"}`: 0, nameL2LoadCompleted + `{l2_name="s3"}`: 0,
	}
	if diff := cmp.Diff(want, tiers()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	s.Tiers[0].CapacityBytes = 0 // one of the two knows no limit
	s.Tiers[0].InflightStores, s.Tiers[1].InflightLoads, s.Tiers[1].InflightLoadBytes = 0, 0, 0
	for _, series := range []string{
		nameL2Stores + `{adapter_index="0",l2_name="fs"}`, nameL2Loads + `{adapter_index="1",l2_name="fs"}`,
		nameL2LoadBytes + `{adapter_index="1",l2_name="fs"}`,
	} {
		delete(want, series)
	}
	want[nameL2Capacity+`{l2_name="fs"}`] = 0
	if diff := cmp.Diff(want, tiers()); diff != "" {
		t.Errorf("idle (-want +got):\n%s", diff)
	}
}

// Each adapter has its breaker's state, and all changes at 0 before the first, once.
func TestBreakers(t *testing.T) {
	const closed, open, halfOpen = storage.BreakerClosed, storage.BreakerOpen, storage.BreakerHalfOpen
	rec, s := newRecorder(), &storage.Stats{Tiers: []storage.TierStats{{Name: "fs"}, {Index: 1, Name: "fs"}, {Index: 2, Name: "s3"}}}
	watchFor(t, rec, Sources{Storage: pointed{s}})
	adds := 0
	for _, now := range [][]storage.BreakerState{{closed, open, halfOpen}, {open, halfOpen, closed}} {
		want := map[string]float64{}
		for i := range s.Tiers {
			s.Tiers[i].Breaker = now[i]
			for _, state := range []storage.BreakerState{closed, open, halfOpen} {
				series := fmt.Sprintf(`{adapter_index="%d",l2_name=%q,state=%q}`, i, s.Tiers[i].Name, state)
				want[nameL2BreakerChanges+series], want[nameL2BreakerState+series] = 0, 0
				if state == now[i] {
					want[nameL2BreakerState+series] = 1
				}
			}
		}
		if diff := cmp.Diff(want, only(rec.scrape(t), nameL2BreakerChanges, nameL2BreakerState)); diff != "" {
			t.Errorf("%v (-want +got):\n%s", now, diff)
		}
		if adds != 0 && rec.adds != adds {
			t.Error("known adapters are shown again at every scrape")
		}
		adds = rec.adds
	}
}

// What a tier never gets shows at 0 for each adapter and reason, before anything is dropped.
func TestDroppedKeysBeforeTheFirst(t *testing.T) {
	rec, s := newRecorder(), &storage.Stats{Tiers: []storage.TierStats{{Name: "fs"}, {Index: 1, Name: "fs"}}}
	watchFor(t, rec, Sources{Storage: pointed{s}})
	want := map[string]float64{}
	for i := range s.Tiers {
		for _, reason := range []string{"backlog", "evicted", "retries", "no_space", "too_large", "shutdown"} {
			want[nameL2StoreDropped+fmt.Sprintf(`{adapter_index="%d",l2_name="fs",reason=%q}`, i, reason)] = 0
		}
	}
	if diff := cmp.Diff(want, only(rec.scrape(t), nameL2StoreDropped)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// pointed is a storage manager whose state a test changes.
type pointed struct{ stats *storage.Stats }

func (p pointed) Stats() storage.Stats { return *p.stats }

// Of spans and of recorded calls, what is lost shows by kind and reason.
func TestSpansAndRecords(t *testing.T) {
	rec := newRecorder()
	a := &fakeSpans{"A", SpanStats{Leaked: map[string]uint64{"request": 2, "store": 0}}}
	b := &fakeSpans{"B", SpanStats{Leaked: map[string]uint64{"request": 3, "cb.lookup": 1}}}
	watchFor(t, rec, Sources{Spans: []SpanStatsSource{a, b}, Recorder: fakeRecorder{70, map[string]uint64{"queue": 4, "write": 0}}})
	want := map[string]float64{
		nameSpansLeaked + `{kind="request"}`: 5, nameSpansLeaked + `{kind="store"}`: 0, nameSpansLeaked + `{kind="cb.lookup"}`: 1,
		nameTraceWritten: 70, nameTraceDropped + `{reason="queue"}`: 4, nameTraceDropped + `{reason="write"}`: 0,
	}
	if diff := cmp.Diff(want, only(rec.scrape(t), nameSpansLeaked, nameTraceWritten, nameTraceDropped)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// REQ-O60: what the spans and the request log forget counts once, however often a
// provider is watched and scraped.
func TestREQ_O60_sources(t *testing.T) {
	rec := newRecorder()
	spans := &fakeSpans{name: "S"}
	log, err := NewRequestLog(&bytes.Buffer{}, RequestLogOptions{Sessions: 1})
	if err != nil {
		t.Fatal(err)
	}
	bus := eventbus.New(eventbus.Options{Manual: true})
	if _, err := bus.Subscribe(log); err != nil {
		t.Fatal(err)
	}
	s := Sources{Spans: []SpanStatsSource{spans}, RequestLog: log}
	for i := range 3 { // with a watch of its own each
		watchFor(t, rec, s)
		spans.stats.PushedOut += 2
		spans.stats.ChildrenPushed++
		spans.stats.ClosedForgotten += 3
		for j := range 2 {
			eventbus.TopicOf[l1.KeysEvicted](bus).Publish(l1.KeysEvicted{Owner: fmt.Sprint(i, j), Keys: make([]storage.Key, 1)})
		}
		bus.Drain(epoch)
		rec.scrape(t)
		rec.scrape(t)
	}
	want := map[string]float64{
		nameSubscriberOverflow + `{state="sessions",subscriber_name="S"}`:          6,
		nameSubscriberOverflow + `{state="children",subscriber_name="S"}`:          3,
		nameSubscriberOverflow + `{state="closed",subscriber_name="S"}`:            9,
		nameSubscriberOverflow + `{state="sessions",subscriber_name="RequestLog"}`: 4, // of 6, two halves of one are kept
	}
	if diff := cmp.Diff(want, only(rec.scrape(t), nameSubscriberOverflow)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// observability_series counts the series of every metric, but itself.
func TestSeries(t *testing.T) {
	rec, bus := newRecorder(), eventbus.New(eventbus.Options{Manual: true})
	ob := start(t, bus, rec, Options{LabelLimit: 3, Buckets: Default})
	if err := ob.Watch(Sources{Engine: &fakeEngine{stats: lmcache.Stats{Models: []string{"m"}}}, Bus: bus}); err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		eventbus.TopicOf[lmcache.LookupEnded](bus).Publish(lmcache.LookupEnded{Model: "m", Salt: fmt.Sprint(i), RequestedTokens: i})
	}
	eventbus.TopicOf[storage.PrefetchResolved](bus).Publish(storage.PrefetchResolved{Elapsed: -1}) // is refused
	eventbus.TopicOf[storage.PrefetchResolved](bus).Publish(storage.PrefetchResolved{Elapsed: time.Second})
	bus.Drain(epoch)
	rec.scrape(t)
	got, want := make(map[string]float64), make(map[string]float64)
	for series, v := range rec.scrape(t) {
		name, labels, _ := strings.Cut(series, "{")
		switch {
		case name == nameSeries:
			got[strings.TrimSuffix(strings.TrimPrefix(labels, `metric="`), `"}`)] = v
		case find(name).Kind == Histogram:
			want[name] += 15 + 3
		default:
			want[name]++
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if want[nameRequestedTokens] != 4 || want[nameOperation] != 18 || want[nameInvalid] != 1 {
		t.Errorf("%v, %v and %v series", want[nameRequestedTokens], want[nameOperation], want[nameInvalid])
	}
}

// Loops of one name are one, which is as slow as the slowest.
func TestBusLoops(t *testing.T) {
	got := BusLoops(eventbus.Stats{Stalled: 1, Isolated: []eventbus.IsolatedStats{
		{Subscriber: "A", Stalled: 2}, {Subscriber: "B", Stalled: 3}, {Subscriber: "A", Stalled: 4}, {Subscriber: "B"},
	}})
	want := []lmcache.LoopStats{{Name: "event_bus", Stalled: 1}, {Name: "A", Stalled: 4}, {Name: "B", Stalled: 3}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
