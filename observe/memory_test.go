package observe

import (
	"fmt"
	"io"
	"runtime"
	"testing"
	"time"

	noopmetric "go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/lmcache-go/lmcache"
	"github.com/lmcache-go/lmcache/eventbus"
	"github.com/lmcache-go/lmcache/gpu"
	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/storage"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// BenchmarkSoakMemory is REQ-O60 at length: whatever is published, and however much of
// it never ends, all subscribers together hold no more than MaxMemory. Everything is
// in the sample, and every session has keys and operations of its own; half of them
// never end. "make soak" runs it; from 150,000 sessions on all bounds are reached.
func BenchmarkSoakMemory(b *testing.B) {
	sessions := b.N
	heap := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := heap()
	bus := eventbus.New(eventbus.Options{Manual: true})
	subs, err := Subscribers(noopmetric.NewMeterProvider(), MetricOptions{SampleRate: 1})
	if err != nil {
		b.Fatal(err)
	}
	spans, err := SpanSubscribers(noop.NewTracerProvider(), SpanOptions{})
	if err != nil {
		b.Fatal(err)
	}
	log, err := NewRequestLog(io.Discard, RequestLogOptions{})
	if err != nil {
		b.Fatal(err)
	}
	for _, s := range append(append(subs, spans...), log) {
		if _, err := bus.Subscribe(s); err != nil {
			b.Fatal(err)
		}
	}
	now, highest := epoch, int64(0)
	for i := range sessions {
		now = now.Add(100 * time.Microsecond)
		publishSession(bus, i, now)
		if i%500 == 499 {
			bus.Drain(now)
		}
		if i%50_000 == 49_999 || i == sessions-1 {
			bus.Drain(now)
			highest = max(highest, heap()-before)
		}
	}
	runtime.KeepAlive(bus)
	b.ReportMetric(float64(highest)/(1<<20), "MiB")
	b.ReportMetric(MaxMemory>>20, "MiB-bar")
	if highest > MaxMemory {
		b.Errorf("%d bytes are held, more than %d", highest, MaxMemory)
	}
	if sessions < 150_000 {
		return
	}
	if spans[0].(*SpanSubscriber).Stats().PushedOut == 0 || log.Stats().Forgotten == 0 {
		b.Error("the bounds of sessions were not reached")
	}
}

// publishSession publishes what one session does. Odd ones never end.
func publishSession(bus *eventbus.Bus, i int, now time.Time) {
	id, salt := fmt.Sprint("session-", i), fmt.Sprint("tenant-", i%20_000)
	keys := []kv.Key{key(i)}
	keys[0].Salt = salt
	device := "fake:0"
	op := fmt.Sprint(i)
	publishAt(bus, now, lmcache.RequestStarted{SessionID: id, TraceParent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"})
	publishAt(bus, now, lmcache.LookupStarted{SessionID: id})
	publishAt(bus, now, l1.WriteFinished{Keys: keys})
	publishAt(bus, now, storage.WriteFinished{SucceededKeys: keys})
	publishAt(bus, now, l1.KeysEvicted{Keys: []kv.Key{key(i - 50_000)}, Cause: l1.CauseEvict, Owner: id})
	publishAt(bus, now, lmcache.StoreSubmitted{SessionID: id, Device: device})
	publishAt(bus, now, lmcache.StoreStarted{SessionID: id, Device: device, OpID: op})
	publishAt(bus, now, lmcache.RetrieveStarted{SessionID: id, Device: device, OpID: op})
	publishAt(bus, now, storage.L2StoreSubmitted{TaskID: int64(i), L2Name: "fs", TotalBytes: 1})
	publishAt(bus, now, storage.L2LoadTaskSubmitted{RequestID: int64(i), L2Name: "fs", TotalBytes: 1})
	publishAt(bus, now, lmcache.BlocksAllocated{InstanceID: 7, Model: "m", Records: []lmcache.BlockAllocation{
		{RequestID: id, NewBlockIDs: []gpu.BlockID{gpu.BlockID(i % 10_000)}, NewTokenIDs: []int32{int32(i)}},
	}})
	if i%2 == 0 {
		publishAt(bus, now, lmcache.LookupEnded{SessionID: id, Model: "m", Salt: salt})
		publishAt(bus, now, lmcache.StoreEnded{SessionID: id, Device: device, OpID: op, Success: true})
		publishAt(bus, now, lmcache.RequestEnded{SessionID: id})
		publishAt(bus, now, lmcache.RequestReceipt{SessionID: id})
	}
}

func publishAt[E eventbus.Event](bus *eventbus.Bus, now time.Time, e E) {
	eventbus.TopicOf[E](bus).PublishAt(e, now)
}
