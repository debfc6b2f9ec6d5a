package tiertest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lmcache-go/lmcache/eventbus"
	"github.com/lmcache-go/lmcache/internal/leak"
	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/l2/fault"
	"github.com/lmcache-go/lmcache/l2/fs"
	"github.com/lmcache-go/lmcache/l2/mem"
	"github.com/lmcache-go/lmcache/observe"
	"github.com/lmcache-go/lmcache/observe/export"
	"github.com/lmcache-go/lmcache/storage"
	"github.com/lmcache-go/lmcache/storage/kv"
)

const dropSize = 4096 // bytes of an object

// dropping is a manager of one tier that does not get everything, and who watches it.
type dropping struct {
	t       *testing.T
	bus     *eventbus.Bus
	m       *storage.Manager
	metrics *export.Metrics
	log     buffer
	next    int
}

func openDropping(t *testing.T, a l2.Adapter, change ...func(*storage.Options)) *dropping {
	t.Helper()
	d := &dropping{t: t, bus: eventbus.New(eventbus.Options{})}
	o := storage.Options{
		L1: l1.Options{Bytes: 4 * dropSize}, Bus: d.bus, Logger: slog.New(slog.NewTextHandler(&d.log, nil)),
		Tiers: []storage.Tier{{Name: "tier", Adapter: a, Settings: l2.Settings{Workers: 1, PerOpWorkers: 1, NoStartProbe: true}}},
	}
	for _, f := range change {
		f(&o)
	}
	var err error
	if d.m, err = storage.Open(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if d.metrics, err = export.NewMetrics(export.Options{}); err != nil {
		t.Fatal(err)
	}
	ob, err := observe.Start(d.bus, d.metrics.MeterProvider(), observe.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := ob.Watch(observe.Sources{Storage: d.m, Bus: d.bus}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx := context.WithoutCancel(t.Context())
		if err := errors.Join(d.m.Close(ctx), ob.Close(), d.metrics.Shutdown(ctx), d.bus.Close(ctx)); err != nil {
			t.Error(err)
		}
	})
	return d
}

// put commits n new objects, one by one.
func (d *dropping) put(n int) {
	d.t.Helper()
	layout, err := kv.RawLayout(dropSize)
	if err != nil {
		d.t.Fatal(err)
	}
	for range n {
		d.next++
		var hash [32]byte
		copy(hash[:], strconv.Itoa(d.next))
		l, err := d.m.ReserveWrite(d.t.Context(), []kv.Key{{Hash: kv.Hash32(hash), Model: "m", Rank: 0x01000100}}, layout, storage.New, storage.WriteOptions{})
		if err != nil {
			d.t.Fatal(err)
		}
		l.Finish()
	}
}

// scraped is the series of the metric by reason.
func (d *dropping) scraped() map[string]int {
	d.t.Helper()
	if err := d.bus.Flush(d.t.Context()); err != nil {
		d.t.Fatal(err)
	}
	page := httptest.NewRecorder()
	d.metrics.Handler().ServeHTTP(page, httptest.NewRequestWithContext(d.t.Context(), http.MethodGet, "/metrics", nil))
	got := map[string]int{}
	for line := range strings.Lines(page.Body.String()) {
		rest, ok := strings.CutPrefix(line, `lmcache_mp_l2_store_dropped_keys_total{adapter_index="0",l2_name="tier",reason="`)
		if !ok {
			continue
		}
		reason, value, _ := strings.Cut(rest, `"} `)
		n, err := strconv.Atoi(strings.TrimSpace(value))
		if err != nil {
			d.t.Fatal(err)
		}
		got[reason] = n
	}
	return got
}

// expect compares the metric and the log: so many keys for a reason and none for the
// others, in one warning that says what helps.
func (d *dropping) expect(reason string, n int, remedy string) {
	d.t.Helper()
	want := map[string]int{"backlog": 0, "evicted": 0, "retries": 0, "no_space": 0, "too_large": 0, "shutdown": 0}
	want[reason] = n
	if diff := cmp.Diff(want, d.scraped()); diff != "" {
		d.t.Errorf("scraped (-want +got):\n%s", diff)
	}
	if got := d.m.Stats().Stores.Dropped; got != int64(n) {
		d.t.Errorf("Stats say that %d were dropped, want %d", got, n)
	}
	told := 0
	for line := range strings.Lines(d.log.String()) {
		if !strings.Contains(line, "keys are not stored in a tier of the cache") {
			continue
		}
		i := strings.LastIndex(line, "keys=")
		keys, err := strconv.Atoi(strings.TrimSpace(line[i+len("keys="):]))
		if err != nil {
			d.t.Fatal(err)
		}
		told += keys
		for _, part := range []string{"level=WARN", "adapter_index=0", "l2_name=tier", "reason=" + reason, remedy} {
			if !strings.Contains(line, part) {
				d.t.Errorf("the log has %q, which lacks %q", line, part)
			}
		}
	}
	if told != n {
		d.t.Errorf("the log tells of %d keys, want %d:\n%s", told, n, d.log.String())
	}
}

func memory(t *testing.T, o mem.Options) l2.Adapter {
	t.Helper()
	if o.Capacity == 0 {
		o.Capacity = 1 << 20
	}
	a, err := mem.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// Keys that a tier never gets are a metric, which is there at 0 before, and a warning
// in the log, for each reason.
func TestDroppedKeysAreSeen(t *testing.T) {
	pass := func(d time.Duration) { time.Sleep(d) } // in a bubble
	for _, tt := range []struct {
		reason, remedy string
		run            func(t *testing.T) (*dropping, int)
	}{
		{"backlog", "--l2-store-max-backlog", func(t *testing.T) (*dropping, int) {
			d := openDropping(t, memory(t, mem.Options{Latency: time.Second}), func(o *storage.Options) { o.Store.MaxBacklog = 1 })
			d.put(4) // the first runs, the last waits
			return d, 2
		}},
		{"evicted", "--l1-size-gb", func(t *testing.T) (*dropping, int) {
			d := openDropping(t, memory(t, mem.Options{Latency: 10 * time.Second}))
			d.put(3)
			pass(6 * time.Second) // the first runs, the others are not kept any more
			d.put(3)              // one of them fits, for the others those that wait go
			return d, 2
		}},
		{"retries", "failures_by_reason", func(t *testing.T) (*dropping, int) {
			a, err := fault.New(memory(t, mem.Options{}), fault.Options{StoreErrorRate: 1})
			if err != nil {
				t.Fatal(err)
			}
			d := openDropping(t, a)
			d.put(3)
			return d, 3
		}},
		{"no_space", "max_capacity_gb", func(t *testing.T) (*dropping, int) {
			d := openDropping(t, memory(t, mem.Options{}), func(o *storage.Options) {
				o.Tiers[0].Settings.Capacity, o.Tiers[0].Settings.Eviction = 2*dropSize+1000, &l2.Eviction{Policy: l2.PolicyNoop, Watermark: 0.8, Ratio: 0.2}
			})
			d.put(3)
			return d, 1
		}},
		{"no_space", "disk_min_free_gb", func(t *testing.T) (*dropping, int) {
			a, err := fs.Open(t.Context(), fs.Options{BasePath: t.TempDir(), MinFree: 1 << 60})
			if err != nil {
				t.Fatal(err)
			}
			d := openDropping(t, a)
			d.put(2)
			return d, 2
		}},
		{"too_large", "--chunk-size", func(t *testing.T) (*dropping, int) {
			d := openDropping(t, memory(t, mem.Options{Capacity: dropSize}))
			d.put(2)
			return d, 2
		}},
		{"shutdown", "--shutdown-timeout-seconds", func(t *testing.T) (*dropping, int) {
			d := openDropping(t, memory(t, mem.Options{Latency: 20 * time.Second}), func(o *storage.Options) { o.DrainTimeout = time.Second })
			d.put(3)
			d.scraped() // shows the series at 0: a closed manager has no tiers to show
			if err := d.m.Close(t.Context()); err != nil {
				t.Error(err)
			}
			return d, 3
		}},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				leak.Check(t)
				d, n := tt.run(t)
				pass(2 * time.Minute) // for what is told of a minute after the first
				d.expect(tt.reason, n, tt.remedy)
			})
		})
	}
}

// However many keys a tier does not get, the log has a warning a minute; the last one
// comes without a further loss, or when the manager closes.
func TestDroppedKeysAreToldOnceAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		leak.Check(t)
		d := openDropping(t, memory(t, mem.Options{Capacity: dropSize}))
		warnings := func() int { return strings.Count(d.log.String(), "level=WARN") }
		check := func(when string, lines, keys int) {
			t.Helper()
			synctest.Wait()
			if got := warnings(); got != lines {
				t.Errorf("%s: %d warnings, want %d:\n%s", when, got, lines, d.log.String())
			}
			if last := fmt.Sprintf("keys=%d\n", keys); !strings.HasSuffix(d.log.String(), last) {
				t.Errorf("%s: the log ends with %q, want %q", when, d.log.String(), last)
			}
		}
		d.put(1)
		check("the first", 1, 1)
		for range 59 {
			time.Sleep(time.Second)
			d.put(1)
		}
		check("within a minute", 1, 1)
		time.Sleep(time.Second)
		check("after a minute", 2, 59)
		time.Sleep(time.Hour)
		check("nothing for an hour", 2, 59)
		d.put(1)
		check("after the hour", 3, 1)
		d.put(4)
		check("right after it", 3, 1)
		if err := d.m.Close(t.Context()); err != nil {
			t.Error(err)
		}
		check("closed", 4, 4)
	})
}
