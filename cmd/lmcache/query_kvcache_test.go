package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lmcache-go/lmcache"
	"github.com/lmcache-go/lmcache/eventbus"
	"github.com/lmcache-go/lmcache/internal/cli"
	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/l2/fs"
	"github.com/lmcache-go/lmcache/observe"
	"github.com/lmcache-go/lmcache/observe/export"
	httpserver "github.com/lmcache-go/lmcache/server/http"
	"github.com/lmcache-go/lmcache/storage"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// explained answers like a server that is asked about a prompt.
func explained(chunks ...string) string {
	type chunk struct {
		Index  int    `json:"index"`
		Hash   string `json:"hash"`
		Tier   string `json:"tier"`
		Reason string `json:"reason"`
	}
	list, prefix := []chunk{}, 0
	for i, c := range chunks {
		tier, reason, _ := strings.Cut(c, "/")
		list = append(list, chunk{i, fmt.Sprintf("%08x%056d", 0xab0000+i*257, i), tier, reason})
		if prefix == i && reason == "" {
			prefix++
		}
	}
	data, err := json.Marshal(map[string]any{"chunks": list, "prefix_chunks": prefix, "prefix_tokens": prefix * 256})
	if err != nil {
		panic(err)
	}
	return string(data)
}

func times(n int, s ...string) (list []string) {
	for range n {
		list = append(list, s...)
	}
	return list
}

// What is printed of several prompts, byte for byte.
func TestQueryKVCache(t *testing.T) {
	short := `{"chunks":[{"index":0,"hash":"","tier":"none","reason":"under_chunk_size"}],"prefix_chunks":0,"prefix_tokens":0}`
	answers := map[string]string{
		"mixed":  explained(append(append(times(7, "l1"), times(5, "l2")...), append([]string{"none/l2_miss"}, times(27, "l1/after_gap")...)...)...),
		"all":    explained("l1", "l1"),
		"none":   explained("none/evicted", "none/evicted", "none/absent", "none/layout_mismatch", "none/staged", "none/adapter_open", "none/l2_timeout", "none/l2_io_error", "none/l2_corrupt"),
		"short":  short,
		"newer":  explained("l1", "l3/moved"),
		"nobody": `{"chunks":[],"prefix_chunks":0,"prefix_tokens":0}`,
	}
	asked := ""
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		data, _ := io.ReadAll(r.Body)
		var in struct {
			Model string `json:"model_name"`
		}
		if r.Method != http.MethodPost || r.URL.Path != "/cache/explain" || json.Unmarshal(data, &in) != nil {
			http.NotFound(w, r)
			return
		}
		asked = string(data)
		fmt.Fprint(w, answers[in.Model])
	}))
	defer s.Close()
	golden, err := os.ReadFile("testdata/query.txt")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for line, want := range transcript(string(golden)) {
		n++
		stdout, stderr, code := command(t, map[string]string{"LMCACHE_URL": s.URL}, "[1,\n2 3]", strings.Fields(line)...)
		if diff := cmp.Diff(want, stdout); diff != "" || code != cli.ExitOK || stderr != "" {
			t.Errorf("lmcache %s: exit code %d %s (-want +got):\n%s", line, code, stderr, diff)
		}
	}
	if n != 8 {
		t.Errorf("%d commands", n)
	}
	if want := `{"model_name":"short","world_size":2,"token_ids":[1,2,3],"cache_salt":"t"}`; asked != want {
		t.Errorf("asked %s, want %s", asked, want)
	}
}

// Every reason is there in other words, and in the manual.
func TestReasonsInWords(t *testing.T) {
	manual, known := document(t, "docs/operations.md"), 0
	for r := storage.MissNone + 1; r.String() != "unknown"; r++ {
		known++
		if reasons[r.String()] == "" {
			t.Errorf("%s has no other words", r)
		}
		switch r {
		case storage.MissL2Corrupt, storage.MissL1OOM, storage.MissDeadline, storage.MissClosed, storage.MissNoLayout: // of loads and lookups alone, or errors here
		default:
			if !strings.Contains(manual, "`"+r.String()+"`") {
				t.Errorf("%s is not in the manual", r)
			}
		}
	}
	if known != len(reasons) {
		t.Errorf("%d reasons, %d in other words", known, len(reasons))
	}
}

// What cannot be asked is told in a way that helps.
func TestQueryKVCacheRefuses(t *testing.T) {
	dir := t.TempDir()
	empty, long, bad := filepath.Join(dir, "empty"), filepath.Join(dir, "long"), filepath.Join(dir, "bad")
	write(t, empty, "[]\n")
	write(t, long, strings.Repeat("12345,", 3_000_000))
	write(t, bad, "1 2 three")
	endless := filepath.Join(dir, "endless")
	write(t, endless, "")
	if err := os.Truncate(endless, maxTokenFile+1); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args   string
		code   int
		stderr string
	}{
		{"", cli.ExitUsage, "--model: is required\nlmcache: error: --tokens: or --tokens-file is required"},
		{"--model m --tokens 1 --tokens-file -", cli.ExitUsage, "--tokens-file: excludes --tokens"},
		{"--model m --tokens 1,-2", cli.ExitUsage, `--tokens: token 1 must be a whole number from 0 to 2147483647, got "-2"`},
		{"--model m --tokens 1 --world-size 0", cli.ExitUsage, "--world-size"},
		{"--model m --tokens []", cli.ExitFailed, "--tokens: there are no token ids in it"},
		{"--model m --tokens-file " + empty, cli.ExitFailed, "--tokens-file: there are no token ids in it"},
		{"--model m --tokens-file -", cli.ExitFailed, "--tokens-file: there are no token ids in it"},
		{"--model m --tokens-file " + empty + "x", cli.ExitFailed, "no such file"},
		{"--model m --tokens-file " + dir, cli.ExitFailed, "is a directory"},
		{"--model m --tokens-file " + bad, cli.ExitFailed, `--tokens-file: token 2 must be a whole number from 0 to 2147483647, got "three"`},
		{"--model m --tokens-file " + long, cli.ExitFailed, "the prompt of 3000000 tokens is too long: it makes a request of 18000047 bytes, and a server takes 16777216 at most"},
		{"--model m --tokens-file " + endless, cli.ExitFailed, "it has more than 67108864 bytes"},
		{"--model m --tokens 1", cli.ExitFailed, "Cannot connect to http://127.0.0.1:1/cache/explain: connection refused (is the server running, and is that its HTTP port?)"},
	} {
		args := append([]string{"query", "kvcache", "--url", "http://127.0.0.1:1"}, strings.Fields(c.args)...)
		if stdout, stderr, code := command(t, nil, "", args...); code != c.code || stdout != "" || !strings.Contains(stderr, c.stderr) {
			t.Errorf("%s: exit code %d\n%s%s", c.args, code, stdout, stderr)
		}
	}
}

// scrape is a page of metrics without those that pass with the time.
func scrape(t *testing.T, url string) string {
	t.Helper()
	passing := regexp.MustCompile(`(?m)^(go_|process_|promhttp_|lmcache_mp_loop_last_tick_seconds|lmcache_mp_l1_eviction_loop_ticks_total|lmcache_mp_observability_cpu_seconds).*\n`)
	return passing.ReplaceAllString(get(t, url), "")
}

// A server in a process of its own: nobody has registered a model yet, which it says; asked
// for what it protects it wants its token; nothing is counted.
func TestQueryKVCacheProcess(t *testing.T) {
	dir := t.TempDir()
	token := filepath.Join(dir, "token")
	write(t, token, "secret-of-the-query\n")
	p := startProcess(t, "--l1-size-gb", "64MiB", "--eviction-policy", "LRU", "--http-port", "0", "--prometheus-port", "0", "--prometheus-host", "127.0.0.1", "--chunk-size", "2",
		"--admin-token-file", token, "--http-auth-all", "--l2-adapter", `{"type":"fs","base_path":"`+dir+`/kv","disk_min_free_gb":0,"max_capacity_gb":1}`)
	page := "http://127.0.0.1:" + p.port + "/metrics"
	before := scrape(t, page)
	for _, c := range []struct{ args, token, stderr string }{
		{"--model llama --tokens 1,2,3", "", "401 Unauthorized: the administrator's token is needed (Authorization: Bearer …) (--token-file or LMCACHE_ADMIN_TOKEN)"},
		{"--model llama --tokens 1,2,3", "secret-of-the-query", "503 Service Unavailable: lmcache: no worker of this model and world size is attached; there is no worker at all"},
		{"--model a@b --tokens 1", "secret-of-the-query", `400 Bad Request: kv: model_name contains "@", which is not allowed`},
		{"--model llama --salt a/b --tokens 1", "secret-of-the-query", `400 Bad Request: kv: cache_salt contains "/", which is not allowed`},
	} {
		env := map[string]string{"LMCACHE_URL": p.url, "LMCACHE_ADMIN_TOKEN": c.token}
		stdout, stderr, code := command(t, env, "", append([]string{"query", "kvcache"}, strings.Fields(c.args)...)...)
		if code != cli.ExitFailed || stdout != "" || !strings.Contains(stderr, c.stderr) {
			t.Errorf("%s: exit code %d\n%s%s", c.args, code, stdout, stderr)
		}
	}
	if diff := cmp.Diff(before, scrape(t, page)); diff != "" {
		t.Errorf("metrics (-before +after):\n%s", diff)
	}
}

// A server with a worker and files is asked about a prompt, through everything from the
// command line to the disk; its metrics do not move.
func TestQueryKVCacheServer(t *testing.T) {
	bus := eventbus.New(eventbus.Options{})
	metrics, err := export.NewMetrics(export.Options{})
	if err != nil {
		t.Fatal(err)
	}
	observer, err := observe.Start(bus, metrics.MeterProvider(), observe.Options{})
	if err != nil {
		t.Fatal(err)
	}
	files, err := fs.Open(t.Context(), fs.Options{BasePath: t.TempDir(), MinFree: -1})
	if err != nil {
		t.Fatal(err)
	}
	e, err := lmcache.Open(t.Context(), lmcache.Options{
		Bus: bus, ChunkTokens: 16, L1: l1.Options{Bytes: 1 << 20}, Tiers: []storage.Tier{{Adapter: files, Settings: l2.Settings{Type: "fs", Capacity: 1 << 30}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := observer.Watch(observe.Sources{Engine: e, Bus: bus}); err != nil {
		t.Fatal(err)
	}
	s, err := httpserver.Listen(t.Context(), httpserver.Options{Addr: "127.0.0.1:0", Engine: e, Cache: e, Metrics: metrics.Handler()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		ctx := context.WithoutCancel(t.Context())
		if err := errors.Join(s.Close(ctx), e.Close(ctx), bus.Close(ctx), observer.Close(), metrics.Shutdown(ctx)); err != nil {
			t.Error(err)
		}
	}()
	w, err := e.AttachHost(lmcache.HostOptions{Model: "m", Geometry: &lmcache.HostGeometry{Layers: 2, Hidden: 8, DType: kv.Float16}})
	if err != nil {
		t.Fatal(err)
	}
	prompt := make([]int32, 6*16+3)
	for i := range prompt {
		prompt[i] = int32(i)
	}
	session := e.Session(lmcache.Request{ID: "r", Model: "m"})
	lease, err := w.PrepareStore(t.Context(), session, prompt, 0, 6*16)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(lease.Commit(), session.Close(), e.Flush(t.Context())); err != nil {
		t.Fatal(err)
	}
	x, err := e.Explain(t.Context(), lmcache.ExplainRequest{Model: "m", Tokens: prompt})
	if err != nil {
		t.Fatal(err)
	}
	keys := make([]kv.Key, len(x.Chunks))
	for i := range keys {
		keys[i] = kv.Key{Hash: x.Chunks[i].Hash, Model: "m", Rank: 0x01000100}
	}
	if _, err := e.Delete(t.Context(), keys[2:5], false); err != nil {
		t.Fatal(err)
	}
	if _, err := e.DeleteL2(t.Context(), keys[4:5], 0); err != nil {
		t.Fatal(err)
	}
	if err := bus.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(prompt)
	if err != nil {
		t.Fatal(err)
	}
	digits := func(i int) string { return x.Chunks[i].Hash.String()[:8] }
	before := scrape(t, s.URL()+"/metrics")
	for _, c := range []struct {
		args, stdin string
		code        int
		want        string
	}{
		{args: "--model m --tokens-file -", stdin: string(text), want: strings.Join([]string{
			"======================== KV Cache Query ========================",
			"chunks  hashes              tier  why",
			"0-1     " + digits(0) + ".." + digits(1) + "  l1",
			"2-3     " + digits(2) + ".." + digits(3) + "  l2",
			"4       " + digits(4) + "            none  l2_miss: is neither in the first tier nor in an outer one",
			"5       " + digits(5) + "            l1    after_gap: is there, behind one that is not",
			strings.Repeat("=", 64), "prefix: 4 of 6 chunks (64 tokens)", "",
		}, "\n")},
		{args: "--model m --salt tenant --tokens-file - --json", stdin: string(text), want: `"reason": "l2_miss"`},
		{args: "--model m --tokens 1,2,3", want: "prefix: 0 of 0 chunks (0 tokens)\n"},
		{args: "--model n --tokens-file -", stdin: string(text), code: cli.ExitFailed, want: "; there are workers of m with world size 1\n"},
		{args: "--model m --world-size 2 --tokens-file -", stdin: string(text), code: cli.ExitFailed, want: "; there are workers of m with world size 1\n"},
	} {
		stdout, stderr, code := command(t, map[string]string{"LMCACHE_URL": s.URL()}, c.stdin, append([]string{"query", "kvcache"}, strings.Fields(c.args)...)...)
		if got := stdout + stderr; code != c.code || !strings.Contains(got, c.want) || (stderr != "") != (code != 0) {
			t.Errorf("%s: exit code %d, (-want +got):\n%s", c.args, code, cmp.Diff(c.want, got))
		}
	}
	if err := bus.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, scrape(t, s.URL()+"/metrics")); diff != "" {
		t.Errorf("metrics (-before +after):\n%s", diff)
	}
}
