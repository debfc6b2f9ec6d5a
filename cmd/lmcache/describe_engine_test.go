package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// An inference server is described by its list of models, whatever that leaves out.
func TestDescribeEngine(t *testing.T) {
	answer := `{"object":"list","data":[{"id":"llama","root":"/models/llama","max_model_len":8192,"owned_by":"vllm"},{"id":"lora","parent":"llama"}]}`
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1/models" {
			http.NotFound(w, r)
			return
		}
		fmt.Fprint(w, answer)
	}))
	defer s.Close()
	ask := func(args ...string) (string, string, int) {
		return command(t, nil, "", append([]string{"describe", "engine", "--url", s.URL}, args...)...)
	}
	stdout, stderr, code := ask()
	for _, line := range []string{
		"Inference Engine", "Models:                                          2", "Longest prompt (tokens):                      8192",
		"Adapter of:                                  llama", "Owned by:                                      N/A",
	} {
		if !strings.Contains(stdout, line) {
			t.Errorf("%q is missing from\n%s", line, stdout)
		}
	}
	if stderr != "" || code != 0 {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	if stdout, _, _ := ask("--json"); !strings.Contains(stdout, `"max_model_len": 8192`) {
		t.Error(stdout)
	}
	answer = "{}"
	if stdout, stderr, code := ask(); code != 1 || stdout != "" || !strings.Contains(stderr, "is this an inference server?") {
		t.Errorf("of something else: %d %s%s", code, stdout, stderr)
	}
}
