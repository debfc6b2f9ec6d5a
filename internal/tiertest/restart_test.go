package tiertest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lmcache-go/lmcache/eventbus"
	"github.com/lmcache-go/lmcache/internal/leak"
	"github.com/lmcache-go/lmcache/internal/servertest"
	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/l2/resp"
	"github.com/lmcache-go/lmcache/l2/s3"
	"github.com/lmcache-go/lmcache/observe"
	"github.com/lmcache-go/lmcache/observe/export"
	"github.com/lmcache-go/lmcache/storage"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// states writes down how breakers change.
type states struct {
	mu   sync.Mutex
	list []string
}

func (*states) Name() string { return "states" }

func (s *states) Subscribe(sub *eventbus.Subscription) {
	eventbus.On(sub, func(e storage.L2AdapterState, _ time.Time) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.list = append(s.list, string(e.From)+" -> "+string(e.To))
	})
}

// into is how often a state began.
func (s *states) into(state storage.BreakerState) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, change := range s.list {
		if strings.HasSuffix(change, " -> "+string(state)) {
			n++
		}
	}
	return n
}

func (s *states) has(change string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Contains(s.list, change)
}

// buffer is a log that many write to.
type buffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// REQ-S56: a server that is killed in the middle of a workload and started again costs
// hits and nothing else. Event, log and metric tell of it, and the tier comes back by
// itself.
func TestREQ_S56_ServersRestart(t *testing.T) {
	t.Run(onRedis, func(t *testing.T) {
		s := servertest.Redis(t)
		a, err := resp.Open(resp.Options{Addrs: []string{s.Addr}, RequestTimeout: time.Second, ConnectTimeout: time.Second})
		if err != nil {
			t.Fatal(err)
		}
		restart(t, s, a)
	})
	t.Run(onS3, func(t *testing.T) {
		s := servertest.S3(t, "")
		a, err := s3.Open(s3Options(s.Addr))
		if err != nil {
			t.Fatal(err)
		}
		restart(t, s, a)
	})
}

func restart(t *testing.T, server *servertest.Server, a l2.Adapter) {
	t.Helper()
	leak.Check(t)
	seen := &states{}
	bus := eventbus.New(eventbus.Options{Queue: 1 << 18})
	if _, err := bus.Subscribe(seen); err != nil {
		t.Fatal(err)
	}
	var log buffer
	const ms = time.Millisecond
	o := storage.Options{
		L1: l1.Options{Bytes: 256 << 10, Align: 512, ReadTTL: 20 * time.Second}, Bus: bus,
		Logger:   slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelInfo})),
		Prefetch: storage.PrefetchControl{Timeout: time.Second},
		Tiers: []storage.Tier{{Name: "server", Adapter: a, Settings: l2.Settings{
			Workers: 4, Breaker: l2.Breaker{Cooldown: 20 * ms, MaxCooldown: 100 * ms}, Retry: l2.Retry{Backoff: 5 * ms},
			Timeouts: l2.Timeouts{Store: 2 * time.Second, Load: 2 * time.Second, Lookup: time.Second},
		}}},
	}
	m, err := storage.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	shown := breakerMetrics(t, bus, m)
	for _, state := range []storage.BreakerState{storage.BreakerClosed, storage.BreakerOpen, storage.BreakerHalfOpen} {
		shown("changes_total", state, seen.into(state))
	}
	shown("state", storage.BreakerClosed, 1)
	s := &soak{t: t, tiers: 1, counts: map[string]int{}, layouts: []kv.Layout{rawLayout(t, 4096), rawLayout(t, 10_007)}}
	ctx, stop := context.WithCancel(t.Context())
	var clients sync.WaitGroup
	for i := range 3 {
		// Of a writer that forgot its lease, everybody else would wait a second for every object.
		c := &client{s: s, m: m, ttl: o.L1.ReadTTL, rng: rand.New(rand.NewPCG(56, uint64(i))), tidy: true}
		clients.Go(func() {
			for ctx.Err() == nil {
				s.turns.Add(1)
				keys, layout := c.prompt()
				c.request(ctx, keys, layout)
			}
		})
	}
	loaded := func() int {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.counts["objects from tiers"]
	}
	servertest.Eventually(t, waiting("nothing is loaded", func() bool { return loaded() > 20 }))
	for range 2 {
		server.Kill()
		// One that is half open may wait for an answer of the server before it was killed.
		servertest.Eventually(t, waiting("the breaker does not open", func() bool { return m.Stats().Tiers[0].Breaker == storage.BreakerOpen }))
		shown("state", storage.BreakerClosed, 0) // and not before the server is back
		server.Restart()
		servertest.Eventually(t, waiting("the tier does not come back", func() bool { return m.Stats().Tiers[0].Breaker == storage.BreakerClosed }))
		before := loaded()
		servertest.Eventually(t, waiting("nothing is loaded after the restart", func() bool { return loaded() > before+20 }))
		// As long as there is traffic: a tier whose last call timed out is not, for up to a minute.
		servertest.Eventually(t, waiting("the tier is not healthy", func() bool { return m.Stats().Tiers[0].Healthy }))
	}
	stop()
	clients.Wait()
	flush, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := m.Flush(flush); err != nil {
		t.Errorf("what was stored does not reach the server: %v", err)
	}
	s.calm("after the restarts", m, true)
	if st := m.Stats().Tiers[0]; len(st.FailuresByReason) == 0 {
		t.Error("no failure was counted")
	}
	shown("state", storage.BreakerClosed, 1)
	if err := m.Close(context.WithoutCancel(t.Context())); err != nil {
		t.Error(err)
	}
	if err := bus.Close(context.WithoutCancel(t.Context())); err != nil {
		t.Error(err)
	}
	for _, state := range []storage.BreakerState{storage.BreakerClosed, storage.BreakerOpen, storage.BreakerHalfOpen} {
		shown("changes_total", state, seen.into(state))
	}
	for _, change := range []string{"closed -> open", "open -> half_open", "half_open -> closed"} {
		if !seen.has(change) {
			t.Errorf("no event of %s", change)
		}
	}
	for _, line := range []string{"a tier of the cache is not asked for a while", "a tier of the cache is tried again", "a tier of the cache is back"} {
		if !strings.Contains(log.String(), line) {
			t.Errorf("the log has no line %q", line)
		}
	}
	t.Logf("%d requests, %d objects from the server, %d reads verified", s.turns.Load(), loaded(), s.verified.Load())
}

// breakerMetrics observes a bus and a manager of one tier. What it returns scrapes,
// and compares a value of l2_breaker_changes or l2_breaker_state.
func breakerMetrics(t *testing.T, bus *eventbus.Bus, m *storage.Manager) (shown func(metric string, state storage.BreakerState, want int)) {
	t.Helper()
	metrics, err := export.NewMetrics(export.Options{})
	if err != nil {
		t.Fatal(err)
	}
	ob, err := observe.Start(bus, metrics.MeterProvider(), observe.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := ob.Watch(observe.Sources{Storage: m, Bus: bus}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(ob.Close(), metrics.Shutdown(context.WithoutCancel(t.Context()))); err != nil {
			t.Error(err)
		}
	})
	return func(metric string, state storage.BreakerState, want int) {
		t.Helper()
		page := httptest.NewRecorder()
		metrics.Handler().ServeHTTP(page, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil))
		series := fmt.Sprintf("lmcache_mp_l2_breaker_%s{adapter_index=\"0\",l2_name=\"server\",state=%q} ", metric, state)
		_, rest, ok := strings.Cut(page.Body.String(), "\n"+series)
		if got, _, _ := strings.Cut(rest, "\n"); !ok || got != strconv.Itoa(want) {
			t.Errorf("%s%q, want %d", series, got, want)
		}
	}
}

// waiting makes an error of what is not so yet.
func waiting(what string, is func() bool) func() error {
	return func() error {
		if !is() {
			return errors.New(what)
		}
		return nil
	}
}
