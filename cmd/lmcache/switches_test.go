package main

import (
	"context"
	"net"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc"

	"github.com/lmcache-go/lmcache/internal/cli"
	"github.com/lmcache-go/lmcache/internal/leak"
)

// The switches of observability, as bits of a combination.
const (
	off = 1 << iota
	noMetrics
	noLogs
	tracing
	endpoint
	output
	otlpLogs
	recording
	allSwitches
)

// combination is a set of switches as arguments, and what must come of them.
type combination struct {
	set      int
	args     []string
	names    []string // of the flags
	problems []string // in the order of the report
}

// combinations are all sets of switches. OTLP goes to addr.
func combinations(addr, spans, recorded string) (all []combination) {
	switches := []string{
		"--disable-observability", "--disable-metrics", "--disable-logging", "--enable-tracing",
		"--otlp-endpoint=" + addr, "--span-output=" + spans, "--otlp-logs", "--trace-level=storage",
	}
	for set := range allSwitches {
		c := combination{set: set}
		for i, s := range switches {
			if set&(1<<i) != 0 {
				name, _, _ := strings.Cut(s, "=")
				c.args, c.names = append(c.args, s), append(c.names, name)
			}
		}
		if set&recording != 0 {
			c.args = append(c.args, "--trace-output="+recorded)
		}
		if set&(off|otlpLogs|endpoint) == otlpLogs {
			c.problems = append(c.problems, "--otlp-logs requires --otlp-endpoint to be set. It is where log records are pushed to.")
		}
		if set&(tracing|endpoint) == tracing {
			text := "--enable-tracing requires --otlp-endpoint to be set. Tracing needs an OTLP gRPC endpoint to export spans."
			if set&output != 0 {
				text += " Without one, use --span-output alone."
			}
			c.problems = append(c.problems, text)
		}
		if set&(off|recording) == off|recording {
			c.problems = append(c.problems, "--trace-level requires the observability EventBus; remove --disable-observability.")
		}
		all = append(all, c)
	}
	return all
}

// REQ-O55: every combination of the switches is accepted, or refused with exactly what
// is wrong with it. Switched off altogether, what has no effect is named in one warning.
func TestREQ_O55_Combinations(t *testing.T) {
	problem := regexp.MustCompile(`(?m)^(?:lmcache: error: |  )(--.*)$`)
	for _, c := range combinations("h:1", "stdout", "run.lct") {
		args := append(append(slices.Clone(smallServer), "--dry-run"), c.args...)
		r := newRun(t, anyPorts)
		code := r.app.Run(t.Context(), args)
		stderr := r.stderr.String()
		if want := map[bool]int{true: cli.ExitOK, false: cli.ExitUsage}[len(c.problems) == 0]; code != want {
			t.Errorf("%v: exit code %d, want %d:\n%s", args, code, want, stderr)
		}
		var got []string
		for _, line := range problem.FindAllStringSubmatch(stderr, -1) {
			got = append(got, line[1])
		}
		if len(c.problems)+len(got) > 0 && !slices.Equal(got, c.problems) {
			t.Errorf("%v: problems %q, want %q in:\n%s", args, got, c.problems, stderr)
		}
		warned := strings.Count(stderr, "--disable-observability leaves no effect to ")
		if want := c.set&off != 0 && c.set != off && len(c.problems) == 0; warned > 1 || want && warned != 1 {
			t.Errorf("%v: %d warnings, want %v", args, warned, want)
		}
		if warned == 1 {
			for _, name := range c.names[1:] {
				if name != "--trace-level" && !strings.Contains(stderr, name) {
					t.Errorf("%v: the warning does not name %s: %s", args, name, stderr)
				}
			}
		}
	}
}

// REQ-O55: every combination that is accepted runs, and does what it says: what is on
// leaves its traces, what is off does not.
func TestREQ_O55_Runs(t *testing.T) {
	leak.Check(t)
	addr := emptyCollector(t)
	dir := t.TempDir()
	spans, recorded := filepath.Join(dir, "spans.jsonl"), filepath.Join(dir, "run.lct")
	for _, c := range combinations(addr, spans, recorded) {
		if len(c.problems) > 0 || c.set&noLogs != 0 && c.set&off == 0 && c.set&noMetrics == 0 { // half of them: logging stands alone
			continue
		}
		args := append([]string{"bench", "workload", "--limit", "1", "--l1-size-gb", "64MiB", "--no-optimal", "--log-level", "DEBUG"}, c.args...)
		r := newRun(t, nil)
		code := r.app.Run(t.Context(), args)
		stderr := r.stderr.String()
		on := c.set&off == 0
		if code != cli.ExitOK {
			t.Errorf("%v: exit code %d:\n%s", c.args, code, stderr)
			continue
		}
		for what, want := range map[string]bool{
			"OTel MeterProvider initialised with OTLP exporter":  on && c.set&noMetrics == 0 && c.set&endpoint != 0,
			"OTel TracerProvider initialised with OTLP exporter": on && c.set&tracing != 0,
			"OTel TracerProvider initialised with span output":   on && c.set&output != 0,
			"OTel LoggerProvider initialised with OTLP exporter": on && c.set&otlpLogs != 0,
			"MP lookup/prefetch start: session=":                 on && c.set&noLogs == 0,
			"trace recorder closed cleanly: ":                    on && c.set&recording != 0,
			"Stored ":                                            true, // a message of the engine, not of the bus
		} {
			if got := strings.Contains(stderr, what); got != want {
				t.Errorf("%v: %q is in the log: %v, want %v:\n%s", c.args, what, got, want, stderr)
			}
		}
	}
}

// emptyCollector is a gRPC server that knows no service: exports to it fail at once.
func emptyCollector(t *testing.T) (addr string) {
	t.Helper()
	var lc net.ListenConfig
	ln, err := lc.Listen(context.WithoutCancel(t.Context()), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := grpc.NewServer()
	done := make(chan error, 1)
	go func() { done <- srv.Serve(ln) }()
	t.Cleanup(func() {
		srv.Stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return ln.Addr().String()
}

// REQ-O56: the flags of observability have their names, their places in the environment
// and their defaults; a flag beats the environment, which beats the default. (That it is
// so for every flag of every command is REQ-C4.)
func TestREQ_O56_Flags(t *testing.T) {
	for _, f := range []struct{ name, byDefault, env, flag string }{
		{"disable-observability", "false", "true", "false"},
		{"disable-metrics", "false", "true", "false"},
		{"disable-logging", "false", "true", "false"},
		{"enable-tracing", "false", "true", "false"},
		{"event-bus-queue-size", "10000", "7", "8"},
		{"otlp-endpoint", "", "a:1", "b:2"},
		{"prometheus-port", "9090", "9191", "0"},
		{"service-instance-id", "", "a", "b"},
		{"metrics-sample-rate", "0.01", "0.5", "1"},
		{"trace-level", "", "storage", "storage"},
		{"trace-output", "", "a", "b"},
		{"log-level", "INFO", "DEBUG", "ERROR"},
		{"log-format", "text", "json", "text"},
		{"log-color", "auto", "never", "always"},
		{"prometheus-host", "0.0.0.0", "127.0.0.1", "::1"},
		{"metrics-compat", "none", "later", "none"},
		{"metrics-buckets", "tuned", "otel", "tuned"},
		{"metrics-label-limit", "200", "3", "4"},
		{"span-output", "", "stdout", "x"},
		{"span-max-age", "1h0m0s", "2s", "3s"},
		{"otlp-logs", "false", "true", "false"},
		{"request-log", "", "a", "-"},
		{"request-log-max-size", "104857600", "1000", "2000"},
		{"request-log-max-files", "10", "2", "3"},
	} {
		env := map[string]string{"LMCACHE_" + strings.ToUpper(strings.ReplaceAll(f.name, "-", "_")): f.env}
		for _, c := range []struct {
			how  string
			env  map[string]string
			args []string
			want string
		}{
			{"default", nil, nil, f.byDefault},
			{"environment", env, nil, f.env},
			{"flag over environment", env, []string{"--" + f.name + "=" + f.flag}, f.flag},
		} {
			settings, _ := newRun(t, c.env).app.Settings(append([]string{"server"}, c.args...)) // problems are those of other flags
			i := slices.IndexFunc(settings, func(s cli.Setting) bool { return s.Name == f.name })
			if i < 0 {
				t.Errorf("there is no --%s", f.name)
				break
			}
			if got := settings[i].Value; got != c.want {
				t.Errorf("--%s, %s: %q, want %q", f.name, c.how, got, c.want)
			}
		}
	}
}
