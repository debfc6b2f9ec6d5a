package curve_test

import (
	"bytes"
	"context"
	"errors"
	"math"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lmcache-go/lmcache/internal/mooncake"
	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/trace"
	"github.com/lmcache-go/lmcache/trace/convert"
	"github.com/lmcache-go/lmcache/trace/curve"
)

const chunk = 512 << 10 // bytes

// load converts a request trace and loads it.
func load(t testing.TB, path string, o curve.LoadOptions, limit int64) *curve.Workload {
	t.Helper()
	in := mooncake.Builtin()
	if path != "" {
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = f.Close() }()
		in = f
	}
	var recording bytes.Buffer
	if _, err := convert.FromRequests(&recording, in, convert.Options{Limit: limit}); err != nil {
		t.Fatal(err)
	}
	return read(t, recording.Bytes(), o)
}

func read(t testing.TB, recording []byte, o curve.LoadOptions) *curve.Workload {
	t.Helper()
	h, records, err := trace.Read(bytes.NewReader(recording))
	if err != nil {
		t.Fatal(err)
	}
	w, err := curve.Load(&h, records, o)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

const conversation = "../../internal/mooncake/testdata/conversation.jsonl.gz"

func near(t *testing.T, r *curve.Result, chunks int64, policy string, want float64) {
	t.Helper()
	size := chunks * chunk
	if chunks < 0 {
		size = curve.Infinite
	}
	row, ok := r.At(size, policy)
	if !ok || math.Abs(row.HitRatio-want) > 0.002 || math.Abs(row.ByteHitRatio-row.HitRatio) > 1e-9 {
		t.Errorf("%s, %d chunks: %+v, want %.3f", policy, chunks, row, want)
	}
}

// TestREQ_T27_CurvesOfTheConversationTrace: stack distances, the cache itself and the
// bound have the known values; the cache is at most 0.5 points below ideal LRU, and
// nothing is above the bound.
func TestREQ_T27_CurvesOfTheConversationTrace(t *testing.T) {
	if raceEnabled {
		t.Skip("too long under the race detector")
	}
	w := load(t, conversation, curve.LoadOptions{}, 0)
	if w.Keys != 276_491 || !w.OneSize || w.Stored != 0 {
		t.Fatalf("%+v", w)
	}
	var sizes []int64
	for _, n := range []int64{1_000, 2_000, 5_000, 10_000, 20_000, 50_000} {
		sizes = append(sizes, n*chunk)
	}
	policies := []curve.Policy{{Name: "LRU"}, {Name: "RecencyFrequency"}}
	r, err := w.Run(t.Context(), curve.Options{Sizes: append(sizes, curve.Infinite), Policies: policies})
	if err != nil {
		t.Fatal(err)
	}
	for i, n := range []int64{1_000, 2_000, 5_000, 10_000, 20_000, 50_000, -1} {
		near(t, r, n, curve.LRUIdeal, []float64{.047, .058, .124, .224, .306, .372, .382}[i])
		near(t, r, n, "LRU", []float64{.047, .058, .124, .224, .306, .372, .382}[i])
		near(t, r, n, "RecencyFrequency", []float64{.083, .113, .181, .246, .317, .372, .382}[i])
	}
	for n, want := range map[int64]float64{1_000: .199, 5_000: .356, 20_000: .382, -1: .382} {
		near(t, r, n, curve.Belady, want)
	}
	for _, size := range r.Sizes {
		ideal, _ := r.At(size, curve.LRUIdeal)
		lru, _ := r.At(size, "LRU")
		bound, _ := r.At(size, curve.Belady)
		if lru.HitRatio < ideal.HitRatio-0.005 {
			t.Errorf("%d: LRU %v, ideal %v", size, lru.HitRatio, ideal.HitRatio)
		}
		for _, p := range r.Policies {
			if row, _ := r.At(size, p); row.HitRatio > bound.HitRatio {
				t.Errorf("%d: %s %v is above the bound %v", size, p, row.HitRatio, bound.HitRatio)
			}
		}
	}
}

// A sample of a fifth has the curve of the whole within a point and a half.
func TestSampledCurve(t *testing.T) {
	if raceEnabled {
		t.Skip("too long under the race detector")
	}
	whole := load(t, conversation, curve.LoadOptions{}, 4000)
	part := load(t, conversation, curve.LoadOptions{Sample: .2}, 4000)
	if share := float64(part.Unique) / float64(whole.Unique); share < .19 || share > .21 {
		t.Errorf("a sample of %v", share)
	}
	o := curve.Options{Sizes: []int64{2_000 * chunk, 10_000 * chunk, curve.Infinite}, Policies: []curve.Policy{{Name: "LRU"}}}
	want, err := whole.Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	got, err := part.Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	for i, row := range want.Rows {
		if d := got.Rows[i].HitRatio - row.HitRatio; math.Abs(d) > .015 || got.Rows[i].Policy != row.Policy {
			t.Errorf("%d %s: %.4f, whole %.4f", row.Bytes, row.Policy, got.Rows[i].HitRatio, row.HitRatio)
		}
	}
}

// The result is the same with any number of runs at a time, and the table has a row for
// each.
func TestRunIsDeterministic(t *testing.T) {
	w := load(t, "", curve.LoadOptions{}, 120)
	o := curve.Options{
		Sizes:    []int64{400 * chunk, curve.Infinite, 100 * chunk, 100 * chunk},
		Policies: []curve.Policy{{Name: "RecencyFrequency"}, {Name: "LRU", Mode: l1.ModeWatermark}, {Name: "RecencyFrequency"}},
		Parallel: 1,
	}
	var last, total int64
	o.Progress = func(done, all int64) { last, total = done, all }
	want, err := w.Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if last != total || total == 0 {
		t.Errorf("progress ends at %d of %d", last, total)
	}
	if diff := cmp.Diff([]string{"LRU-ideal", "RecencyFrequency", "LRU/watermark", "Belady"}, want.Policies); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if len(want.Rows) != 12 || want.Rows[0].Bytes != 100*chunk || want.Rows[11].Bytes != curve.Infinite {
		t.Errorf("%+v", want.Rows)
	}
	o.Parallel, o.Progress = 4, nil
	got, err := w.Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-1 +4):\n%s", diff)
	}
	text := string(want.CSV())
	if !strings.HasPrefix(text, "size_bytes,policy,hit_ratio,byte_hit_ratio\n52428800,LRU-ideal,0.") || strings.Count(text, "\n") != 13 || !strings.Contains(text, "\ninf,Belady,0.") {
		t.Errorf("CSV:\n%s", text)
	}
}

// A recording of LMCache has its size and its policy, and what its host generated is
// stored before it is asked for.
func TestRecordingOfLMCache(t *testing.T) {
	data, err := os.ReadFile("../testdata/upstream-small.lct")
	if err != nil {
		t.Fatal(err)
	}
	w := read(t, data, curve.LoadOptions{})
	want := curve.Config{
		Bytes: 4 << 20, Align: 4096,
		Policy: curve.Policy{Name: "LRU", Mode: l1.ModeWatermark, Watermark: .8, EvictionRatio: .2},
	}
	if diff := cmp.Diff(want, w.Config); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if w.Requests == 0 || w.MeasuredKeys != 0 {
		t.Errorf("%+v", w)
	}
	sizes := w.DefaultSizes(w.Config.Bytes)
	if diff := cmp.Diff([]int64{1 << 20, 2 << 20, 4 << 20, 8 << 20, 16 << 20, curve.Infinite}, sizes); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	r, err := w.Run(t.Context(), curve.Options{Policies: []curve.Policy{w.Config.Policy}})
	if err != nil {
		t.Fatal(err)
	}
	all, _ := r.At(curve.Infinite, "LRU/watermark")
	bound, _ := r.At(curve.Infinite, curve.Belady)
	if all.HitRatio != bound.HitRatio || all.HitRatio < .5 {
		t.Errorf("everything: %v, bound %v", all.HitRatio, bound.HitRatio)
	}
}

// Sizes are large enough for an object by default and in a sample. In those that are
// named and are not, what does not fit is never found; the others have their values.
func TestSizesBelowAnObject(t *testing.T) {
	policies := []curve.Policy{{Name: "LRU"}, {Name: "RecencyFrequency", Mode: l1.ModeWatermark}}
	small := load(t, "", curve.LoadOptions{}, 3)
	for _, base := range []int64{0, 1, 3 * chunk} {
		sizes := small.DefaultSizes(base)
		for i, n := range sizes {
			if n < chunk || i > 0 && n == sizes[i-1] {
				t.Errorf("base %d: sizes %d", base, sizes)
			}
		}
		if _, err := small.Run(t.Context(), curve.Options{Sizes: sizes, Policies: policies}); err != nil {
			t.Errorf("base %d: %v", base, err)
		}
	}
	whole, part := load(t, "", curve.LoadOptions{}, 100), load(t, "", curve.LoadOptions{Sample: .1}, 100)
	for _, w := range []*curve.Workload{whole, part} {
		r, err := w.Run(t.Context(), curve.Options{Sizes: []int64{1, 1000, chunk - 1, chunk, 400 * chunk, curve.Infinite}, Policies: policies})
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range r.Rows {
			if none := row.Bytes < chunk; none && row.HitRatio != 0 || row.Bytes == curve.Infinite && row.HitRatio < .02 {
				t.Errorf("%+v", row)
			}
		}
		alone, err := w.Run(t.Context(), curve.Options{Sizes: []int64{400 * chunk}, Policies: policies})
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range alone.Rows {
			if got, _ := r.At(want.Bytes, want.Policy); got != want {
				t.Errorf("%+v, alone %+v", got, want)
			}
		}
	}
}

func TestOptionsReportAllProblems(t *testing.T) {
	err := curve.Options{Sizes: []int64{0, 5}, Parallel: -1, Policies: []curve.Policy{{Name: "ARC"}, {Name: "LRU", Watermark: .5}}}.Validate()
	for _, want := range []string{"curve: Sizes: must be positive, got 0", "curve: Parallel: ", `curve: Policies: l1: Policy: `, "curve: Policies: l1: Watermark: "} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in %v", want, err)
		}
	}
	for _, rate := range []float64{-1, 1.5, math.NaN()} {
		if curve.CheckSample(rate) == nil {
			t.Errorf("%v is accepted", rate)
		}
	}
}

// A context that ends stops all runs.
func TestRunIsInterrupted(t *testing.T) {
	w := load(t, "", curve.LoadOptions{}, 50)
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("enough")
	cancel(why)
	if _, err := w.Run(ctx, curve.Options{Policies: []curve.Policy{{Name: "LRU"}}}); !errors.Is(err, why) {
		t.Errorf("got %v", err)
	}
}

// BenchmarkConversation is the hour of the conversation trace: read, all stack
// distances, and a run of the cache.
func BenchmarkConversation(b *testing.B) {
	f, err := os.Open(conversation)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	var recording bytes.Buffer
	if _, err := convert.FromRequests(&recording, f, convert.Options{}); err != nil {
		b.Fatal(err)
	}
	w := read(b, recording.Bytes(), curve.LoadOptions{})
	b.Run("load", func(b *testing.B) {
		b.SetBytes(int64(recording.Len()))
		for b.Loop() {
			read(b, recording.Bytes(), curve.LoadOptions{})
		}
	})
	b.Run("stack", func(b *testing.B) {
		for b.Loop() {
			w.Stack()
		}
	})
	sizes := []int64{5_000 * chunk}
	for _, policies := range [][]curve.Policy{nil, {{Name: "LRU"}}, {{Name: "RecencyFrequency"}}} {
		name := "stack and bound"
		if policies != nil {
			name = policies[0].Name + " as well"
		}
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := w.Run(b.Context(), curve.Options{Sizes: sizes, Policies: policies, Parallel: 1}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
