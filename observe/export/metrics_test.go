package export_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/metric"

	"github.com/lmcache-go/lmcache/observe/export"
)

// open makes a provider, and shuts it down with the test.
func open(t testing.TB, o export.Options) *export.Metrics {
	t.Helper()
	m, err := export.NewMetrics(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Shutdown(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	return m
}

// listen serves m on a free port of the loopback and returns the URL.
func listen(t testing.TB, m *export.Metrics) string {
	t.Helper()
	s, err := m.Listen(t.Context(), "127.0.0.1", 0)
	if err != nil {
		t.Fatal(err)
	}
	return s.URL()
}

// fetch gets a URL without any help of the transport.
func fetch(t testing.TB, url string, header http.Header) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	maps.Copy(req.Header, header)
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
	return res, string(body)
}

// addOne moves one counter with an attribute.
func addOne(t testing.TB, m *export.Metrics, name, unit string) {
	t.Helper()
	c, err := m.MeterProvider().Meter("some.scope", metric.WithInstrumentationVersion("1")).Int64Counter(name, metric.WithUnit(unit))
	if err != nil {
		t.Fatal(err)
	}
	c.Add(t.Context(), 1)
}

var targetInfo = regexp.MustCompile(`(?m)^target_info\{(.*)\} 1$`)

// REQ-O24: the resource is on target_info, and nowhere else; no scope labels.
func TestResource(t *testing.T) {
	empty, given := "", `rack "7"`
	uuid := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	for _, c := range []struct {
		name, service, attributes string
		instance                  *string
		wantInstance, wantService string // wantInstance "uuid": any random one
	}{
		{name: "defaults", wantInstance: "uuid", wantService: "lmcache-go"},
		{name: "empty instance", instance: &empty, wantInstance: "", wantService: "lmcache-go"},
		{name: "given instance", instance: &given, wantInstance: `rack \"7\"`, wantService: "lmcache-go"},
		{name: "service from the environment", service: "mine", wantInstance: "uuid", wantService: "mine"},
		{
			name: "attributes from the environment", attributes: "service.instance.id=env,deployment.environment=lab",
			wantInstance: "env", wantService: "lmcache-go",
		},
		{
			name: "the option wins", attributes: "service.instance.id=env,deployment.environment=lab", instance: &given,
			wantInstance: `rack \"7\"`, wantService: "lmcache-go",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv("OTEL_SERVICE_NAME", c.service)
			t.Setenv("OTEL_RESOURCE_ATTRIBUTES", c.attributes)
			m := open(t, export.Options{InstanceID: c.instance})
			addOne(t, m, "lmcache_mp.some_keys", "")
			_, body := fetch(t, listen(t, m), nil)
			labels := targetInfo.FindStringSubmatch(body)
			if labels == nil {
				t.Fatalf("no target_info:\n%s", body)
			}
			got := make(map[string]string)
			for _, pair := range regexp.MustCompile(`(\w+)="((?:[^"\\]|\\.)*)"`).FindAllStringSubmatch(labels[1], -1) {
				got[pair[1]] = pair[2]
			}
			if id, ok := got["service_instance_id"]; !ok || (c.wantInstance != "uuid" && id != c.wantInstance) ||
				(c.wantInstance == "uuid" && !uuid.MatchString(id)) {
				t.Errorf("service_instance_id %q (there: %v), want %s", id, ok, c.wantInstance)
			}
			if got["service_name"] != c.wantService {
				t.Errorf("service_name %q, want %q", got["service_name"], c.wantService)
			}
			if c.attributes != "" && got["deployment_environment"] != "lab" {
				t.Errorf("labels %v lack the environment's", got)
			}
			for line := range strings.Lines(body) {
				if !strings.HasPrefix(line, "target_info") && !strings.HasPrefix(line, "#") && strings.ContainsAny(line, "{") {
					t.Errorf("labels on a series: %s", line)
				}
			}
			if !strings.Contains(body, "lmcache_mp_some_keys_total 1\n") || strings.Contains(body, "otel_scope") {
				t.Errorf("scrape:\n%s", body)
			}
		})
	}
}

// One random instance id names the process, whatever is made in it.
func TestOneInstanceIDPerProcess(t *testing.T) {
	if a, b := open(t, export.Options{}), open(t, export.Options{}); a.Resource() != b.Resource() || a.Resource() == "" {
		t.Errorf("%q and %q", a.Resource(), b.Resource())
	}
}

// No unit becomes a suffix, and _total is there once.
func TestNames(t *testing.T) {
	m := open(t, export.Options{})
	for _, unit := range []string{"s", "tokens", "{chunks}", "GB/s", "1", "By"} {
		addOne(t, m, "x.a_"+strings.Trim(strings.ReplaceAll(unit, "/", "_"), "{}"), unit)
	}
	addOne(t, m, "x.b_total", "")
	_, body := fetch(t, listen(t, m), nil)
	for _, want := range []string{"x_a_s_total 1", "x_a_tokens_total 1", "x_a_chunks_total 1", "x_a_GB_s_total 1", "x_a_1_total 1", "x_a_By_total 1", "x_b_total 1"} {
		if !strings.Contains(body, "\n"+want+"\n") {
			t.Errorf("no %q in:\n%s", want, body)
		}
	}
}

// REQ-O23: the URL in the log answers.
func TestLogLine(t *testing.T) {
	var log bytes.Buffer
	m := open(t, export.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	s, err := m.Listen(t.Context(), "0.0.0.0", 0)
	if err != nil {
		t.Fatal(err)
	}
	url := s.URL()
	if !strings.HasPrefix(url, "http://0.0.0.0:") {
		t.Errorf("URL %s", url)
	}
	want := "OTel MeterProvider initialised with Prometheus fallback (" + url + "), resource=" + m.Resource()
	if !strings.Contains(log.String(), want) {
		t.Errorf("log lacks %q:\n%s", want, log.String())
	}
	if res, _ := fetch(t, url, nil); res.StatusCode != http.StatusOK {
		t.Errorf("%s answers %d", url, res.StatusCode)
	}
}

// REQ-O23: a taken port refuses the start and names the port.
func TestBusyPort(t *testing.T) {
	m := open(t, export.Options{})
	s, err := m.Listen(t.Context(), "127.0.0.1", 0)
	if err != nil {
		t.Fatal(err)
	}
	port := s.Addr().(*net.TCPAddr).Port
	_, err = m.Listen(t.Context(), "127.0.0.1", port)
	if err == nil || !strings.Contains(err.Error(), "port "+strconv.Itoa(port)+" is in use") || !strings.Contains(err.Error(), "another port") {
		t.Errorf("error %v, want one that names port %d and says what to do", err, port)
	}
	if _, err = m.Listen(t.Context(), "not an address", 1); err == nil || !strings.Contains(err.Error(), "not an address") {
		t.Errorf("bad host: %v", err)
	}
}

func TestFormats(t *testing.T) {
	m := open(t, export.Options{})
	addOne(t, m, "x.keys", "")
	url := listen(t, m)
	res, plain := fetch(t, url, nil)
	if got := res.Header.Get("Content-Type"); !strings.HasPrefix(got, "text/plain; version=0.0.4") {
		t.Errorf("content type %q", got)
	}
	res, packed := fetch(t, url, http.Header{"Accept-Encoding": {"gzip"}})
	if res.Header.Get("Content-Encoding") != "gzip" {
		t.Fatal("not compressed")
	}
	zr, err := gzip.NewReader(strings.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	if unpacked, err := io.ReadAll(zr); err != nil || string(unpacked) != plain {
		t.Errorf("compressed scrape differs (%v)", err)
	}
	res, open := fetch(t, url, http.Header{"Accept": {"application/openmetrics-text; version=1.0.0"}})
	if got := res.Header.Get("Content-Type"); !strings.HasPrefix(got, "application/openmetrics-text; version=1.0.0") {
		t.Errorf("content type %q", got)
	}
	if !strings.HasSuffix(open, "# EOF\n") || !strings.Contains(open, "x_keys_total 1") {
		t.Errorf("OpenMetrics:\n%s", open)
	}
}

// The listener serves /metrics, to be read, and nothing else.
func TestReadOnly(t *testing.T) {
	m := open(t, export.Options{})
	url := listen(t, m)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	res, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusMethodNotAllowed || res.Header.Get("Allow") != "GET, HEAD" {
		t.Errorf("POST: %d, allow %q", res.StatusCode, res.Header.Get("Allow"))
	}
	if res, _ := fetch(t, strings.TrimSuffix(url, "/metrics")+"/", nil); res.StatusCode != http.StatusNotFound {
		t.Errorf("/: %d", res.StatusCode)
	}
}

// go_ and process_ come if asked for; a host's own registry gets all.
func TestProcessMetrics(t *testing.T) {
	reg := prometheus.NewRegistry()
	m := open(t, export.Options{Process: true, Registry: reg})
	addOne(t, m, "x.keys", "")
	_, body := fetch(t, listen(t, m), nil)
	for _, want := range []string{"go_goroutines ", "process_open_fds ", "x_keys_total 1"} {
		if !strings.Contains(body, "\n"+want) {
			t.Errorf("no %q", want)
		}
	}
	families, err := reg.Gather()
	if err != nil || len(families) == 0 {
		t.Errorf("own registry: %d families, %v", len(families), err)
	}
	if _, err := export.NewMetrics(export.Options{Process: true, Registry: reg}); err == nil {
		t.Error("the same metrics twice in one registry")
	}
	_, body = fetch(t, listen(t, open(t, export.Options{})), nil)
	if strings.Contains(body, "go_goroutines") {
		t.Error("go_ without being asked for")
	}
}

// A metric that cannot be shown does not cost the others.
func TestBrokenCollector(t *testing.T) {
	var log bytes.Buffer
	reg := prometheus.NewRegistry()
	m := open(t, export.Options{Registry: reg, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	addOne(t, m, "x.keys", "")
	reg.MustRegister(broken{})
	res, body := fetch(t, listen(t, m), nil)
	if res.StatusCode != http.StatusOK || !strings.Contains(body, "x_keys_total 1") {
		t.Errorf("%d:\n%s", res.StatusCode, body)
	}
	if !strings.Contains(log.String(), "cannot be read") {
		t.Errorf("not logged:\n%s", log.String())
	}
}

type broken struct{}

func (broken) Describe(chan<- *prometheus.Desc) {}

func (broken) Collect(to chan<- prometheus.Metric) {
	to <- prometheus.NewInvalidMetric(prometheus.NewInvalidDesc(errors.New("cannot be read")), errors.New("cannot be read"))
}

func TestShutdown(t *testing.T) {
	m := open(t, export.Options{})
	addOne(t, m, "x.keys", "")
	url := listen(t, m)
	fetch(t, url, nil)
	for range 2 {
		if err := m.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if c, err := new(net.Dialer).DialContext(t.Context(), "tcp", strings.TrimSuffix(strings.TrimPrefix(url, "http://"), "/metrics")); err == nil {
		c.Close()
		t.Error("still listening")
	}
	if _, err := m.Listen(t.Context(), "127.0.0.1", 0); err == nil {
		t.Error("listens after Shutdown")
	}
}

// REQ-O61: a scrape that does not end does not keep Shutdown beyond its deadline.
func TestShutdownDeadline(t *testing.T) {
	reg := prometheus.NewRegistry()
	m, err := export.NewMetrics(export.Options{Registry: reg})
	if err != nil {
		t.Fatal(err)
	}
	entered, release := make(chan struct{}), make(chan struct{})
	reg.MustRegister(&slow{entered: entered, release: release})
	s, err := m.Listen(t.Context(), "127.0.0.1", 0)
	if err != nil {
		t.Fatal(err)
	}
	scraped := make(chan struct{})
	go func() {
		defer close(scraped)
		req, _ := http.NewRequestWithContext(context.WithoutCancel(t.Context()), http.MethodGet, s.URL(), http.NoBody)
		if res, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req); err == nil {
			res.Body.Close()
		}
	}()
	<-entered
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := m.Shutdown(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Shutdown: %v, want %v", err, context.Canceled)
	}
	close(release)
	<-scraped
}

type slow struct{ entered, release chan struct{} }

func (*slow) Describe(chan<- *prometheus.Desc) {}

func (s *slow) Collect(chan<- prometheus.Metric) {
	close(s.entered)
	<-s.release
}
