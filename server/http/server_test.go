package httpserver

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lmcache-go/lmcache"
	"github.com/lmcache-go/lmcache/gpu"
	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/storage"
)

var update = flag.Bool("update", false, "write the golden files")

// fakeEngine gives the Stats it is told to.
type fakeEngine struct {
	mu    sync.Mutex
	stats func() lmcache.Stats
}

func (e *fakeEngine) set(f func() lmcache.Stats) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.stats = f
}

func (e *fakeEngine) Stats() lmcache.Stats {
	e.mu.Lock()
	f := e.stats
	e.mu.Unlock()
	if f == nil {
		return lmcache.Stats{}
	}
	return f()
}

func open(t testing.TB, o Options) *Server {
	t.Helper()
	if o.Addr == "" {
		o.Addr = "127.0.0.1:0"
	}
	if o.Engine == nil {
		o.Engine = &fakeEngine{}
	}
	s, err := Listen(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	return s
}

// do sends a request without any help of the transport, and returns the answer with its whole body.
func do(t testing.TB, s *Server, method, path string, header http.Header) (*http.Response, []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, s.URL()+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	maps.Copy(req.Header, header)
	if host := header.Get("Host"); host != "" {
		req.Host = host
	}
	tr := &http.Transport{DisableCompression: true}
	defer tr.CloseIdleConnections()
	res, err := tr.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, body
}

// get is do for another goroutine than the test's.
func get(t testing.TB, s *Server, path string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL()+path, http.NoBody)
	if err != nil {
		return nil, err
	}
	return (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
}

func TestURL(t *testing.T) {
	for addr, want := range map[string]string{"0.0.0.0:0": "http://0.0.0.0:", "127.0.0.1:0": "http://127.0.0.1:", "localhost:0": "http://127.0.0.1:"} {
		s := open(t, Options{Addr: addr})
		if !strings.HasPrefix(s.URL(), want) || strings.HasSuffix(s.URL(), ":0") {
			t.Errorf("%s: %s", addr, s.URL())
		}
		if res, _ := do(t, s, "GET", "/", nil); res.StatusCode != http.StatusOK {
			t.Errorf("%s answers %d", s.URL(), res.StatusCode)
		}
	}
}

// REQ-W39, for the routes that exist.
func TestRoutes(t *testing.T) {
	s := open(t, Options{
		Version: "0.1.0", Commit: "abc123",
		Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/plain; version=0.0.4")
			fmt.Fprint(w, "metric 1\n")
		}),
	})
	const js = "application/json"
	for _, c := range []struct {
		method, path, ctype string
		status              int
		body, allow         string
	}{
		{"GET", "/", js, 200, `{"status":"ok","service":"LMCache HTTP API"}`, ""},
		{"GET", "/healthcheck", js, 200, `{"status":"healthy"}`, ""},
		{"GET", "/livez", js, 200, `{"status":"ok"}`, ""},
		{"GET", "/readyz", js, 200, `{"status":"ok"}`, ""},
		{"GET", "/version", js, 200, `"0.1.0-abc123"`, ""},
		{"GET", "/lmc_version", js, 200, `"0.5.6"`, ""},
		{"GET", "/commit_id", js, 200, `"abc123"`, ""},
		{"GET", "/metrics", "text/plain; version=0.0.4", 200, "metric 1\n", ""},
		{"HEAD", "/healthcheck", js, 200, "", ""},
		{"GET", "/nowhere", js, 404, `{"detail":"Not Found"}`, ""},
		{"GET", "/status/more", js, 404, `{"detail":"Not Found"}`, ""},
		{"POST", "/nowhere", js, 404, `{"detail":"Not Found"}`, ""},
		{"POST", "/status", js, 405, `{"detail":"Method Not Allowed"}`, "GET, HEAD"},
		{"DELETE", "/", js, 405, `{"detail":"Method Not Allowed"}`, "GET, HEAD"},
	} {
		t.Run(c.method+" "+c.path, func(t *testing.T) {
			res, body := do(t, s, c.method, c.path, nil)
			if res.StatusCode != c.status || string(body) != c.body {
				t.Errorf("got %d %s, want %d %s", res.StatusCode, body, c.status, c.body)
			}
			if got := res.Header.Get("Content-Type"); got != c.ctype {
				t.Errorf("content type %q, want %q", got, c.ctype)
			}
			if got := res.Header.Get("Allow"); got != c.allow {
				t.Errorf("allow %q, want %q", got, c.allow)
			}
		})
	}
}

func TestWithoutMetrics(t *testing.T) {
	s := open(t, Options{})
	if res, _ := do(t, s, "GET", "/metrics", nil); res.StatusCode != http.StatusNotFound {
		t.Errorf("status %d, want 404", res.StatusCode)
	}
	if _, body := do(t, s, "GET", "/version", nil); string(body) != `"unknown"` {
		t.Errorf("version %s", body)
	}
}

func TestUnhealthy(t *testing.T) {
	for _, c := range []struct {
		name, why string
		stats     lmcache.Stats
	}{
		{"engine closed", "the engine is closed", lmcache.Stats{Closed: true}},
		{"storage closed", "the storage manager is closed", lmcache.Stats{Storage: storage.Stats{Closed: true}}},
		{
			"device failed", "the device of worker 2 (fake:1) has failed",
			lmcache.Stats{Workers: []lmcache.WorkerStats{{EngineID: "1", Healthy: true}, {EngineID: "2", Device: "fake:1"}}},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := &fakeEngine{}
			e.set(func() lmcache.Stats { return c.stats })
			s := open(t, Options{Engine: e})
			res, body := do(t, s, "GET", "/healthcheck", nil)
			if want := `{"status":"unhealthy","reason":"` + c.why + `"}`; res.StatusCode != http.StatusServiceUnavailable || string(body) != want {
				t.Errorf("healthcheck: %d %s, want 503 %s", res.StatusCode, body, want)
			}
			res, body = do(t, s, "GET", "/readyz", nil)
			want := `{"status":"not ready","checks":[{"name":"engine","ok":false,"detail":"` + c.why +
				`"},{"name":"server","ok":true,"detail":""}]}`
			if res.StatusCode != http.StatusServiceUnavailable || string(body) != want {
				t.Errorf("readyz: %d %s, want 503 %s", res.StatusCode, body, want)
			}
			if res, _ = do(t, s, "GET", "/livez", nil); res.StatusCode != http.StatusOK {
				t.Errorf("livez: %d", res.StatusCode)
			}
			var st struct {
				IsHealthy bool `json:"is_healthy"`
				Ready     bool `json:"ready"`
			}
			if res, body = do(t, s, "GET", "/status", nil); res.StatusCode != http.StatusOK || json.Unmarshal(body, &st) != nil || st.IsHealthy || st.Ready {
				t.Errorf("status: %d %s", res.StatusCode, body)
			}
		})
	}
}

func TestFurtherChecks(t *testing.T) {
	failing := func(context.Context) []Check {
		return []Check{{Name: "loop", OK: true}, {Name: "disk", Detail: "read-only"}}
	}
	s := open(t, Options{Ready: failing, Live: failing})
	for path, want := range map[string]string{
		"/livez": `{"status":"not ready","checks":[{"name":"loop","ok":true,"detail":""},{"name":"disk","ok":false,"detail":"read-only"}]}`,
		"/readyz": `{"status":"not ready","checks":[{"name":"engine","ok":true,"detail":""},{"name":"server","ok":true,"detail":""},` +
			`{"name":"loop","ok":true,"detail":""},{"name":"disk","ok":false,"detail":"read-only"}]}`,
	} {
		if res, body := do(t, s, "GET", path, nil); res.StatusCode != http.StatusServiceUnavailable || string(body) != want {
			t.Errorf("%s: %d %s, want 503 %s", path, res.StatusCode, body, want)
		}
	}
}

// REQ-O42: a loop that stands, of the engine or another one, makes the server not
// ready and not alive, by name.
func TestREQ_O42_staleLoop(t *testing.T) {
	e := &fakeEngine{}
	engine, bus := lmcache.LoopStats{Name: "l1_evictor"}, lmcache.LoopStats{Name: "event_bus"}
	e.set(func() lmcache.Stats { return lmcache.Stats{Loops: []lmcache.LoopStats{engine}} })
	s := open(t, Options{Engine: e, Loops: func() []lmcache.LoopStats { return []lmcache.LoopStats{bus} }})
	loops := func(a, b string) string {
		check := func(name, detail string) string {
			return fmt.Sprintf(`{"name":%q,"ok":%v,"detail":%q}`, "loop "+name, detail == "", detail)
		}
		return check("l1_evictor", a) + "," + check("event_bus", b) + "]}"
	}
	const long = "has something to do and has not got on for 11 seconds"
	for _, tt := range []struct {
		engine, bus time.Duration
		want        string // empty: all is well
	}{
		{0, 0, ""},
		{10 * time.Second, 10 * time.Second, ""},
		{11 * time.Second, time.Second, loops(long, "")},
		{0, 11 * time.Second, loops("", long)},
	} {
		engine.Stalled, bus.Stalled = tt.engine, tt.bus
		for path, before := range map[string]string{
			"/livez": "", "/readyz": `{"name":"engine","ok":true,"detail":""},{"name":"server","ok":true,"detail":""},`,
		} {
			status, want := http.StatusOK, `{"status":"ok"}`
			if tt.want != "" {
				status, want = http.StatusServiceUnavailable, `{"status":"not ready","checks":[`+before+tt.want
			}
			if res, body := do(t, s, "GET", path, nil); res.StatusCode != status || string(body) != want {
				t.Errorf("%s with %v and %v: %d %s\nwant %d %s", path, tt.engine, tt.bus, res.StatusCode, body, status, want)
			}
		}
	}
}

// An engine that panics costs its own answers only.
func TestPanic(t *testing.T) {
	var log bytes.Buffer
	e := &fakeEngine{}
	e.set(func() lmcache.Stats { panic("torn") })
	s := open(t, Options{Engine: e, Logger: slog.New(slog.NewTextHandler(&lockedWriter{w: &log}, nil))})
	if res, body := do(t, s, "GET", "/status", nil); res.StatusCode != http.StatusServiceUnavailable || string(body) != `{"error":"the engine's state cannot be read"}` {
		t.Errorf("status: %d %s", res.StatusCode, body)
	}
	if res, body := do(t, s, "GET", "/healthcheck", nil); res.StatusCode != http.StatusInternalServerError || string(body) != `{"detail":"internal error"}` {
		t.Errorf("healthcheck: %d %s", res.StatusCode, body)
	}
	if res, _ := do(t, s, "GET", "/", nil); res.StatusCode != http.StatusOK {
		t.Errorf("/: %d", res.StatusCode)
	}
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := strings.Count(log.String(), "torn"); got != 2 {
		t.Errorf("logged %d times:\n%s", got, log.String())
	}
}

type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(b)
}

// REQ-W40, the part without a token.
func TestHostAndOrigin(t *testing.T) {
	s := open(t, Options{AllowedHosts: []string{"Cache.Example"}})
	_, port, err := net.SplitHostPort(s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		host, origin string
		status       int
	}{
		{"", "", 200},
		{"127.0.0.1:" + port, "", 200},
		{"127.0.0.1", "", 200},
		{"127.0.0.2:1", "", 200},
		{"[::1]:" + port, "", 200},
		{"localhost:" + port, "", 200},
		{"LOCALHOST", "", 200},
		{"cache.example:80", "", 200},
		{"evil.example", "", 403},
		{"evil.example:" + port, "", 403},
		{"localhost.evil.example", "", 403},
		{"10.0.0.1:" + port, "", 403},
		{"localhost:" + port, "http://localhost:" + port, 200},
		{"localhost:" + port, "http://evil.example", 403},
		{"localhost:" + port, "http://localhost:1", 403},
		{"localhost:" + port, "null", 403},
		{"localhost:" + port, "::", 403},
	} {
		h := http.Header{}
		if c.host != "" {
			h.Set("Host", c.host)
		}
		if c.origin != "" {
			h.Set("Origin", c.origin)
		}
		if res, body := do(t, s, "GET", "/healthcheck", h); res.StatusCode != c.status {
			t.Errorf("Host %q, Origin %q: %d %s, want %d", c.host, c.origin, res.StatusCode, body, c.status)
		}
	}
}

// A listener on all addresses may be called by any of them, and by the machine's name.
func TestGuardOfWildcard(t *testing.T) {
	name, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	g := newGuard("0.0.0.0:8080", &net.TCPAddr{IP: net.IPv4zero, Port: 8080}, nil)
	for host, want := range map[string]bool{
		"10.1.2.3:8080": true, "[fe80::1]:8080": true, "localhost": true, name: true, "evil.example": false, "": false,
	} {
		if got := g.knows(host); got != want {
			t.Errorf("%q: %v, want %v", host, got, want)
		}
	}
	g = newGuard("10.1.2.3:8080", &net.TCPAddr{IP: net.IPv4(10, 1, 2, 3), Port: 8080}, nil)
	for host, want := range map[string]bool{"10.1.2.3": true, "10.1.2.4": false, "127.0.0.1": false, "localhost": false} {
		if got := g.knows(host); got != want {
			t.Errorf("bound to one address: %q: %v, want %v", host, got, want)
		}
	}
}

func TestGzip(t *testing.T) {
	s := open(t, Options{})
	_, plain := do(t, s, "GET", "/status", nil)
	for accept, want := range map[string]string{
		"gzip": "gzip", "br, GZIP;q=0.5": "gzip", "gzip;q=0": "", "identity": "", "xgzip": "", "gzip;q=x": "",
	} {
		res, body := do(t, s, "GET", "/status", http.Header{"Accept-Encoding": {accept}})
		if got := res.Header.Get("Content-Encoding"); got != want {
			t.Errorf("Accept-Encoding %q: encoding %q, want %q", accept, got, want)
			continue
		}
		if want == "" {
			continue
		}
		zr, err := gzip.NewReader(bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		unpacked, err := io.ReadAll(zr)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(plain), string(unpacked)); diff != "" {
			t.Errorf("compressed answer differs:\n%s", diff)
		}
	}
	if res, _ := do(t, s, "GET", "/", http.Header{"Accept-Encoding": {"gzip"}}); res.Header.Get("Content-Encoding") != "" {
		t.Error("a short answer is compressed")
	}
}

func TestBusyPort(t *testing.T) {
	s := open(t, Options{})
	_, err := Listen(t.Context(), Options{Addr: s.Addr().String(), Engine: &fakeEngine{}})
	if err == nil || !strings.Contains(err.Error(), s.Addr().String()) || !strings.Contains(err.Error(), "in use") {
		t.Errorf("error %v, want one that names %s", err, s.Addr())
	}
	if _, err := Listen(t.Context(), Options{Addr: "no port", Engine: &fakeEngine{}}); err == nil || !strings.Contains(err.Error(), "no port") {
		t.Errorf("bad address: %v", err)
	}
	if _, err := Listen(t.Context(), Options{}); !errors.Is(err, errNoEngine) {
		t.Errorf("without an engine: %v", err)
	}
}

// Close lets a request in progress end, and says that it is closing meanwhile.
func TestCloseDrains(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	s := open(t, Options{Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(entered)
		<-release
		fmt.Fprint(w, "late")
	})})
	answered := make(chan string)
	go func() {
		res, err := get(t, s, "/metrics")
		if err != nil {
			answered <- err.Error()
			return
		}
		defer res.Body.Close()
		body, _ := io.ReadAll(res.Body)
		answered <- string(body)
	}()
	<-entered
	closed := make(chan error)
	go func() { closed <- s.Close(context.WithoutCancel(t.Context())) }()
	for { // until the listener is gone
		c, err := new(net.Dialer).DialContext(t.Context(), "tcp", s.Addr().String())
		if err != nil {
			break
		}
		c.Close()
	}
	if checks := s.readiness(t.Context(), lmcache.Stats{}); allOK(checks) || checks[1].Detail != "closing" {
		t.Errorf("ready while closing: %+v", checks)
	}
	select {
	case err := <-closed:
		t.Fatalf("Close returned before the request: %v", err)
	default:
	}
	close(release)
	if body := <-answered; body != "late" {
		t.Errorf("answer %q", body)
	}
	if err := <-closed; err != nil {
		t.Error(err)
	}
	if err := s.Close(t.Context()); err != nil {
		t.Errorf("second Close: %v", err)
	}
}

// A deadline cuts off what does not end.
func TestCloseDeadline(t *testing.T) {
	entered := make(chan struct{})
	s := open(t, Options{Metrics: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(entered)
		<-r.Context().Done()
	})})
	go func() {
		if res, err := get(t, s, "/metrics"); err == nil {
			res.Body.Close()
		}
	}()
	<-entered
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Close(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Close: %v, want %v", err, context.Canceled)
	}
}

// Every handler has a deadline.
func TestDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := deadline(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
		w := httptest.NewRecorder()
		start := time.Now()
		h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", http.NoBody))
		if took := time.Since(start); took != 30*time.Second {
			t.Errorf("answered after %v", took)
		}
		if w.Code != 503 || w.Body.String() != `{"detail":"the handler took too long"}` || w.Header().Get("Content-Type") != "application/json" {
			t.Errorf("%d %s %v", w.Code, w.Body, w.Header())
		}
	})
}

// REQ-W27: a connection beyond the limit waits until one is free.
func TestConnectionLimit(t *testing.T) {
	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := newLimit(ln, 2)
	accepted := make(chan net.Conn)
	ended := make(chan error)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				ended <- err
				return
			}
			accepted <- c
		}
	}()
	for range 3 {
		c, err := new(net.Dialer).DialContext(t.Context(), "tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
	}
	a, b := <-accepted, <-accepted
	if len(l.slots) != 2 {
		t.Fatalf("%d slots taken, want 2", len(l.slots))
	}
	a.Close()
	a.Close() // gives back one slot only
	c := <-accepted
	if len(l.slots) != 2 {
		t.Errorf("%d slots taken, want 2", len(l.slots))
	}
	l.Close()
	if err := <-ended; !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept after Close: %v", err)
	}
	b.Close()
	c.Close()
	if len(l.slots) != 0 {
		t.Errorf("%d slots taken, want 0", len(l.slots))
	}
}

func TestAccessLog(t *testing.T) {
	var log bytes.Buffer
	s := open(t, Options{Logger: slog.New(slog.NewTextHandler(&lockedWriter{w: &log}, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	do(t, s, "GET", "/nowhere", nil)
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"HTTP server listening on " + s.URL(), `level=DEBUG msg="HTTP GET /nowhere 404"`} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("log lacks %s:\n%s", want, log.String())
		}
	}
}

func stats() lmcache.Stats {
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	return lmcache.Stats{
		Storage: storage.Stats{Prefetches: 2, L1: l1.Stats{
			CapacityBytes: 1 << 20, UsedBytes: 1 << 18, LargestFreeBytes: 1 << 17, Objects: 10, WritingObjects: 3, ReadingObjects: 4,
			StagedBytes: 300, LeasedBytes: 400, OrphanedBytes: 50, EvictableBytes: 600, EvictedObjects: 7, EvictedBytes: 700,
			PrefixBreaks: 1, LeasesExpired: 8, LastEviction: start.Add(30 * time.Second), Leases: 5, SizeClasses: 2,
			BytesBySalt: map[string]int64{"": 100, "tenant": 200}, Policy: "LRU", Mode: l1.ModeExact, Watermark: 1,
			WriteTTL: 600 * time.Second, ReadTTL: 300 * time.Second, IndexBytes: 4096, DeniedObjects: 11, DeniedByQuota: 2,
			Waits: 3, WaitsInVain: 1, Quotas: []l1.Quota{{Salt: "tenant", Bytes: 500, Used: 200}},
			ConfiguredBytes: 1<<20 + 4096, CommittedBytes: 1 << 19, PinnedBytes: 1 << 18, UnpinnedBytes: 8192, ShmName: "lmcache_l1_pool_a",
			Classes: []l1.SizeClass{{Size: 4096, Runs: 3, Used: 5, Free: 2}, {Size: 8192, Runs: 1, Used: 1}}, Shortages: 4,
			LastShortage: l1.Shortage{
				At: start.Add(time.Minute), Owner: "session", Keys: 2, RequestedBytes: 16384, MissingBytes: 8192, FreeBytes: 4096, LargestFreeBytes: 2048,
				StagedBytes: 1, LeasedBytes: 2, OrphanedBytes: 3, EvictableBytes: 4, Classes: []l1.SizeClass{{Size: 4096, Runs: 3, Used: 6, Free: 1}},
			},
		}},
		Sessions: 6, ActivePrefetchJobs: 9, Models: []string{"m"}, ChunkTokens: 256, HashAlgorithm: "blake3", BootID: "0011", StartedAt: start,
		Workers: []lmcache.WorkerStats{{
			EngineID: "1", Model: "m", WorldSize: 2, Rank: 1, Device: "fake:0", ObjectBytes: 65536, Healthy: true,
			KernelGroups: []lmcache.KernelGroupStats{
				{Layers: 2, Blocks: 64, BlockTokens: 8, Heads: 2, HeadSize: 4, DType: "bfloat16", Format: gpu.FormatTwoNBBSNHHS},
				{
					ObjectGroup: 1, EngineGroup: 1, Layers: 3, Blocks: 32, BlockTokens: 16, Heads: 1, HeadSize: 8, DType: "float16",
					Format: gpu.FormatNBBSOneHS, WindowChunks: 4,
				},
			},
			PinnedBytes: 1 << 20, StoresSubmitted: 4, StoresFinished: 3, RetrievesSubmitted: 2, RetrievesFinished: 2, InFlight: 1,
		}},
		HostWorkers: []lmcache.HostWorkerStats{{
			EngineID: "77", Model: "m", WorldSize: 1, ObjectBytes: 1024, BlockTokens: 16, MLA: true, Shared: true, PendingStores: 2, LentReads: 1,
			StoresSubmitted: 5, StoresFinished: 3, RetrievesSubmitted: 4, RetrievesFinished: 3,
			Instance: &lmcache.InstanceStats{ID: 77, LastSeen: start.Add(time.Second), Pinged: true},
		}},
		SessionStates: lmcache.SessionStats{Open: 4, Dormant: 2, Abandoned: 1, KeptBytes: 4096},
		Liveness:      lmcache.LivenessStats{Instances: 1, Reaped: 3, ReapTimeout: 2 * time.Minute, RegistrationGrace: time.Hour}, Quarantined: 2,
	}
}

// Names and order of /status are read by LMCache's tools.
func TestStatusGolden(t *testing.T) {
	st := newStatus(stats(), time.Date(2026, 1, 2, 3, 5, 5, 500_000_000, time.UTC))
	st.Version, st.Ready, st.Listeners = "0.1.0", true, map[string]string{"http": "http://127.0.0.1:8080"}
	w := httptest.NewRecorder()
	answerIndented(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/status", http.NoBody), 200, st)
	const path = "testdata/status.golden.json"
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, w.Body.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), w.Body.String()); diff != "" {
		t.Errorf("differs (-want +got); if it should, run the test with -update:\n%s", diff)
	}
}

// What /status says agrees with what it was built from, and has the server's own part.
func TestStatus(t *testing.T) {
	e := &fakeEngine{}
	e.set(stats)
	s := open(t, Options{Engine: e, Version: "0.1.0", Listeners: map[string]string{"metrics": "http://127.0.0.1:9090/metrics"}})
	_, body := do(t, s, "GET", "/status", nil)
	var got status
	if err := json.Unmarshal(body, &got); err != nil {
		t.Fatal(err)
	}
	if got.StorageManager.L1Manager.TotalObjects != 13 || got.StorageManager.L1Usage != [2]int64{1 << 18, 1 << 20} ||
		got.StorageManager.L1Manager.UsageRatio != 0.25 || *got.StorageManager.EvictionController.LastAge <= 0 {
		t.Errorf("storage manager: %+v", got.StorageManager)
	}
	if !got.Ready || !got.IsHealthy || got.Version != "0.1.0" {
		t.Errorf("ready %v, healthy %v, version %q", got.Ready, got.IsHealthy, got.Version)
	}
	want := map[string]string{"http": s.URL(), "metrics": "http://127.0.0.1:9090/metrics"}
	if diff := cmp.Diff(want, got.Listeners); diff != "" {
		t.Errorf("listeners (-want +got):\n%s", diff)
	}
	if !bytes.HasPrefix(body, []byte("{\n  \"is_healthy\": true,\n")) {
		t.Errorf("not indented by two: %.40s", body)
	}
}

// Memory that is full is healthy; eviction that does not get on is not.
func TestStatusOfEviction(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 5, 0, 0, time.UTC)
	for _, tt := range []struct {
		name    string
		change  func(*l1.Stats)
		healthy bool
		alive   bool
	}{
		{"full", func(s *l1.Stats) { s.UsedBytes = s.CapacityBytes }, true, true},
		{"stalled", func(s *l1.Stats) { s.LastStall = s.LastEviction.Add(time.Second) }, false, true},
		{"got on", func(s *l1.Stats) { s.LastStall = s.LastEviction.Add(-time.Second) }, true, true},
		{"nothing left", func(s *l1.Stats) { s.LastStall, s.EvictableBytes = now, 0 }, true, true},
		{"at work", func(s *l1.Stats) { s.EvictorSince = now.Add(-10 * time.Second) }, true, true},
		{"stuck", func(s *l1.Stats) { s.EvictorSince = now.Add(-11 * time.Second) }, false, false},
	} {
		s := stats()
		tt.change(&s.Storage.L1)
		got := newStorageStatus(s, now)
		e := got.EvictionController
		if whole := newStatus(s, now); whole.IsHealthy != tt.healthy {
			t.Errorf("%s: the whole is healthy: %v", tt.name, whole.IsHealthy)
		}
		if got.IsHealthy != tt.healthy || e.IsHealthy != tt.healthy || e.ThreadAlive != tt.alive || (e.Problem == "") != tt.healthy {
			t.Errorf("%s: %+v", tt.name, e)
		}
	}
}

// Nothing is null where a client expects a list or an object.
func TestStatusOfNothing(t *testing.T) {
	s := open(t, Options{})
	_, body := do(t, s, "GET", "/status", nil)
	for line := range strings.SplitSeq(string(body), "\n") {
		if strings.Contains(line, "null") && !strings.Contains(line, "last_eviction_age_seconds") {
			t.Errorf("null: %s", line)
		}
	}
}
