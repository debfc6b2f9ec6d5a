package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lmcache-go/lmcache/internal/admin"
	"github.com/lmcache-go/lmcache/internal/cli"
)

// processEnv has the arguments of a program that a test runs in a process of its own.
const processEnv = "LMCACHE_TEST_PROCESS"

// TestProcess is the program, if another test starts it.
func TestProcess(*testing.T) {
	var args []string
	if json.Unmarshal([]byte(os.Getenv(processEnv)), &args) == nil {
		os.Exit(program(cli.SystemIO(), args))
	}
}

// lines is what a process prints.
type lines struct {
	mu    sync.Mutex
	more  *sync.Cond
	buf   bytes.Buffer
	ended bool
}

func newLines() *lines {
	l := new(lines)
	l.more = sync.NewCond(&l.mu)
	return l
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.more.Broadcast()
	return l.buf.Write(p)
}

func (l *lines) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = true
	l.more.Broadcast()
}

// wait returns when a whole line with a text has been printed, or false if none will be.
func (l *lines) wait(text string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		if _, after, ok := strings.Cut(l.buf.String(), text); ok && strings.Contains(after, "\n") {
			return true
		}
		if l.ended {
			return false
		}
		l.more.Wait()
	}
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// process is a server in a process of its own, as an operator starts it.
type process struct {
	cmd    *exec.Cmd
	stderr *lines
	url    string // of the HTTP front end
	port   string // of the metrics
}

// startProcess starts a server and waits until it runs. The test ends it with SIGTERM.
func startProcess(t *testing.T, args ...string) *process {
	t.Helper()
	text, err := json.Marshal(append([]string{"server"}, args...))
	if err != nil {
		t.Fatal(err)
	}
	p := &process{stderr: newLines()}
	p.cmd = exec.CommandContext(context.WithoutCancel(t.Context()), os.Args[0], "-test.run", "^TestProcess$")
	p.cmd.Env = append(os.Environ(), processEnv+"="+string(text))
	p.cmd.Stderr = p.stderr
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		err := p.cmd.Wait()
		p.stderr.end()
		ended <- err
	}()
	if !p.stderr.wait("INFO: http: ") {
		t.Fatalf("the server ended: %v\n%s", <-ended, p.stderr)
	}
	t.Cleanup(func() {
		_ = p.cmd.Process.Signal(syscall.SIGTERM)
		if err := <-ended; err != nil {
			t.Errorf("the server: %v\n%s", err, p.stderr)
		}
	})
	urls := map[string]string{}
	for _, m := range regexp.MustCompile(`INFO: (http|metrics): (\S+)`).FindAllStringSubmatch(p.stderr.String(), -1) {
		urls[m[1]] = m[2]
	}
	u, err := url.Parse(urls["metrics"])
	if err != nil {
		t.Fatal(err)
	}
	p.url, p.port = urls["http"], u.Port()
	return p
}

// command runs the program.
func command(t *testing.T, env map[string]string, stdin string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	r := newRun(t, env)
	r.app.IO.Stdin = strings.NewReader(stdin)
	code = r.app.Run(t.Context(), args)
	return r.stdout.String(), r.stderr.String(), code
}

// REQ-C1, REQ-C2, REQ-W38: what the commands print of a real server, byte for byte but for
// times and ports.
func TestREQ_C1_Admin(t *testing.T) {
	p := startProcess(t, "--l1-size-gb", "0.0625", "--eviction-policy", "IsolatedLRU", "--chunk-size", "16", "--http-port", "0", "--prometheus-port", "0")
	golden, err := os.ReadFile("testdata/admin.txt")
	if err != nil {
		t.Fatal(err)
	}
	const shown = "http://127.0.0.1:28080"
	times := regexp.MustCompile(`(Round trip time \(ms\):) +\d+\.\d\d\n|("round_trip_time_ms":) \d+\.\d+`)
	same := func(s string) string {
		s = strings.ReplaceAll(s, p.url, shown)
		if d := len(p.url) - len(shown); d < 0 { // a port of four digits
			s = strings.ReplaceAll(s, strings.Repeat(" ", -d)+shown, shown)
		}
		return times.ReplaceAllString(s, "$1$2\n")
	}
	n := 0
	for line, want := range transcript(string(golden)) {
		n++
		stdout, stderr, code := command(t, nil, "", strings.Fields(strings.ReplaceAll(line, shown, p.url))...)
		if diff := cmp.Diff(same(want), same(stdout+fmt.Sprintf("rc=%d\n", code))); diff != "" {
			t.Errorf("lmcache %s (-want +got):\n%s", line, diff)
		}
		if (stderr != "") != (code != 0) || strings.Count(stderr, "\n") > 1 {
			t.Errorf("lmcache %s: stderr %s", line, stderr)
		}
	}
	if n < 14 {
		t.Errorf("only %d commands", n)
	}
}

// An operator's day with a server that asks for a token and keeps files: refusals that say
// what to do, quotas, listing, deletion, a token that changes.
func TestOperator(t *testing.T) {
	dir := t.TempDir()
	token := filepath.Join(dir, "token")
	write(t, token, "first-secret-of-the-day\n")
	p := startProcess(t, "--l1-size-gb", "64MiB", "--eviction-policy", "LRU", "--http-port", "0", "--prometheus-port", "0",
		"--admin-token-file", token, "--l2-adapter", `{"type":"fs","base_path":"`+dir+`/kv","disk_min_free_gb":0,"max_capacity_gb":1}`)
	const key = "m@01000100@0@00ff10"
	const asks = "answered 401 Unauthorized: the administrator's token is needed (Authorization: Bearer …) (--token-file or LMCACHE_ADMIN_TOKEN)"
	day := []struct {
		args, token, stdin string
		code               int
		stdout, stderr     string // parts of it
	}{
		{args: "ping kvcache --json", stdout: `"status": "OK"`},
		{args: "ping kvcache -q"},
		{args: "ping kvcache --wait 5s", stdout: "OK"},
		{args: "ping engine", code: 1, stdout: "FAIL", stderr: "/health answered 404 Not Found"},
		{args: "describe kvcache", stdout: "- L2: fs -"},
		{args: "describe kvcache --json", stdout: `"base_path": "` + dir + `/kv"`},
		{args: "describe kvcache --verbose", stdout: "- Calls of fs#0 -"},
		{args: "describe kvcache --verbose --json", stdout: `"listener_http": "`},
		{args: "ping kvcache --count 3 --interval 0 --json", stdout: `"failed": 0`},
		{args: "ping engine --count 2 --interval 0", code: 1, stdout: "Failed:                      2", stderr: "/health answered 404 Not Found"},
		{args: "describe engine", code: 1, stderr: "/v1/models answered 404 Not Found"},
		{args: "quota set t1 --limit-gb 1", code: 1, stderr: asks},
		{args: "quota set t1 --limit-gb 1", token: "not-the-right-secret", code: 1, stderr: "the administrator's token is another one"},
		{args: "quota set t1 --limit-gb 1", token: "short", code: 2, stderr: "LMCACHE_ADMIN_TOKEN: a token must have at least 16 bytes, got 5"},
		{args: "quota set t1 --limit-gb 1 --token-file " + dir + "/none", code: 1, stderr: "--token-file: " + dir + "/none: no such file"},
		{args: "quota set t1 --limit-gb 1 --token-file " + token, stdout: "ok", stderr: "lmcache: warning: the quota is noted and has no effect"},
		{args: "quota set t1 --limit-gb -1", code: 2, stderr: "--limit-gb: must be a number of GiB, 0 or more, got -1"},
		{args: "quota set t1", code: 2, stderr: "--limit-gb: is required"},
		{args: "quota set a/b --limit-gb 1", token: "first-secret-of-the-day", code: 1, stderr: `cache_salt contains "/", which is not allowed`},
		{args: "quota get t1", stdout: "1.00"},
		{args: "quota get .. --json", stdout: `"exists": false`},
		{args: "quota list --json", stdout: `"cache_salt": "t1"`},
		{args: "kvcache objects", stdout: "Objects shown:"},
		{args: "kvcache objects --json", stdout: `"objects": []`},
		{args: "kvcache objects --adapter fs#0 --limit 1", stdout: "fs#0\n"},
		{args: "kvcache objects --adapter s3", code: 1, stderr: `there is no L2 adapter "s3"`},
		{args: "kvcache delete " + key, code: 1, stderr: asks},
		{args: "kvcache delete --tier all " + key, token: "first-secret-of-the-day", stdout: "Objects removed:                               0"},
		{args: "kvcache delete -", token: "first-secret-of-the-day", stdin: key + "\n\n" + key + "\n", stdout: "Keys:                                          2"},
		{args: "kvcache delete -", token: "first-secret-of-the-day", stdin: key + "\nx\n", code: 1, stderr: "stdin, line 2: kv: not the text form of a key"},
		{args: "kvcache delete x", code: 2, stderr: `"x": kv: not the text form of a key`},
		{args: "kvcache clear", token: "first-secret-of-the-day", stdout: "OK"},
		{args: "kvcache clear --force", token: "first-secret-of-the-day", stdout: "OK"},
		{args: "kvcache clear --url x?y", code: 2, stderr: "--url: must have no user, query or fragment"},
	}
	for _, c := range day {
		env := map[string]string{"LMCACHE_URL": p.url, "LMCACHE_ADMIN_TOKEN": c.token}
		stdout, stderr, code := command(t, env, c.stdin, strings.Fields(c.args)...)
		if code != c.code || !strings.Contains(stdout, c.stdout) || !strings.Contains(stderr, c.stderr) || (c.stderr == "") != (stderr == "") {
			t.Errorf("lmcache %s: exit code %d\n%s%s", c.args, code, stdout, stderr)
		}
		if c.token != "" && strings.Contains(stdout+stderr, c.token) {
			t.Errorf("lmcache %s: it shows the token", c.args)
		}
	}
	if _, stderr, code := command(t, nil, "", "kvcache", "clear"); code != cli.ExitUsage || stderr != "lmcache: error: --url: is required\n" {
		t.Errorf("clear without a server: %d %s", code, stderr)
	}
	write(t, token, "another-secret-of-the-day")
	if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil || !p.stderr.wait("SIGHUP: the token has been read again") {
		t.Fatalf("%v: %s", err, p.stderr)
	}
	for secret, want := range map[string]int{"first-secret-of-the-day": cli.ExitFailed, "another-secret-of-the-day": cli.ExitOK} {
		if _, stderr, code := command(t, map[string]string{"LMCACHE_URL": p.url, "LMCACHE_ADMIN_TOKEN": secret}, "", "kvcache", "clear"); code != want {
			t.Errorf("after the token has changed: %s: exit code %d, %s", secret, code, stderr)
		}
	}
	if strings.Contains(p.stderr.String(), "of-the-day") {
		t.Errorf("the log holds a token:\n%s", p.stderr)
	}
}

// The commonest mistake is the wrong port: both directions are told.
func TestMetricsPort(t *testing.T) {
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/metrics" {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write([]byte("lmcache_mp_l1_usage_ratio 0\n"))
	}))
	defer page.Close()
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { // it serves them as well
		if r.URL.Path != "/metrics" {
			w.WriteHeader(http.StatusNotFound)
			_, _ = w.Write([]byte(`{"detail":"there is no such thing"}`))
			return
		}
		_, _ = w.Write([]byte("lmcache_mp_l1_usage_ratio 0\n"))
	}))
	defer front.Close()
	u, err := url.Parse(page.URL)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0") // a port on which nobody listens
	if err != nil {
		t.Fatal(err)
	}
	dead := "http://" + l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ base, port, want string }{
		"refused, metrics answer": {dead, u.Port(), "Cannot connect to " + dead + "/status: connection refused (port " + u.Port() + " answers, but that is the metrics port"},
		"refused":                 {dead, "1", "Cannot connect to " + dead + "/status: connection refused (is the server running, and is that its HTTP port?)"},
		"no such thing":           {front.URL, u.Port(), "/status answered 404 Not Found: there is no such thing"},
		"the metrics port itself": {page.URL, u.Port(), "/status answered 404 Not Found (that is the metrics port: the HTTP port is 8080 unless"},
	} {
		a := asking{metricsPort: c.port}
		client, err := admin.New(admin.Options{URL: c.base})
		if err != nil {
			t.Fatal(err)
		}
		_, err = client.Status(t.Context())
		if got := a.explain(t.Context(), c.base, err); got == nil || !strings.Contains(got.Error(), c.want) {
			t.Errorf("%s: %v, want %s", name, got, c.want)
		}
		if name == "no such thing" && strings.Contains(fmt.Sprint(a.explain(t.Context(), c.base, err)), "metrics port") {
			t.Errorf("%s: the front end is taken for the metrics port", name)
		}
		client.Close()
	}
}

// LMCache's own /status, and one with everything, are described in full.
func TestDescribe(t *testing.T) {
	golden, err := os.ReadFile("testdata/describe.txt")
	if err != nil {
		t.Fatal(err)
	}
	state, err := os.ReadFile("testdata/describe.json")
	if err != nil {
		t.Fatal(err)
	}
	var s admin.Status
	if err := json.Unmarshal(state, &s); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(golden), describe(&s, "http://127.0.0.1:36080").Text()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	var nothing admin.Status
	if got := describe(&nothing, "u").Text(); strings.Count(got, "N/A") != 7 {
		t.Errorf("of nothing:\n%s", got)
	}
}

// transcript is what stands behind each "$ lmcache " of a golden file, and the output below.
func transcript(golden string) iter.Seq2[string, string] {
	return func(yield func(line, want string) bool) {
		for block := range strings.SplitSeq("\n"+golden, "\n$ lmcache ") {
			if line, want, _ := strings.Cut(block, "\n"); line != "" && !yield(line, strings.TrimRight(want, "\n")+"\n") {
				return
			}
		}
	}
}
