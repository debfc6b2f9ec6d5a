package tiertest

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/lmcache-go/lmcache/eventbus"
	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/storage"
)

// eventually waits until f returns nil.
func eventually(t *testing.T, f func() error) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for err := f(); err != nil; err = f() {
		if time.Now().After(deadline) {
			t.Error(err)
			return
		}
		<-time.After(2 * time.Millisecond)
	}
}

// calm fails the test unless, soon, nothing of a manager is leased, pinned or under
// way, and, if it is open, all of its tiers are asked.
func (s *soak) calm(name string, m *storage.Manager, open bool) {
	s.t.Helper()
	eventually(s.t, func() error {
		if err := atRest(m, open); err != nil {
			return fmt.Errorf("%s, open %v: %w", name, open, err)
		}
		return nil
	})
	if err := m.Check(); err != nil {
		s.t.Errorf("%s: %v", name, err)
	}
}

// atRest says what of a manager is not at rest.
func atRest(m *storage.Manager, open bool) error {
	var errs []error
	zero := func(what string, n int64) {
		if n != 0 {
			errs = append(errs, fmt.Errorf("%s: %d", what, n))
		}
	}
	st := m.Stats()
	zero("leases", int64(st.L1.Leases))
	zero("leased bytes", st.L1.LeasedBytes)
	zero("staged bytes", st.L1.StagedBytes)
	zero("orphaned bytes", st.L1.OrphanedBytes)
	zero("prefetches", st.Prefetches)
	zero("stores that wait", int64(st.Stores.Pending))
	zero("stores", int64(st.Stores.Tasks))
	zero("bytes of stores", st.Stores.InflightBytes)
	f := st.Fetches
	zero("prefetches under way", int64(f.Queued+f.Lookup+f.Waiting+f.Load+f.Draining))
	zero("prefetches not released", f.Completed)
	zero("bytes of loads", f.InflightBytes)
	for _, t := range st.Tiers {
		zero(t.Name+": calls", int64(t.InflightCalls))
		zero(t.Name+": pins", int64(t.Pins))
		zero(t.Name+": loads", int64(t.InflightLoads))
		zero(t.Name+": bytes of loads", t.InflightLoadBytes)
		zero(t.Name+": stores", int64(t.InflightStores))
		zero(t.Name+": queued", int64(t.QueuedLoads+t.QueuedStores))
		zero(t.Name+": reserved bytes", t.ReservedBytes)
		if open && t.Breaker != storage.BreakerClosed {
			errs = append(errs, fmt.Errorf("%s: the breaker is %s: %s", t.Name, t.Breaker, t.BreakerReason))
		}
	}
	return errors.Join(errs...)
}

// counted fails the test unless, soon, each tier counts what its store lists. Servers
// are left out: what was asked of one that hung may be done now.
func counted(t *testing.T, name string, m *storage.Manager) {
	t.Helper()
	for i, st := range m.Stats().Tiers {
		if st.Type == onRedis || st.Type == onS3 {
			continue
		}
		eventually(t, func() error {
			st := m.Stats().Tiers[i]
			if !st.ScanComplete {
				return fmt.Errorf("%s: the scan of %s does not end", name, st.Name)
			}
			var objects, bytes int64
			q := l2.ListQuery{PageSize: 100}
			for {
				page, err := m.ListL2(t.Context(), i, q)
				if err != nil {
					return fmt.Errorf("%s: %s: %w", name, st.Name, err)
				}
				for _, e := range page.Entries {
					objects++
					bytes += e.Size
				}
				if q.Cursor = page.Next; q.Cursor == "" {
					break
				}
			}
			evicts := st.EvictionPolicy != l2.PolicyNoop
			if st.Objects != objects || st.UsedBytes != bytes || evicts && st.CapacityBytes > 0 && bytes > st.CapacityBytes {
				return fmt.Errorf("%s: %s counts %d objects of %d bytes, has %d of %d, may hold %d; %+v", name, st.Name, st.Objects, st.UsedBytes, objects, bytes, st.CapacityBytes, st)
			}
			return nil
		})
	}
}

// files is how many files this process has open; 0 where that is not known.
func files() int {
	names, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0
	}
	return len(names)
}

// opened is files, after what has been forgotten was collected.
func opened(t *testing.T) int {
	t.Helper()
	runtime.GC()
	return files()
}

// nothingOpen fails the test if files stay open. The servers of the rig have pipes,
// which come and go with them.
func (s *soak) nothingOpen(name string, base int) {
	s.t.Helper()
	eventually(s.t, func() error {
		if n := files(); n > base {
			return fmt.Errorf("%s: %d files are open, %d were before", name, n, base)
		}
		return nil
	})
}

// pairs counts events that belong together.
type pairs struct {
	open  map[string]int
	twice []string
}

func newPairs() *pairs { return &pairs{open: map[string]int{}} }

// Name implements [eventbus.Subscriber].
func (*pairs) Name() string { return "pairs" }

// Subscribe implements [eventbus.Subscriber].
func (p *pairs) Subscribe(s *eventbus.Subscription) {
	begin := func(what string, ids ...any) { p.open[what+fmt.Sprint(ids...)]++ }
	end := func(what string, ids ...any) {
		id := what + fmt.Sprint(ids...)
		if p.open[id] != 1 {
			p.twice = append(p.twice, id)
		}
		delete(p.open, id)
	}
	eventbus.On(s, func(e storage.L2StoreSubmitted, _ time.Time) { begin("store ", e.AdapterIndex, e.TaskID) })
	eventbus.On(s, func(e storage.L2StoreCompleted, _ time.Time) { end("store ", e.AdapterIndex, e.TaskID) })
	eventbus.On(s, func(e storage.L2LoadTaskSubmitted, _ time.Time) { begin("load task ", e.AdapterIndex, e.TaskID) })
	eventbus.On(s, func(e storage.L2LoadTaskCompleted, _ time.Time) { end("load task ", e.AdapterIndex, e.TaskID) })
	eventbus.On(s, func(e storage.L2LookupSubmitted, _ time.Time) { begin("lookup ", e.RequestID) })
	eventbus.On(s, func(e storage.L2LookupCompleted, _ time.Time) { end("lookup ", e.RequestID) })
	eventbus.On(s, func(e storage.L2LoadSubmitted, _ time.Time) { begin("load ", e.RequestID) })
	eventbus.On(s, func(e storage.L2LoadCompleted, _ time.Time) { end("load ", e.RequestID) })
}

// check fails the test if something began and did not end, or ended twice.
func (p *pairs) check(t *testing.T, name string) {
	t.Helper()
	if len(p.open)+len(p.twice) > 0 {
		t.Errorf("%s: began and did not end: %v; ended and had not begun: %v", name, p.open, p.twice)
	}
}
