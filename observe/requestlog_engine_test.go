package observe

import (
	"bytes"
	"encoding/json"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lmcache-go/lmcache"
	"github.com/lmcache-go/lmcache/eventbus"
	"github.com/lmcache-go/lmcache/gpu"
	"github.com/lmcache-go/lmcache/gpu/fake"
	"github.com/lmcache-go/lmcache/l1"
)

// mixedRun is requests of each kind against a real engine whose L1 holds four chunks
// of 16 tokens.
type mixedRun struct {
	t      *testing.T
	bus    *eventbus.Bus
	eng    *lmcache.Engine
	worker *lmcache.Worker
}

func newMixedRun(t *testing.T, bus *eventbus.Bus) *mixedRun {
	t.Helper()
	dev := fake.New(fake.Options{})
	cache, err := dev.NewPaged(gpu.Shape{Layers: 2, Blocks: 16, BlockTokens: 8, Heads: 2, HeadSize: 4, DType: "float16"})
	if err != nil {
		t.Fatal(err)
	}
	m := &mixedRun{t: t, bus: bus}
	if m.eng, err = lmcache.Open(t.Context(), lmcache.Options{
		ChunkTokens: 16, L1: l1.Options{Bytes: 4096, Align: 64}, Bus: bus, MaxSessions: 1,
	}); err != nil {
		t.Fatal(err)
	}
	if m.worker, err = m.eng.Attach(lmcache.WorkerOptions{Model: "m", Backend: dev, Cache: cache}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := dev.Close(); err != nil {
			t.Error(err)
		}
	})
	return m
}

// parts of a request.
const (
	lookup = 1 << iota
	answer
	clearAll // before the retrieve
	retrieve
	save
	forget // to end the session
)

func (m *mixedRun) request(id string, first int32, tokens, do int) {
	m.t.Helper()
	ctx := m.t.Context()
	check := func(err error) {
		m.t.Helper()
		if err != nil {
			m.t.Fatal(id, ": ", err)
		}
	}
	prompt := make([]int32, tokens)
	for i := range prompt {
		prompt[i] = first + int32(i)
	}
	blocks := make([]gpu.BlockID, (tokens+7)/8)
	for i := range blocks {
		blocks[i] = gpu.BlockID(i)
	}
	table := [][]gpu.BlockID{blocks}
	s := m.eng.Session(lmcache.Request{ID: id, Model: "m", Salt: "t", TraceParent: traceparent})
	var match *lmcache.Match
	if do&lookup != 0 {
		match = s.Lookup(ctx, prompt)
	}
	if do&answer != 0 {
		_, err := match.Tokens(ctx)
		check(err)
	}
	if do&clearAll != 0 {
		_, err := m.eng.Clear(ctx, true)
		check(err)
	}
	if do&retrieve != 0 {
		tr, err := m.worker.Retrieve(ctx, match, table, nil)
		check(err)
		check(tr.Wait(ctx))
	}
	if do&save != 0 {
		tr, err := m.worker.Store(ctx, s, prompt, table, nil)
		check(err)
		check(tr.Wait(ctx))
	}
	if do&forget == 0 {
		check(s.Close())
	}
}

// moved adds up what transfers report.
type moved struct{ retrieved, stored, in, out float64 }

func (*moved) Name() string { return "moved" }
func (m *moved) Subscribe(s *eventbus.Subscription) {
	eventbus.On(s, func(e lmcache.RetrieveEnded, _ time.Time) {
		m.retrieved += float64(e.RetrievedCount)
		m.in += float64(e.TotalBytes)
	})
	eventbus.On(s, func(e lmcache.StoreEnded, _ time.Time) {
		m.stored += float64(e.StoredCount)
		m.out += float64(e.TotalBytes)
	})
}

// REQ-O53: one line per session in a mixed run, whose sums equal the counters.
func TestREQ_O53_MixedRun(t *testing.T) {
	bus := eventbus.New(eventbus.Options{})
	rec := newRecorder()
	start(t, bus, rec, Options{})
	var out bytes.Buffer
	log, err := NewRequestLog(&out, RequestLogOptions{})
	if err != nil {
		t.Fatal(err)
	}
	sum := &moved{}
	for _, s := range []eventbus.Subscriber{log, sum} {
		if _, err := bus.Subscribe(s); err != nil {
			t.Fatal(err)
		}
	}
	m := newMixedRun(t, bus)
	m.request("store only", 0, 48, save)                           // 3 chunks
	m.request("hit", 0, 48, lookup|answer|retrieve|save)           // 3 of 3
	m.request("partial", 0, 64, lookup|retrieve|save)              // 3 of 4, asked by the retrieve
	m.request("miss", 1000, 32, lookup|answer|save)                // 2 new ones, for which 2 go
	m.request("short", 2000, 5, lookup|answer)                     // no full chunk
	m.request("unanswered", 1000, 32, lookup)                      // nobody asks what came of it
	m.request("failed", 1000, 32, lookup|answer|clearAll|retrieve) // what was found is gone
	m.request("forgotten", 3000, 16, lookup|answer|save|forget)    // ended by the next one
	m.request("last", 3000, 16, lookup|answer|retrieve)            // 1 of 1
	if err := m.eng.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := bus.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	outcomes := make(map[string]string)
	sums := make(map[string]float64)
	for line := range strings.Lines(out.String()) {
		var fields map[string]any
		if err := json.Unmarshal([]byte(line), &fields); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		id := fields["session_id"].(string)
		if _, twice := outcomes[id]; twice {
			t.Errorf("two lines of %s", id)
		}
		outcomes[id] = fields["outcome"].(string)
		_, rated := fields["hit_rate"]
		looked := id != "store only"
		if rated != looked || (fields["trace_id"] == traceparent[3:35]) != looked || fields["cache_salt"] != "t" {
			t.Errorf("%s: %s", id, line)
		}
		for name, v := range fields {
			if n, ok := v.(float64); ok && !strings.HasSuffix(name, "_ms") && name != "hit_rate" {
				sums[name] += n
			}
		}
	}
	want := map[string]string{
		"store only": "store_only", "hit": "hit", "partial": "partial", "miss": "miss", "short": "miss",
		"unanswered": "miss", "failed": "failed", "forgotten": "abandoned", "last": "hit",
	}
	if diff := cmp.Diff(want, outcomes); diff != "" {
		t.Errorf("outcomes (-want +got):\n%s", diff)
	}
	points := rec.scrape(t)
	const tenant = `{cache_salt="t",model_name="m"}`
	counters := map[string]float64{
		"requested_tokens": points[nameRequestedTokens+tenant], "hit_tokens": points[nameHitTokens+tenant],
		"l1_hit_tokens": points[nameHitL1+tenant], "l2_hit_tokens": points[nameHitL2+tenant],
		"evicted_keys":     points[nameL1Evicted],
		"retrieved_chunks": sum.retrieved, "stored_chunks": sum.stored, "bytes_in": sum.in, "bytes_out": sum.out,
	}
	byHand := map[string]float64{ // the failed request found two chunks
		"requested_tokens": 48 + 64 + 32 + 32 + 16 + 16, "hit_tokens": 48 + 48 + 32 + 16, "l1_hit_tokens": 48 + 48 + 32 + 16, "l2_hit_tokens": 0,
		"evicted_keys": 2, "retrieved_chunks": 3 + 3 + 1, "stored_chunks": 3 + 1 + 2 + 1, "bytes_in": 7 * 1024, "bytes_out": 7 * 1024,
	}
	if diff := cmp.Diff(byHand, counters); diff != "" {
		t.Errorf("counters (-want +got):\n%s", diff)
	}
	if !maps.Equal(sums, counters) {
		t.Errorf("sums of the lines and counters differ:\n%s", cmp.Diff(counters, sums))
	}
}
