package observe

import (
	"time"

	"go.opentelemetry.io/otel/metric"

	"github.com/lmcache-go/lmcache/eventbus"
	"github.com/lmcache-go/lmcache/storage"
)

// L2MetricsSubscriber counts what is stored into, looked up in, loaded from and
// evicted by outer tiers: rows 18 to 30, and the size of their tasks.
type L2MetricsSubscriber struct {
	storeTasks, storeKeys, stored, notStored     *single
	lookups, lookupKeys, hits                    *single
	loadTasks, loadKeys, loaded, notLoaded       *single
	storeCompleted, loadCompleted, evictedBySalt *family
	batch                                        *histogram
}

// NewL2MetricsSubscriber makes its instruments on mp.
func NewL2MetricsSubscriber(mp metric.MeterProvider, o MetricOptions) (*L2MetricsSubscriber, error) {
	in, err := newInstruments(mp, o)
	if err != nil {
		return nil, err
	}
	return &L2MetricsSubscriber{
		storeTasks: in.single(nameL2StoreTasks), storeKeys: in.single(nameL2StoreKeys),
		stored: in.single(nameL2StoreSucceeded), notStored: in.single(nameL2StoreFailed),
		lookups: in.single(nameL2Lookups), lookupKeys: in.single(nameL2LookupKeys), hits: in.single(nameL2Hits),
		loadTasks: in.single(nameL2LoadTasks), loadKeys: in.single(nameL2LoadKeys),
		loaded: in.single(nameL2Loaded), notLoaded: in.single(nameL2NotLoaded),
		storeCompleted: in.family(nameL2StoreCompleted), loadCompleted: in.family(nameL2LoadCompleted),
		evictedBySalt: in.family(nameL2Evicted), batch: in.histogram(nameL2Batch),
	}, in.err()
}

// Name is the name of the type.
func (*L2MetricsSubscriber) Name() string { return "L2MetricsSubscriber" }

// Subscribe asks for the events.
func (s *L2MetricsSubscriber) Subscribe(sub *eventbus.Subscription) {
	eventbus.On(sub, func(e storage.L2LoadTaskSubmitted, _ time.Time) {
		s.batch.record(float64(e.KeyCount), values{e.L2Name})
	})
	eventbus.On(sub, func(e storage.L2StoreSubmitted, _ time.Time) {
		s.batch.record(float64(e.KeyCount), values{e.L2Name})
		s.storeTasks.n++
		s.storeKeys.add(e.KeyCount)
	})
	eventbus.On(sub, func(e storage.L2StoreCompleted, _ time.Time) {
		s.storeCompleted.add(1, values{e.L2Name})
		s.stored.add(e.SucceededCount)
		s.notStored.add(e.FailedCount)
	})
	eventbus.On(sub, func(e storage.L2LookupSubmitted, _ time.Time) {
		s.lookups.n++
		s.lookupKeys.add(e.KeyCount)
	})
	eventbus.On(sub, func(e storage.L2LookupCompleted, _ time.Time) { s.hits.add(e.PrefixHitCount) })
	eventbus.On(sub, func(e storage.L2LoadSubmitted, _ time.Time) {
		s.loadTasks.add(e.AdapterCount)
		s.loadKeys.add(e.KeyCount)
	})
	eventbus.On(sub, func(e storage.L2LoadCompleted, _ time.Time) {
		s.loaded.add(e.LoadedCount)
		s.notLoaded.add(e.FailedCount)
	})
	eventbus.On(sub, func(e storage.L2LoadTaskCompleted, _ time.Time) { s.loadCompleted.add(1, values{e.L2Name}) })
	eventbus.On(sub, func(e storage.L2KeysEvicted, _ time.Time) {
		for salt, n := range e.KeyCountPerSalt {
			s.evictedBySalt.add(n, values{salt})
		}
	})
	sub.AfterBatch(s.flush)
}

func (s *L2MetricsSubscriber) flush() {
	for _, c := range [...]*single{
		s.storeTasks, s.storeKeys, s.stored, s.notStored, s.lookups, s.lookupKeys, s.hits,
		s.loadTasks, s.loadKeys, s.loaded, s.notLoaded,
	} {
		c.flush()
	}
	s.storeCompleted.flush()
	s.loadCompleted.flush()
	s.evictedBySalt.flush()
}
