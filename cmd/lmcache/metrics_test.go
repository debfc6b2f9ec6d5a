package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/lmcache-go/lmcache/internal/cli"
	"github.com/lmcache-go/lmcache/internal/leak"
)

// metrics runs "lmcache metrics".
func metrics(t *testing.T, args ...string) (r *run, code int) {
	t.Helper()
	r = newRun(t, nil)
	return r, r.app.Run(t.Context(), append([]string{"metrics"}, args...))
}

// REQ-O57: what the program prints is what is committed.
func TestREQ_O57_Printed(t *testing.T) {
	for _, c := range []struct{ args, file string }{
		{"docs", "docs/METRICS.md"},
		{"dashboard", "examples/observability/dashboard.json"},
		{"rules", "examples/observability/rules.yml"},
	} {
		r, code := metrics(t, c.args)
		want, err := os.ReadFile(filepath.Join("..", "..", filepath.FromSlash(c.file)))
		if err != nil {
			t.Fatal(err)
		}
		if code != cli.ExitOK || r.stderr.Len() > 0 || r.stdout.String() != string(want) {
			t.Errorf("metrics %s: exit code %d, %s; differs from %s", c.args, code, r.stderr.String(), c.file)
		}
	}
	r, code := metrics(t, "docs", "--json")
	var ref struct {
		Program string           `json:"program"`
		Metrics []map[string]any `json:"metrics"`
	}
	if err := json.Unmarshal(r.stdout.Bytes(), &ref); err != nil || code != cli.ExitOK {
		t.Fatalf("exit code %d, %v", code, err)
	}
	if ref.Program != readBuild().short() || len(ref.Metrics) < 53 || ref.Metrics[0]["name"] != "lmcache_mp_sm_read_requests_total" {
		t.Errorf("%s, %d metrics", ref.Program, len(ref.Metrics))
	}
}

// The flags that runbooks tell to change exist.
func TestRunbookFlags(t *testing.T) {
	r, _ := metrics(t, "rules")
	known := map[string]bool{}
	settings, err := newRun(t, nil).app.Settings(smallServer)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range settings {
		known["--"+s.Name] = true
	}
	flags := regexp.MustCompile(`--[a-z0-9][a-z0-9-]+`).FindAllString(r.stdout.String(), -1)
	if len(flags) < 5 {
		t.Errorf("only %d flags are named", len(flags))
	}
	for _, name := range flags {
		if !known[name] {
			t.Errorf("there is no flag %s", name)
		}
	}
}

func TestMetricsDiff(t *testing.T) {
	dir := t.TempDir()
	r, _ := metrics(t, "docs", "--json")
	same := r.stdout.String()
	write(t, filepath.Join(dir, "same.json"), same)
	write(t, filepath.Join(dir, "old.json"), strings.ReplaceAll(same, "lmcache_mp_lookups_total", "lmcache_mp_lookup_total"))
	write(t, filepath.Join(dir, "none.txt"), "# nothing\n")
	same, old, none := filepath.Join(dir, "same.json"), filepath.Join(dir, "old.json"), filepath.Join(dir, "none.txt")
	for _, c := range []struct {
		args         []string
		code         int
		stdout, errs string
	}{
		{[]string{same}, cli.ExitOK, "0 removed, 0 added, 0 changed, 0 unseen, ", ""},
		{[]string{old}, cli.ExitFailed, "- lmcache_mp_lookup_total\n+ lmcache_mp_lookups_total\n1 removed, 1 added, 0 changed, ", ""},
		{[]string{same, old, "--json"}, cli.ExitFailed, "{\n  \"added\": [\n    \"lmcache_mp_lookup_total\"\n  ],\n", ""},
		{[]string{none}, cli.ExitFailed, "", none + ": holds no metric whose name begins with lmcache"},
		{[]string{filepath.Join(dir, "nothing")}, cli.ExitFailed, "", "no such file"},
		{[]string{"-", "-"}, cli.ExitUsage, "", "stdin can be one of the two"},
		{[]string{"http://127.0.0.1:1/metrics"}, cli.ExitFailed, "", "127.0.0.1:1"},
	} {
		r, code := metrics(t, append([]string{"diff"}, c.args...)...)
		if code != c.code || !strings.HasPrefix(r.stdout.String(), c.stdout) || (c.errs == "") != (r.stderr.Len() == 0) || !strings.Contains(r.stderr.String(), c.errs) {
			t.Errorf("%v: exit code %d, stdout:\n%sstderr: %s", c.args, code, r.stdout.String(), r.stderr.String())
		}
	}
}

// A running server exports what the program documents, and nothing else of that name.
func TestMetricsDiffOfServer(t *testing.T) {
	leak.Check(t)
	s := serve(t)
	url := strings.TrimSuffix(s.urls["metrics"], "/metrics")
	r, code := metrics(t, "diff", url)
	if code != cli.ExitOK || !regexp.MustCompile(`0 removed, 0 added, 0 changed, \d+ unseen, [1-9]\d+ equal\n$`).MatchString(r.stdout.String()) {
		t.Errorf("exit code %d, %s%s", code, r.stdout.String(), r.stderr.String())
	}
	if code, stderr := s.stop(nil); code != cli.ExitOK {
		t.Errorf("server: exit code %d, %s", code, stderr)
	}
}

// What answers, and does not answer with metrics, is named with its status.
func TestMetricsDiffOfStranger(t *testing.T) {
	leak.Check(t)
	stranger := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/metrics" {
			http.Error(w, "no", http.StatusForbidden)
			return
		}
		_, _ = io.WriteString(w, "<html>")
	}))
	defer stranger.Close()
	for path, want := range map[string]string{"/": "403 Forbidden", "/x": "line 1: is no sample"} {
		r, code := metrics(t, "diff", stranger.URL+path)
		if code != cli.ExitFailed || !strings.Contains(r.stderr.String(), want) || strings.Count(r.stderr.String(), "\n") != 1 {
			t.Errorf("%s: exit code %d, %s", path, code, r.stderr.String())
		}
	}
}
