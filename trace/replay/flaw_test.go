package replay_test

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tinylib/msgp/msgp"

	"github.com/lmcache-go/lmcache/eventbus"
	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/storage"
	"github.com/lmcache-go/lmcache/storage/kv"
	"github.com/lmcache-go/lmcache/trace"
	"github.com/lmcache-go/lmcache/trace/replay"
)

// flawed replays a stream by one worker, and in virtual time.
func flawed(t *testing.T, stream []byte, from, to float64, strict bool) map[string]*replay.Result {
	t.Helper()
	w := newWorld(t, 24)
	defer w.close()
	tape, err := replay.ReadTape(given(t, stream))
	if err != nil {
		t.Fatal(err)
	}
	virtual, err := tape.Virtual(t.Context(), replay.VirtualOptions{
		Storage: storage.Options{L1: l1.Options{Bytes: 24 * objectBytes}}, From: from, To: to, Strict: strict,
	})
	if err != nil {
		t.Fatal(err)
	}
	return map[string]*replay.Result{
		"virtual": virtual,
		"fast":    run(t, w, given(t, stream), replay.Options{Pacing: replay.Fast, From: from, To: to, Strict: strict}),
	}
}

// TestREQ_T32_StrictInEveryPacing: what is wrong in the range is counted, nothing of it ends
// the replay, and strict names the first of it in the same words.
func TestREQ_T32_StrictInEveryPacing(t *testing.T) {
	const second = 1.0
	badGap := frame(text(text(msgp.AppendMapHeader(record(trace.NameGap, second), 1), "count"), "x"))
	malformed := []byte{0, 0, 0, 1, 0xc1}
	badOutcomes := msgp.AppendMapHeader(nil, 6)
	badOutcomes = append(badOutcomes, record(storage.CallClear, second)[1:]...)
	badOutcomes = text(msgp.AppendMapHeader(badOutcomes, 0), "x")
	badOutcomes = frame(text(text(msgp.AppendMapHeader(badOutcomes, 1), "o"), "y"))
	clearAt := func(mono float64) []byte { return testRecord(storage.CallClear, mono) }
	exit := text(msgp.AppendMapHeader(record(trace.Qualname(storage.CallReadExit), second), 1), "keys")
	exit = frame(msgp.AppendArrayHeader(exit, 0))
	for _, c := range []struct {
		name                 string
		stream               []byte
		from, to             float64
		strict               string // beginning
		own, malformed, gaps int64
		skipped, unmatched   int64
	}{
		{name: "a gap", stream: testGap(7), strict: "a gap: 7 calls are lost at 1.000 s", gaps: 1, own: 2},
		{name: "a gap that does not decode", stream: badGap, strict: "failed to decode the mark of a gap at 1.000 s: ", malformed: 1, own: 2},
		{name: "the first of two", stream: slices.Concat(badGap, testGap(7)), strict: "failed to decode the mark", malformed: 1, gaps: 1, own: 2},
		{name: "the first of two, the other way", stream: slices.Concat(testGap(7), malformed), strict: "a gap: 7", malformed: 1, gaps: 1, own: 2},
		{name: "outcomes", stream: badOutcomes, strict: "failed to decode the outcomes with lmcache.trace.clear at 1.000 s: ", malformed: 1, own: 3},
		{name: "malformed", stream: malformed, strict: "TraceReader: skipping malformed record at offset ", malformed: 1, own: 2},
		{name: "a call of ours without arguments", stream: testRecord(storage.CallDelete, second), strict: "lmcache.trace.delete was not carried out: ", malformed: 1, own: 2},
		{name: "skipped", stream: testRecord("else", second), strict: "record 1 (" + storage.NamePrefix + "else) was skipped: trace: a call of unknown name", skipped: 1, own: 2},
		{name: "unmatched", stream: exit, strict: "an end of a read scope without a beginning at 1.000 s", unmatched: 1, own: 2},
		{name: "before the range", stream: slices.Concat(testGap(7), malformed, badGap), from: 1.5, own: 1},
		{name: "behind the range", stream: slices.Concat(testGap(7), badGap, malformed), to: 0.9, own: 1},
		{name: "perhaps in the range", stream: malformed, from: 1, strict: "TraceReader: skipping malformed record", malformed: 1, own: 1},
	} {
		stream := slices.Concat(testHeader(), clearAt(0.5), c.stream, clearAt(2))
		for pacing, r := range flawed(t, stream, c.from, c.to, false) {
			got := []int64{r.Own, r.Malformed, r.Gaps, r.Skipped, r.Unmatched}
			if want := []int64{c.own, c.malformed, c.gaps, c.skipped, c.unmatched}; !slices.Equal(got, want) || r.Lost != 7*r.Gaps || !r.OK() {
				t.Errorf("%s, %s: own, malformed, gaps, skipped, unmatched: %v, want %v", c.name, pacing, got, want)
			}
		}
		said := make(map[string]string)
		for pacing, r := range flawed(t, stream, c.from, c.to, true) {
			said[pacing] = r.Strict
			if (c.strict == "") != r.OK() || !strings.HasPrefix(r.Strict, c.strict) {
				t.Errorf("%s, %s: strict says %q, want %q", c.name, pacing, r.Strict, c.strict)
			}
		}
		if said["fast"] != said["virtual"] {
			t.Errorf("%s: strict says %v", c.name, said)
		}
	}
}

// leased records reads that go on over a moment, and returns the recording and the moment.
func leased(t *testing.T, w *world) (f *trace.File, moment float64) {
	t.Helper()
	f = w.recorded(trace.Options{}, func() {
		ctx := t.Context()
		check := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		store := func(prompt int) {
			l, err := w.m.ReserveWrite(ctx, []kv.Key{chunk("", prompt, 0)}, w.layout, storage.New, storage.WriteOptions{})
			check(err)
			l.Finish()
		}
		store(0)
		p, err := w.m.SubmitPrefetch(ctx, []kv.Key{chunk("", 0, 0)}, w.layout, storage.PrefetchOptions{Readers: 2})
		check(err)
		scope, err := p.Read(ctx, storage.Select{Hi: 1})
		check(err)
		late, err := w.m.ReserveWrite(ctx, []kv.Key{chunk("", 1, 0)}, w.layout, storage.New, storage.WriteOptions{})
		check(err)
		time.Sleep(time.Second)
		store(2)
		scope.EndScope()
		scope.Renew()
		scope.Finish()
		late.Finish()
		l, err := p.Read(ctx, storage.Select{Hi: 1})
		check(err)
		l.Finish()
		p.Release()
		store(3)
	})
	return f, 0.5
}

// What was leased before the range is ignored: its calls are not made, and their outcomes
// are nobody's.
func TestLeasesFromBeforeTheRange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newWorld(t, 24), newWorld(t, 24)
		f, from := leased(t, a)
		tape, err := replay.ReadTape(f.Records())
		if err != nil {
			t.Fatal(err)
		}
		var lines int
		virtual, err := tape.Virtual(t.Context(), replay.VirtualOptions{
			Storage: storage.Options{L1: l1.Options{Bytes: 24 * objectBytes}}, From: from, Strict: true, Line: func(replay.Line) { lines++ },
		})
		if err != nil {
			t.Fatal(err)
		}
		fast := run(t, b, f.Records(), replay.Options{Pacing: replay.Fast, From: from, Strict: true, Bus: b.bus})
		for name, r := range map[string]*replay.Result{"virtual": virtual, "fast": fast} {
			if r.Replayed != 4 || r.Own != 0 || r.Reserved != 2 || r.Unmatched != 0 || r.FailedKeys != 0 || r.Strict != "" || r.Diverged != 0 || r.Unmet != 0 || r.Compared == 0 {
				t.Errorf("%s: %+v, %v", name, r, r.First)
			}
		}
		if lines != 4 {
			t.Errorf("%d lines, want those of 2 stores", lines)
		}
		a.close()
		b.close()
	})
}

// Times that are not within what a duration can hold are far away, not long past.
func TestTimesFarAway(t *testing.T) {
	stream := slices.Concat(testHeader(), testRecord(storage.CallClear, 0), testRecord(storage.CallClear, 1e12), testRecord(storage.CallClear, 2e12))
	soon := slices.Concat(testHeader(), testRecord(storage.CallClear, 0), testRecord(storage.CallClear, 0.05))
	for name, c := range map[string]struct {
		stream []byte
		speed  float64
	}{"offsets": {stream, 1}, "speed": {soon, 1e-13}, "speed of nothing": {soon, math.SmallestNonzeroFloat64}} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, 24)
			ctx, cancel := context.WithTimeout(t.Context(), 1000*time.Hour)
			defer cancel()
			r, err := replay.Run(ctx, given(t, c.stream), replay.Options{Manager: w.m, Speed: c.speed})
			if err != nil || r.Own != 1 || !r.Interrupted {
				t.Errorf("%s: %v, %+v", name, err, r)
			}
			w.close()
		})
	}
	tape, err := replay.ReadTape(given(t, stream))
	if err != nil {
		t.Fatal(err)
	}
	bus := eventbus.New(eventbus.Options{Manual: true})
	r, err := tape.Virtual(t.Context(), replay.VirtualOptions{Storage: storage.Options{L1: l1.Options{Bytes: 24 * objectBytes}, Bus: bus}})
	if err != nil || r.Own != 3 || r.VirtualTime < math.MaxInt64-time.Hour {
		t.Errorf("%v, %v", err, fmt.Sprintf("%+v", r))
	}
}

// A summary takes a mark of losses that does not decode as replays do.
func TestFlawedMarkElsewhere(t *testing.T) {
	badGap := frame(text(text(msgp.AppendMapHeader(record(trace.NameGap, 1), 1), "count"), "x"))
	h, records, err := trace.Read(strings.NewReader(string(slices.Concat(testHeader(), badGap, testGap(7)))))
	if err != nil {
		t.Fatal(err)
	}
	s, err := trace.Summarise(h, records, true, func(d *trace.DamageError) { t.Error(d) })
	if err != nil {
		t.Fatal(err)
	}
	if d := s.Details; d.Malformed != 1 || d.Own[trace.NameGap] != 1 || d.Lost != 7 {
		t.Errorf("%+v", d)
	}
}
