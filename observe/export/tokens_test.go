package export_test

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lmcache-go/lmcache"
	"github.com/lmcache-go/lmcache/eventbus"
	"github.com/lmcache-go/lmcache/gpu"
	"github.com/lmcache-go/lmcache/internal/leak"
	"github.com/lmcache-go/lmcache/observe"
)

// REQ-O62: after a workload whose tokens and KV bytes can be recognised, with everything
// on and at DEBUG, none of them is in any message, label, span or line of the request log. What names
// the session is in each of them, so the search is not in vain.
func TestREQ_O62_NoTokensAnywhere(t *testing.T) {
	leak.Check(t)
	const first, recognised = 1_717_171_700, "17171717"
	c := newCollector(t, "")
	file := filepath.Join(t.TempDir(), "spans.jsonl")
	var debug, requests logBuffer
	requestLog, err := observe.NewRequestLog(&requests, observe.RequestLogOptions{})
	if err != nil {
		t.Fatal(err)
	}
	more := append(observe.LogSubscribers(slog.New(slog.NewJSONHandler(&debug, &slog.HandlerOptions{Level: slog.LevelDebug}))), requestLog)
	h := newTracedHost(t, observe.Options{OTLPEndpoint: c.addr, Tracing: true, OTLPLogs: true, SpanOutput: file, SampleRate: 1}, debug.logger(), nil, more...)
	h.level.Set(slog.LevelDebug)
	const secret = "KVBYTES!"
	for layer := range 2 {
		for plane := range h.cache.Groups[0].Planes() {
			for block := range 16 {
				view := h.dev.Block(h.cache, 0, layer, plane, gpu.BlockID(block))
				copy(view, strings.Repeat(secret, len(view)/len(secret)))
			}
		}
	}
	unwanted := map[string]string{
		"a token": recognised, "KV bytes": secret, "KV bytes in hex": hex.EncodeToString([]byte(secret)), "KV bytes in base64": "S1ZCWVRFUyFLVkJZVEVTI",
		"KV bytes as numbers": "75 86 66 89 84 69 83 33",
	}
	h.serve(prompt(first, 48), 0)
	h.serve(prompt(first, 64), 48)
	h.serve(prompt(first, 7), 0)
	eventbus.TopicOf[lmcache.BlocksAllocated](h.rig.bus).Publish(lmcache.BlocksAllocated{InstanceID: 1, Model: "m", Records: []lmcache.BlockAllocation{
		{RequestID: "r1", NewBlockIDs: []gpu.BlockID{1}, NewTokenIDs: prompt(first, 16)},
	}})
	h.rig.flush(t)
	_, plain := fetch(t, h.rig.url, nil)
	_, open := fetch(t, h.rig.url, http.Header{"Accept": {"application/openmetrics-text; version=1.0.0"}})
	if err := h.rig.m.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	h.close(t.Context())
	spans, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var pushed bytes.Buffer
	c.mu.Lock()
	fmt.Fprint(&pushed, c.mu.metrics, c.mu.spans, c.mu.logs)
	c.mu.Unlock()
	for what, o := range map[string]struct{ text, has string }{
		"scrape": {plain, `model_name="m"`}, "OpenMetrics": {open, `model_name="m"`}, "log": {debug.String(), "session=r1"},
		"block allocation": {debug.String(), "vLLM block allocation: req_id=r1 new_blocks=1 new_tokens=16 block_ids=[1]"},
		"request log":      {requests.String(), `"session_id":"r1"`}, "span file": {string(spans), `"r1"`}, "OTLP": {pushed.String(), `"r1"`},
	} {
		for name, text := range unwanted {
			if i := strings.Index(o.text, text); i >= 0 {
				t.Errorf("%s has %s: …%s…", what, name, o.text[max(0, i-100):min(len(o.text), i+100)])
			}
		}
		if !strings.Contains(o.text, o.has) {
			t.Errorf("%s has no %s in its %d bytes", what, o.has, len(o.text))
		}
	}
}
