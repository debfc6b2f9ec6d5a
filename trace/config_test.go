package trace_test

import (
	"testing"

	"github.com/lmcache-go/lmcache/trace"
)

// TestREQ_T21_Digest: one text for equal configurations, and its SHA-256.
func TestREQ_T21_Digest(t *testing.T) {
	config := map[string]any{
		"b": []any{1, "x", nil, true, 1.5, []any{}}, "a": map[string]any{"z": "<é>", "y": map[string]any{}}, "c": func() {},
	}
	got := trace.Config(config)
	const want = `{"a": {"y": {}, "z": "<é>"}, "b": [1, "x", null, true, 1.5, []], "c": `
	if len(got) < len(want) || got[:len(want)] != want {
		t.Errorf("got  %s\nwant %s…", got, want)
	}
	delete(config, "c")
	for range 20 {
		if trace.Config(config) != `{"a": {"y": {}, "z": "<é>"}, "b": [1, "x", null, true, 1.5, []]}` {
			t.Errorf("got %s", trace.Config(config))
		}
	}
	if got := trace.Digest("abc"); got != "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" {
		t.Errorf("digest of abc: %s", got)
	}
	if got := trace.Digest(""); got != "" {
		t.Errorf("digest of nothing: %s", got)
	}
}
