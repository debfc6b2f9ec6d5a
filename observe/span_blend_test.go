package observe

import (
	"bytes"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/lmcache-go/lmcache"
	"github.com/lmcache-go/lmcache/eventbus"
)

// newBlendRig has both span subscribers with one registry, or that of CacheBlend alone.
func newBlendRig(t testing.TB, alone bool) (*spanRig, *BlendSpanSubscriber) {
	t.Helper()
	r := &spanRig{t: t, bus: eventbus.New(eventbus.Options{Manual: true}), rec: tracetest.NewSpanRecorder()}
	tp := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(r.rec))
	o := SpanOptions{Logger: slog.New(slog.NewTextHandler(&r.log, &slog.HandlerOptions{Level: slog.LevelDebug}))}
	subs, err := SpanSubscribers(tp, o)
	if err != nil {
		t.Fatal(err)
	}
	r.subj = subs[0].(*SpanSubscriber)
	blend := subs[1].(*BlendSpanSubscriber)
	if alone {
		if blend, err = NewBlendSpanSubscriber(tp, o); err != nil {
			t.Fatal(err)
		}
		subs = []eventbus.Subscriber{blend}
	}
	for _, s := range subs {
		if _, err := r.bus.Subscribe(s); err != nil {
			t.Fatal(err)
		}
	}
	r.bus.Drain(second(0))
	return r, blend
}

func blendStart() func(*spanRig, float64) { return ev(lmcache.BlendRequestStarted{SessionID: "s"}) }
func blendEnd() func(*spanRig, float64)   { return ev(lmcache.BlendRequestEnded{SessionID: "s"}) }

func blendLookupStart() func(*spanRig, float64) {
	return ev(lmcache.BlendLookupStarted{SessionID: "s", NumTokens: 1100})
}

func blendLookupEnd() func(*spanRig, float64) {
	return ev(lmcache.BlendLookupEnded{
		SessionID: "s", NumTokens: 1100, RequestedTokens: 1024, HitTokens: 768, FingerprintHits: 4, StorageHits: 3, StaleChunks: 1,
	})
}

func blendRetrieveSubmit() func(*spanRig, float64) {
	return ev(lmcache.BlendRetrieveSubmitted{SessionID: "s", InstanceID: 7})
}

func blendRetrieveStart() func(*spanRig, float64) {
	return ev(lmcache.BlendRetrieveStarted{SessionID: "s", InstanceID: 7, NumChunks: 3})
}

func blendRetrieveEnd(ok bool) func(*spanRig, float64) {
	return ev(lmcache.BlendRetrieveEnded{SessionID: "s", InstanceID: 7, NumChunks: 3, Success: ok})
}

func preComputedSubmit() func(*spanRig, float64) {
	return ev(lmcache.BlendStorePreComputedSubmitted{SessionID: "s", InstanceID: 7})
}

func preComputedStart() func(*spanRig, float64) {
	return ev(lmcache.BlendStorePreComputedStarted{SessionID: "s", InstanceID: 7, NumTokens: 512})
}

func preComputedEnd() func(*spanRig, float64) {
	return ev(lmcache.BlendStorePreComputedEnded{SessionID: "s", InstanceID: 7, NumTokens: 512, StoredChunks: 2, Success: true})
}

func finalSubmit() func(*spanRig, float64) {
	return ev(lmcache.BlendStoreFinalSubmitted{SessionID: "s", InstanceID: 7})
}

func finalStart() func(*spanRig, float64) {
	return ev(lmcache.BlendStoreFinalStarted{SessionID: "s", InstanceID: 7, NumTokens: 1024})
}

func finalEnd() func(*spanRig, float64) {
	return ev(lmcache.BlendStoreFinalEnded{SessionID: "s", InstanceID: 7, NumTokens: 1024, StoredChunks: 4, Success: true})
}

// REQ-O43, REQ-O47 for blended requests: the trees, and when the root ends.
func TestBlendTrees(t *testing.T) {
	for _, c := range []struct {
		name   string
		steps  []step
		want   []string
		traces int
	}{
		{
			"everything", // the end of the request precedes the final store, whose end closes the root
			[]step{
				{0, blendStart()},
				{0.1, blendLookupStart()},
				{1, ev(lmcache.BlendChunksEvicted{SessionID: "s", NumChunks: 1})},
				{1.5, blendLookupEnd()},
				{2, preComputedSubmit()},
				{2.5, preComputedStart()},
				{3, preComputedEnd()},
				{3.5, ev(lmcache.BlendFingerprintsRegistered{SessionID: "s", NumChunks: 2, NumTokens: 512})},
				{4, blendRetrieveSubmit()},
				{5, blendRetrieveStart()},
				{6, blendRetrieveEnd(true)},
				{7, blendEnd()},
				{8, finalSubmit()},
				{9, finalStart()},
				{10, finalEnd()},
			},
			[]string{
				"cb.request [0,10]", "  cb.lookup [0.1,1.5]", "  cb.chunks.evicted [1,1]", "  cb.store_pre_computed [2.5,3]",
				"  cb.fingerprints.registered [3.5,3.5]", "  cb.retrieve [5,6]", "  cb.store_final [9,10]",
			},
			1,
		},
		{
			"the request ends last",
			[]step{
				{0, blendStart()},
				{1, blendRetrieveSubmit()},
				{2, blendRetrieveStart()},
				{3, blendRetrieveEnd(true)},
				{4, finalSubmit()},
				{5, finalStart()},
				{6, finalEnd()},
				{7, blendEnd()},
			},
			[]string{"cb.request [0,7]", "  cb.retrieve [2,3]", "  cb.store_final [5,6]"},
			1,
		},
		{
			"no match",
			[]step{{0, blendStart()}, {0, blendLookupStart()}, {1, blendLookupEnd()}, {1, blendEnd()}},
			[]string{"cb.request [0,1]", "  cb.lookup [0,1]"},
			1,
		},
		{
			"one counter of what is pending", // the root waits for both stores, however they are ordered
			[]step{
				{0, blendStart()},
				{1, preComputedSubmit()},
				{1, finalSubmit()},
				{2, blendEnd()},
				{3, finalStart()},
				{4, finalEnd()},
				{5, preComputedStart()},
				{6, preComputedEnd()},
			},
			[]string{"cb.request [0,6]", "  cb.store_final [3,4]", "  cb.store_pre_computed [5,6]"},
			1,
		},
		{
			"a failed retrieve, and a second start",
			[]step{
				{0, blendStart()},
				{0.5, blendStart()},
				{1, blendRetrieveSubmit()},
				{2, blendRetrieveStart()},
				{3, blendRetrieveEnd(false)},
				{3, finalSubmit()},
				{4, finalStart()},
				{5, finalEnd()},
				{6, blendEnd()},
			},
			[]string{"cb.request [0,6]", "  cb.retrieve [2,3] !", "  cb.store_final [4,5]"},
			1,
		},
		{
			"orphans are roots",
			[]step{
				{0, preComputedStart()},
				{1, preComputedEnd()},
				{2, ev(lmcache.BlendFingerprintsRegistered{SessionID: "s", NumChunks: 2, NumTokens: 512})},
			},
			[]string{"cb.store_pre_computed [0,1]", "cb.fingerprints.registered [2,2]"},
			2,
		},
		{
			"work after the root has ended stays in its trace",
			[]step{{0, blendStart()}, {1, blendEnd()}, {2, finalStart()}, {3, finalEnd()}, {4, ev(lmcache.BlendChunksEvicted{SessionID: "s"})}},
			[]string{"cb.request [0,1]", "  cb.store_final [2,3]", "  cb.chunks.evicted [4,4]"},
			1,
		},
		{
			"an open cb.request is the parent of what the engine does",
			[]step{
				{0, blendStart()},
				{1, storeSubmit("1")},
				{1, storeStart("1")},
				{2, storeEnd("1")},
				{3, lookupStart()},
				{4, lookupEnd(1, 1)},
				{5, requestEnd()},
				{6, blendEnd()},
				{7, retrieveSubmit()},
				{7, retrieveStart()},
				{8, retrieveEnd(1)},
			},
			[]string{"cb.request [0,6]", "  mp.store [1,2]", "  mp.lookup_prefetch [3,4]", "  mp.retrieve [7,8]"},
			1,
		},
		{
			"a request of its own is not taken over",
			[]step{{0, requestStart()}, {1, blendStart()}, {2, storeStart("1")}, {3, storeEnd("1")}, {4, blendEnd()}, {5, requestEnd()}},
			[]string{"request [0,5]", "  mp.store [2,3]", "cb.request [1,4]"},
			2,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, blend := newBlendRig(t, false)
			r.play(c.steps...)
			if diff := cmp.Diff(c.want, r.tree()); diff != "" {
				t.Errorf("spans (-want +got):\n%s", diff)
			}
			traces := make(map[string]bool)
			for _, s := range r.rec.Ended() {
				traces[s.SpanContext().TraceID().String()] = true
				if scope, want := s.InstrumentationScope().Name, map[bool]string{true: "lmcache_mp.blend", false: "lmcache_mp.server"}[strings.HasPrefix(s.Name(), "cb.")]; scope != want {
					t.Errorf("%s: tracer %q, want %q", s.Name(), scope, want)
				}
				if v, ok := attributeOf(s, "session_id"); !ok || v.AsString() != "s" {
					t.Errorf("%s has no session_id", s.Name())
				}
			}
			if len(traces) != c.traces {
				t.Errorf("%d traces, want %d", len(traces), c.traces)
			}
			if st := blend.Stats(); r.open() != 0 || st.Open != 0 || st.Leaked["cb.request"] != 0 || r.subj.Stats().Open != 0 {
				t.Errorf("%d spans open, %+v, %+v", r.open(), st, r.subj.Stats())
			}
			twice := strings.Contains(r.log.String(), `level=WARN msg="CB_REQUEST_START fired twice for session=s; ignoring"`)
			if want := strings.Contains(c.name, "second start"); twice != want {
				t.Errorf("warned of a second start: %v, want %v: %s", twice, want, r.log.String())
			}
		})
	}
}

// REQ-O44: hit_rate on cb.request; attributes of all spans, typed.
func TestBlendAttributes(t *testing.T) {
	r, _ := newBlendRig(t, true)
	r.play(
		step{0, blendStart()}, step{0, blendLookupStart()}, step{1, blendLookupEnd()}, step{2, blendRetrieveStart()}, step{3, blendRetrieveEnd(true)},
		step{4, finalStart()}, step{5, finalEnd()}, step{6, ev(lmcache.BlendFingerprintsRegistered{SessionID: "s", NumChunks: 2, NumTokens: 512})},
		step{6, ev(lmcache.BlendChunksEvicted{SessionID: "s", NumChunks: 5})}, step{7, blendEnd()},
	)
	want := map[string]map[string]any{
		"cb.request": {"session_id": "s", "hit_tokens": int64(768), "requested_tokens": int64(1024), "hit_rate": 0.75},
		"cb.lookup": {
			"session_id": "s", "num_tokens": int64(1100), "requested_tokens": int64(1024), "hit_tokens": int64(768),
			"fingerprint_hits": int64(4), "storage_hits": int64(3), "stale_chunks": int64(1), "no_gpu_context": false,
		},
		"cb.retrieve":    {"session_id": "s", "instance_id": int64(7), "num_chunks": int64(3), "success": true},
		"cb.store_final": {"session_id": "s", "instance_id": int64(7), "num_tokens": int64(1024), "stored_chunks": int64(4), "success": true},

		"cb.fingerprints.registered": {"session_id": "s", "num_chunks": int64(2), "num_tokens": int64(512)},
		"cb.chunks.evicted":          {"session_id": "s", "num_chunks": int64(5)},
	}
	got := make(map[string]map[string]any)
	for _, s := range r.rec.Ended() {
		got[s.Name()] = make(map[string]any)
		for _, a := range s.Attributes() {
			got[s.Name()][string(a.Key)] = a.Value.AsInterface()
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// REQ-O47: what never ends is given up, by age and at Close.
func TestREQ_O47_BlendGivesUp(t *testing.T) {
	for _, c := range []struct {
		name  string
		steps []step
		sweep float64 // 0: Close instead
		want  []string
		leaks map[string]uint64
	}{
		{
			"the end of a store was lost",
			[]step{{0, blendStart()}, {1, preComputedSubmit()}, {1, preComputedStart()}, {2, blendEnd()}},
			911,
			[]string{"cb.request [0,2]", "  cb.store_pre_computed [1,911] !?"},
			map[string]uint64{"cb.store_pre_computed": 1},
		},
		{
			"the final store never came",
			[]step{{0, blendStart()}, {1, blendRetrieveSubmit()}, {1, blendRetrieveStart()}, {2, blendRetrieveEnd(true)}, {3, blendEnd()}},
			3610,
			[]string{"cb.request [0,3610] !?", "  cb.retrieve [1,2]"},
			map[string]uint64{"cb.request": 1},
		},
		{
			"close",
			[]step{{0, blendStart()}, {1, blendLookupStart()}},
			0,
			[]string{"cb.request [0,1] !?", "  cb.lookup [1,1] !?"},
			map[string]uint64{"cb.request": 1, "cb.lookup": 1},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, blend := newBlendRig(t, true)
			r.play(c.steps...)
			if c.sweep > 0 {
				r.bus.Drain(second(c.sweep))
			} else if err := r.bus.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, r.tree()); diff != "" {
				t.Errorf("spans (-want +got):\n%s", diff)
			}
			for kind, n := range blend.Stats().Leaked {
				if n != c.leaks[kind] {
					t.Errorf("%s: %d given up, want %d", kind, n, c.leaks[kind])
				}
			}
			if r.open() != 0 || blend.spans.sessions.len() != 0 {
				t.Errorf("%d spans open, %d sessions left", r.open(), blend.spans.sessions.len())
			}
		})
	}
}

// Any order and any loss of the events of both kinds leaves nothing open, in the
// registry neither.
func TestREQ_O48_BlendAnyOrderAnyLoss(t *testing.T) {
	rng := rand.New(rand.NewPCG(48, 2))
	all := []func(*spanRig, float64){
		blendStart(), blendLookupStart(), blendLookupEnd(), blendRetrieveSubmit(), blendRetrieveStart(), blendRetrieveEnd(true),
		preComputedSubmit(), preComputedStart(), preComputedEnd(), finalSubmit(), finalStart(), finalEnd(), blendEnd(),
		ev(lmcache.BlendChunksEvicted{SessionID: "s", NumChunks: 1}),
	}
	all = append(all, sessionSteps("s")...)
	for round := range 300 {
		r, blend := newBlendRig(t, false)
		rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		loss := rng.Float64()
		for _, publish := range all {
			if rng.Float64() >= loss {
				publish(r, 100*rng.Float64())
				r.bus.Drain(second(0))
			}
		}
		if round%2 == 0 { // by age
			for s := 0.0; s <= 4000; s += 300 {
				r.bus.Drain(second(s))
			}
		} else if err := r.bus.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		var leaked, seen uint64
		for _, st := range []SpanStats{r.subj.Stats(), blend.Stats()} {
			for _, n := range st.Leaked {
				leaked += n
			}
			if st.Open != 0 {
				t.Errorf("round %d: %d open", round, st.Open)
			}
		}
		for _, s := range r.rec.Ended() {
			if v, ok := attributeOf(s, "lmcache.span.leaked"); ok && v.AsBool() {
				seen++
			}
			if s.EndTime().Before(s.StartTime()) {
				t.Errorf("round %d: %s ends before it starts", round, s.Name())
			}
		}
		if registered := len(r.subj.spans.registry.mu.open); r.open() != 0 || leaked != seen || registered != 0 {
			t.Fatalf("round %d: %d spans open, %d given up, %d counted, %d sessions registered", round, r.open(), seen, leaked, registered)
		}
	}
}

func TestBlendSpanOptionsRefused(t *testing.T) {
	if _, err := NewBlendSpanSubscriber(nil, SpanOptions{}); err == nil {
		t.Error("no provider was accepted")
	}
	if _, err := SpanSubscribers(nil, SpanOptions{}); err == nil {
		t.Error("no provider was accepted")
	}
	if _, err := NewBlendSpanSubscriber(sdktrace.NewTracerProvider(), SpanOptions{MaxAge: -1}); err == nil || !strings.Contains(err.Error(), "max age") {
		t.Errorf("negative age: %v", err)
	}
}

// Sessions of CacheBlend are bounded like others.
func TestREQ_O60_BlendSessions(t *testing.T) {
	var log bytes.Buffer
	blend, err := NewBlendSpanSubscriber(sdktrace.NewTracerProvider(), SpanOptions{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	const extra = 10
	for i := range maxSpanSessions + extra {
		blend.requestStarted(fmt.Sprint(i), second(float64(i)))
	}
	if st := blend.Stats(); st.Open != maxSpanSessions || st.PushedOut != extra || st.Leaked["cb.request"] != extra {
		t.Errorf("%+v", st)
	}
	if err := blend.Close(); err != nil || blend.Stats().Open != 0 {
		t.Errorf("%v, %d open after Close", err, blend.Stats().Open)
	}
}
