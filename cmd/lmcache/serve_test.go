package main

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/lmcache-go/lmcache/internal/cli"
	"github.com/lmcache-go/lmcache/internal/leak"
)

// anyPorts lets servers of tests take free ports.
var anyPorts = map[string]string{"LMCACHE_HTTP_PORT": "0", "LMCACHE_PROMETHEUS_PORT": "0", "LMCACHE_PROMETHEUS_HOST": "127.0.0.1"}

var smallServer = []string{"server", "--l1-size-gb", "64MiB", "--eviction-policy", "LRU"}

// server is a server that runs until stop.
type server struct {
	urls map[string]string // "http" and "metrics"
	stop func(cause error) (code int, stderr string)
}

// serve starts a server and waits until it says that it runs.
func serve(t *testing.T, args ...string) *server {
	t.Helper()
	ctx, cancel := context.WithCancelCause(t.Context())
	running, ended := make(chan struct{}), make(chan int, 1)
	r := newRun(t, anyPorts)
	var once bool
	stderr := &watcher{text: "LMCache INFO: http: ", found: func() {
		if !once {
			once = true
			close(running)
		}
	}}
	r.app.IO.Stderr = stderr
	go func() { ended <- r.app.Run(ctx, append(append([]string(nil), smallServer...), args...)) }()
	select {
	case <-running:
	case code := <-ended:
		t.Fatalf("the server ended with exit code %d:\n%s", code, stderr.String())
	}
	s := &server{urls: map[string]string{}}
	for _, m := range regexp.MustCompile(`INFO: (http|metrics): (\S+)`).FindAllStringSubmatch(stderr.String(), -1) {
		s.urls[m[1]] = m[2]
	}
	s.stop = func(cause error) (int, string) {
		cancel(cause)
		return <-ended, stderr.String()
	}
	return s
}

func get(t *testing.T, url string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("GET %s: %s, %v: %s", url, res.Status, err, body)
	}
	return string(body)
}

// REQ-C21: SIGTERM drains and exits 0, and nothing is left running.
func TestREQ_C21_ServerStops(t *testing.T) {
	leak.Check(t)
	s := serve(t)
	if got := get(t, s.urls["http"]+"/healthcheck"); !strings.Contains(got, "healthy") {
		t.Errorf("/healthcheck: %s", got)
	}
	var status struct {
		Healthy   bool   `json:"is_healthy"`
		ChunkSize int    `json:"chunk_size"`
		Version   string `json:"version"`
	}
	if err := json.Unmarshal([]byte(get(t, s.urls["http"]+"/status")), &status); err != nil {
		t.Fatal(err)
	}
	if !status.Healthy || status.ChunkSize != 256 || status.Version != readBuild().Version {
		t.Errorf("/status: %+v", status)
	}
	for _, url := range []string{s.urls["metrics"], s.urls["http"] + "/metrics"} {
		if got := get(t, url); !strings.Contains(got, "lmcache_mp_l1_usage_ratio 0\n") || !strings.Contains(got, "target_info{") {
			t.Errorf("GET %s:\n%s", url, got)
		}
	}
	code, stderr := s.stop(&cli.InterruptedError{Signal: syscall.SIGTERM})
	if code != cli.ExitOK || !strings.Contains(stderr, "Shutting down server...") {
		t.Errorf("exit code %d:\n%s", code, stderr)
	}
	if c, err := net.Dial("tcp", strings.TrimPrefix(s.urls["http"], "http://")); err == nil {
		c.Close()
		t.Error("the port is still open")
	}
}

// REQ-O23: a port that is taken is named, with its flag and what to do, in one line, and
// nothing is left behind.
func TestREQ_O23_PortTaken(t *testing.T) {
	leak.Check(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	port := strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
	for _, flag := range []string{"--http-port", "--prometheus-port"} {
		r := newRun(t, anyPorts)
		code := r.app.Run(t.Context(), append(append([]string(nil), smallServer...), flag, port))
		var problem string
		for line := range strings.Lines(r.stderr.String()) {
			if strings.HasPrefix(line, "lmcache: ") {
				problem += line
			}
		}
		if code != cli.ExitFailed || strings.Count(problem, "\n") != 1 || !strings.HasPrefix(problem, "lmcache: error: "+flag+": ") ||
			!strings.Contains(problem, ":"+port+" is in use") || !strings.HasSuffix(problem, "choose another port (0: any free one)\n") {
			t.Errorf("%s %s: exit code %d, %s", flag, port, code, problem)
		}
	}
}

// REQ-C23, as far as there are resources: a dry run opens no port.
func TestServerDryRun(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	port := strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
	r := newRun(t, nil)
	code := r.app.Run(t.Context(), append(append([]string(nil), smallServer...), "--dry-run", "--http-port", port, "--disable-metrics"))
	if code != cli.ExitOK || !strings.Contains(r.stdout.String(), "http://127.0.0.1:"+port) || r.stderr.Len() > 0 {
		t.Errorf("exit code %d, stdout:\n%sstderr:\n%s", code, r.stdout.String(), r.stderr.String())
	}
	r = newRun(t, nil)
	if code := r.app.Run(t.Context(), append(append([]string(nil), smallServer...), "--dry-run", "--chunk-size", "0")); code != cli.ExitUsage {
		t.Errorf("a dry run with a problem: exit code %d", code)
	}
}
