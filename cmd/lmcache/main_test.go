package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lmcache-go/lmcache/internal/cli"
	"github.com/lmcache-go/lmcache/internal/invariants"
	"github.com/lmcache-go/lmcache/internal/leak"
)

// REQ-C5, REQ-C9: texts and exit codes of what is wrong with a command line.
func TestREQ_C9_NearestNames(t *testing.T) {
	for _, c := range []struct {
		args string
		code int
		want string
	}{
		{"versio", cli.ExitUsage, `unknown command "versio"; did you mean "version"?`},
		{"servre", cli.ExitUsage, `unknown command "servre"; did you mean "server"?`},
		{"bench worklaod", cli.ExitUsage, `unknown command "bench worklaod"; did you mean "bench workload"?`},
		{"workload", cli.ExitUsage, `unknown command "workload"; did you mean "bench workload"?`},
		{"version --jsno", cli.ExitUsage, `unknown flag --jsno; did you mean "--json"?`},
		{"server --l1-size-gb 64MiB --eviction-policy LRU --chunk-sise 16", cli.ExitUsage, `unknown flag --chunk-sise; did you mean "--chunk-size"?`},
		{"bench engine --model x", cli.ExitUsage, `"lmcache bench engine" is part of LMCache's Python package and not of lmcache-go`},
		{"coordinator", cli.ExitUsage, `"lmcache coordinator" is part of LMCache's Python package and not of lmcache-go`},
		{"tool flamegraph --x", cli.ExitUsage, `"lmcache tool" is part of LMCache's Python package and not of lmcache-go`},
		{"trace replay-events f", cli.ExitUsage, `"lmcache trace replay-events" is part of LMCache's Python package and not of lmcache-go`},
		{"trace merge f", cli.ExitUsage, `"lmcache trace merge" is not available in this version yet`},
		{"query coordinator", cli.ExitUsage, `"lmcache query coordinator" is part of LMCache's Python package and not of lmcache-go`},
		{"doctor", cli.ExitUsage, `"lmcache doctor" is not available in this version yet`},
		{"server", cli.ExitUsage, `--l1-size-gb and --eviction-policy are required`},
		{"server --l1-size-gb 1000000 --eviction-policy LRU", cli.ExitFailed, `--l1-size-gb: 976.56 TiB is more than this machine has`},
		{"server --l1-size-gb 64MiB --eviction-policy LRU --http-port 9090", cli.ExitUsage, `--prometheus-port: port 9090 is also that of`},
		{"bench workload --chunk-size 100", cli.ExitUsage, `--block-tokens: must be a multiple or a divisor of the chunk size 100, got 512`},
		{"bench workload --format json --json", cli.ExitUsage, `--json: excludes --format`},
		{"bench workload --l2-adapter {}", cli.ExitUsage, `--l2-adapter 1: type: is required`},
	} {
		r := newRun(t, nil)
		code := r.app.Check(strings.Fields(c.args))
		if code != c.code || !strings.HasPrefix(r.stderr.String(), "lmcache: error: "+c.want) || strings.Count(r.stderr.String(), "\n") != 1 {
			t.Errorf("%s: exit code %d, want %d; stderr:\n got %s\nwant %s", c.args, code, c.code, r.stderr.String(), c.want)
		}
		if r.stdout.Len() > 0 {
			t.Errorf("%s: stdout %q", c.args, r.stdout.String())
		}
	}
}

// REQ-C8: what the kubelet sets for a Service named lmcache stops nothing.
func TestREQ_C8_KubernetesService(t *testing.T) {
	r := newRun(t, map[string]string{
		"LMCACHE_PORT": "tcp://10.0.0.1:5555", "LMCACHE_SERVICE_HOST": "10.0.0.1", "LMCACHE_SERVICE_PORT": "5555",
		"LMCACHE_PORT_5555_TCP": "tcp://10.0.0.1:5555", "LMCACHE_PORT_5555_TCP_PROTO": "tcp", "LMCACHE_HTTP_PORT": "tcp://10.0.0.1:8080",
	})
	settings, err := r.app.Settings([]string{"server", "--l1-size-gb", "64MiB", "--eviction-policy", "LRU"})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range settings {
		if (s.Name == "port" || s.Name == "http-port") && s.Origin != "default" {
			t.Errorf("--%s = %q from %s", s.Name, s.Value, s.Origin)
		}
	}
	r.app.Check([]string{"server", "--l1-size-gb", "64MiB", "--eviction-policy", "LRU"})
	for _, name := range []string{"LMCACHE_PORT", "LMCACHE_HTTP_PORT"} {
		if n := strings.Count(r.stderr.String(), "lmcache: warning: "+name+"="); n != 1 {
			t.Errorf("%d warnings about %s:\n%s", n, name, r.stderr.String())
		}
	}
}

func TestNoArgumentsListCommands(t *testing.T) {
	var stdout, stderr bytes.Buffer
	code := program(&cli.IO{Stdout: &stdout, Stderr: &stderr, LookupEnv: os.LookupEnv}, nil)
	if code != cli.ExitOK || stderr.Len() > 0 {
		t.Errorf("exit code %d, %s", code, stderr.String())
	}
	for _, want := range []string{"Usage: lmcache <command>", "version", "help", "--config"} {
		if !strings.Contains(stdout.String(), want) {
			t.Errorf("the list lacks %q:\n%s", want, stdout.String())
		}
	}
}

// REQ-C22: the examples of every command's help can be run. A server is stopped
// as soon as it says that it runs; ports are any free ones. In slow builds a
// benchmark runs only a few of its requests. They run in a folder with the files that
// they read.
func TestREQ_C22_Examples(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, name := range []string{"before.json", "after.json"} {
		r, _ := metrics(t, "docs", "--json")
		write(t, name, r.stdout.String())
	}
	traced(t, cli.ExitOK, strings.Fields("bench workload --limit 5 -q --trace-level storage --trace-output run.lct --trace-max-bytes 20000")...)
	for _, name := range []string{"before.jsonl", "after.jsonl"} {
		traced(t, cli.ExitOK, strings.Fields("trace replay run.lct --l1-size-gb 1 --eviction-policy LRU --pacing virtual --no-csv -q --jsonl-out "+name)...)
	}
	write(t, "prompt.json", "[1, 2, 3]\n")
	commands, err := newRun(t, nil).app.Commands()
	if err != nil {
		t.Fatal(err)
	}
	watched := serve(t, "--l2-adapter", `{"type":"fs","base_path":"`+t.TempDir()+`","disk_min_free_gb":0,"max_capacity_gb":1}`) // and asked
	defer watched.stop(nil)
	engine := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { // is healthy
		_, _ = w.Write([]byte(`{"data":[]}`))
	}))
	defer engine.Close()
	for _, command := range commands {
		help := newRun(t, nil)
		help.app.Run(t.Context(), append([]string{"help"}, strings.Fields(command)...))
		examples := regexp.MustCompile(`(?m)^    lmcache (.*)$`).FindAllStringSubmatch(help.stdout.String(), -1)
		if len(examples) < 2 {
			t.Errorf("%s has %d examples:\n%s", command, len(examples), help.stdout.String())
		}
		url := watched.urls["http"]
		switch command {
		case "top":
			url = watched.urls["metrics"]
		case "ping engine", "describe engine":
			url = engine.URL
		}
		for _, example := range examples {
			ctx, cancel := context.WithCancel(t.Context())
			r := newRun(t, map[string]string{
				"LMCACHE_HTTP_PORT": "0", "LMCACHE_PROMETHEUS_PORT": "0", "LMCACHE_URL": url, "LMCACHE_INTERVAL": "0.2",
			})
			args := strings.Fields(strings.NewReplacer("http://localhost:8080", watched.urls["http"], "localhost:8080", watched.urls["http"], "'", "", "/tmp/kv", t.TempDir()).Replace(example[1]))
			switch slow := underRace || invariants.Enabled; {
			case command == "bench l2":
			case command == "bench l1": // less of the same
				args = append(slices.DeleteFunc(args, func(a string) bool { return a == "--duration" || a == "1s" }), "--duration", "50ms", "--l1-size-gb", "64MiB")
			case slow && args[0] == "bench":
				args = append(args, "--limit", "10")
			}
			stderr := &watcher{text: "server is running", found: cancel}
			r.app.IO.Stderr = stderr
			if code := r.app.Run(ctx, args); code != cli.ExitOK {
				t.Errorf("lmcache %s: exit code %d, %s", example[1], code, stderr.String())
			}
			cancel()
		}
	}
}

// watcher keeps what is written and calls found when a text is among it.
type watcher struct {
	text  string
	found func()

	mu  sync.Mutex
	buf bytes.Buffer
}

func (w *watcher) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.buf.Write(p)
	if bytes.Contains(w.buf.Bytes(), []byte(w.text)) {
		w.found()
	}
	return len(p), nil
}

func (w *watcher) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.buf.String()
}

func noEnv(string) (string, bool) { return "", false }

func TestVersion(t *testing.T) {
	for _, args := range [][]string{{"version"}, {"--version"}} {
		r := newRun(t, nil)
		if code := r.app.Run(t.Context(), args); code != cli.ExitOK {
			t.Fatalf("exit code %d: %s", code, r.stderr.String())
		}
		if !regexp.MustCompile(`^lmcache-go \S+ \(\S+, \S+, go1\.\S+, \w+/\w+\)\n$`).MatchString(r.stdout.String()) {
			t.Errorf("%v printed %q", args, r.stdout.String())
		}
	}
	r := newRun(t, nil)
	r.app.Run(t.Context(), []string{"version", "--json"})
	var got build
	if err := json.Unmarshal(r.stdout.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(readBuild(), got); diff != "" {
		t.Errorf("version --json (-want +got):\n%s", diff)
	}
}

func TestBuild(t *testing.T) {
	for module, want := range map[string]string{
		"": version, "(devel)": version, "v0.1.0": "0.1.0", "v1.2.3-rc.1": "1.2.3-rc.1",
		"v0.0.0-20261124032100-abcdef123456": version, "v0.1.1-0.20261124032100-abcdef123456+dirty": version,
	} {
		info := &debug.BuildInfo{Main: debug.Module{Version: module}, Settings: []debug.BuildSetting{
			{Key: "vcs.revision", Value: "0123456789abcdef0123"}, {Key: "vcs.time", Value: "2026-11-24T03:21:00Z"}, {Key: "vcs.modified", Value: "true"},
		}}
		b := buildOf(info)
		if b.Version != want || b.Commit != "0123456789ab+changes" || b.Date != "2026-11-24T03:21:00Z" {
			t.Errorf("module %q: %+v", module, b)
		}
	}
	if b := buildOf(nil); b.Version != version || b.Commit != "unknown" {
		t.Errorf("without build information: %+v", b)
	}
}

// A panic becomes one line and its own exit code, never a stack trace.
func TestPanicIsOneLine(t *testing.T) {
	var stderr bytes.Buffer
	code := program(&cli.IO{Stdout: panicking{}, Stderr: &stderr, LookupEnv: noEnv}, []string{"version"})
	if code != cli.ExitBug {
		t.Errorf("exit code %d", code)
	}
	if got := stderr.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "internal error: out of paper") || !strings.Contains(got, issues) || !strings.Contains(got, version) {
		t.Errorf("stderr %q", got)
	}
}

type panicking struct{}

func (panicking) Write([]byte) (int, error) { panic("out of paper") }

// REQ-C21, as far as it is main's part: the first signal cancels with its cause,
// the second exits with its code.
func TestSignals(t *testing.T) {
	leak.Check(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	signals, quit, exited := make(chan os.Signal), make(chan struct{}), make(chan int, 1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		watchSignals(signals, quit, cancel, func(code int) { exited <- code })
	}()
	signals <- syscall.SIGINT
	<-ctx.Done()
	var cause *cli.InterruptedError
	if !errors.As(context.Cause(ctx), &cause) || cause.Signal != syscall.SIGINT {
		t.Errorf("cause = %v", context.Cause(ctx))
	}
	signals <- syscall.SIGTERM
	if code := <-exited; code != cli.ExitTerminate {
		t.Errorf("the second signal exits with %d", code)
	}
	<-done
}

func TestWithSignals(t *testing.T) {
	leak.Check(t)
	ctx, stop := withSignals(t.Context())
	if err := syscall.Kill(os.Getpid(), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	<-ctx.Done()
	var cause *cli.InterruptedError
	if !errors.As(context.Cause(ctx), &cause) || cause.Signal != syscall.SIGTERM {
		t.Errorf("cause = %v", context.Cause(ctx))
	}
	stop()
	stop()
	ctx, stop = withSignals(t.Context())
	stop()
	if !errors.Is(context.Cause(ctx), context.Canceled) {
		t.Errorf("cause after stop = %v", context.Cause(ctx))
	}
}

// A first tier from which nothing is evicted fills up, which a server says when it
// starts.
func TestNoopWarns(t *testing.T) {
	stderr, code := stderrOf(t, []string{"server", "--l1-size-gb", "64MiB", "--eviction-policy", "noop"})
	if want := "lmcache: warning: --eviction-policy noop: L1 will fill and stay full"; code != cli.ExitOK || !strings.Contains(stderr, want) {
		t.Errorf("exit code %d, %q lacks %q", code, stderr, want)
	}
}
