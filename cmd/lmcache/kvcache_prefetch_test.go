package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lmcache-go/lmcache/internal/cli"
)

// A prompt is sent as it was given, and its result waited for or not.
func TestKVCachePrefetch(t *testing.T) {
	asked, left := "", 0 // times that it is still pending
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodPost && r.URL.Path == "/cache/prefetches":
			data, _ := io.ReadAll(r.Body)
			asked = string(data)
			w.WriteHeader(http.StatusAccepted)
			if strings.Contains(asked, `"token_ids":[]`) {
				fmt.Fprint(w, `{"chunks":0,"status":"noop"}`)
				return
			}
			fmt.Fprint(w, `{"request_id":"warm-1","chunks":2,"status":"submitted"}`)
		case r.URL.Path == "/cache/prefetches/warm-1" && left != 0:
			left--
			fmt.Fprint(w, `{"request_id":"warm-1","status":"pending"}`)
		case r.URL.Path == "/cache/prefetches/warm-1":
			fmt.Fprint(w, `{"request_id":"warm-1","status":"completed","found_keys":0,"total_keys":4}`)
		default:
			http.NotFound(w, r)
		}
	}))
	defer s.Close()
	file := filepath.Join(t.TempDir(), "prompt")
	write(t, file, "[7, 8\n 9,10]\n")
	for _, c := range []struct {
		args, stdin string
		pending     int
		code        int
		body        string
		stdout      []string
		stderr      string
	}{
		{args: "--model m --tokens 1,2,3", body: `{"model_name":"m","world_size":1,"token_ids":[1,2,3]}`, stdout: []string{"submitted", "warm-1", "Chunks:                                        2"}},
		{
			args: "--model m --world-size 2 --salt t --tokens-file " + file + " --wait 1m --json", pending: 2, body: `{"model_name":"m","world_size":2,"token_ids":[7,8,9,10],"cache_salt":"t"}`,
			stdout: []string{`"status": "completed"`, `"chunks": 2`, `"found_keys": 0`, `"total_keys": 4`},
		},
		{args: "--model m --tokens-file -", stdin: "5 6", body: `{"model_name":"m","world_size":1,"token_ids":[5,6]}`, stdout: []string{"submitted"}},
		{args: "--model m --tokens-file -", body: `{"model_name":"m","world_size":1,"token_ids":[]}`, stdout: []string{"noop", "N/A"}},
		{args: "--model m --tokens 1 --wait 0.1", pending: -1, code: cli.ExitFailed, body: `{"model_name":"m","world_size":1,"token_ids":[1]}`, stdout: []string{"pending"}, stderr: "the prefetch is not done after 100ms; it goes on"},
		{args: "--model m --tokens-file " + file + "x", code: cli.ExitFailed, stderr: "--tokens-file: open " + file + "x: no such file"},
		{args: "--model m --tokens-file -", stdin: "5 -6", code: cli.ExitFailed, stderr: `--tokens-file: token 1 must be a whole number from 0 to 2147483647, got "-6"`},
		{args: "--tokens 1,x", code: cli.ExitUsage, stderr: "--model: is required\nlmcache: error: --tokens: token 1 must be a whole number"},
		{args: "--model m", code: cli.ExitUsage, stderr: "--tokens: or --tokens-file is required"},
		{args: "--model m --tokens 1 --tokens-file -", code: cli.ExitUsage, stderr: "--tokens-file: excludes --tokens"},
	} {
		asked, left = "", c.pending
		stdout, stderr, code := command(t, map[string]string{"LMCACHE_URL": s.URL}, c.stdin, append([]string{"kvcache", "prefetch"}, strings.Fields(c.args)...)...)
		if code != c.code || !strings.Contains(stderr, c.stderr) || (c.stderr == "") != (stderr == "") || asked != c.body {
			t.Errorf("%s: exit code %d, asked %s\n%s%s", c.args, code, asked, stdout, stderr)
		}
		for _, part := range c.stdout {
			if !strings.Contains(stdout, part) {
				t.Errorf("%s: %s is missing from\n%s", c.args, part, stdout)
			}
		}
	}
}
