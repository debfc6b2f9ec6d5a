package replay_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lmcache-go/lmcache/trace"
	"github.com/lmcache-go/lmcache/trace/replay"
)

// linesOf replays a file on so many objects of memory and returns its lines.
func linesOf(t *testing.T, f *trace.File, objects int, withKeys bool, o replay.Options) (string, *replay.Result) {
	t.Helper()
	w := newWorld(t, objects)
	defer w.close()
	var b []byte
	o.Pacing, o.Bus = replay.Fast, w.bus
	o.Complete = func(l replay.Line) {
		var err error
		if b, err = replay.AppendLine(b, &l, withKeys); err != nil {
			t.Fatal(err)
		}
		b = append(b, '\n')
	}
	r := run(t, w, f.Records(), o)
	return string(b), r
}

// Lines are read as they were written.
func TestLinesAsJSON(t *testing.T) {
	w := newWorld(t, 24)
	defer w.close()
	f := w.record(5, 100, trace.Options{})
	text, _ := linesOf(t, f, 12, true, replay.Options{})
	for line := range strings.Lines(text) {
		l, err := replay.ParseLine([]byte(line))
		if err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		for i := range l.Outcomes { // the names are not in it
			l.Outcomes[i].Name = ""
			for _, name := range []string{"reserve_write", "finish_write", "submit_prefetch_task", "read_prefetched_results.__enter__"} {
				if o := string(l.Outcomes[i].AppendJSON(nil, name)); strings.Contains(line, o) {
					l.Outcomes[i].Name = name
				}
			}
		}
		again, err := replay.AppendLine(nil, &l, true)
		if got, want := string(again)+"\n", line; err != nil || got != want {
			t.Fatalf("%v:\ngot  %swant %s", err, got, want)
		}
	}
	for _, bad := range []string{
		"", "{}", "[]", "12", `{"qualname":"x","t_mono":1}`, `{"qualname":"x","t_mono":1,"n":-1}`, `{"t_mono":1,"n":1}`, `{"qualname":"x","t_mono":1,"n":1,"o":[{}]}`,
		`{"qualname":"x","t_mono":1,"n":1,"keys":["x"]}`, `{"qualname":"x","t_mono":1,"n":1,"evicted":[{"key":"x"}]}`, `{"qualname":"x","t_mono":"1","n":1}`,
	} {
		if l, err := replay.ParseLine([]byte(bad)); err == nil {
			t.Errorf("%s was read as %+v", bad, l)
		}
	}
}

// TestREQ_T26_DiffOfTwoReplays says of two replays what the divergence report says of a
// recording and a replay that decided as those two did.
func TestREQ_T26_DiffOfTwoReplays(t *testing.T) {
	for seed := range uint64(4) {
		a := newWorld(t, 24)
		f := a.record(seed, 200, trace.Options{})
		a.close()
		same, _ := linesOf(t, f, 24, true, replay.Options{})
		var want []replay.Divergence
		other, r := linesOf(t, f, 7, true, replay.Options{Diverged: func(d replay.Divergence) { want = append(want, d) }})
		var got []replay.Divergence
		d, err := replay.Diff(strings.NewReader(same), strings.NewReader(other), "a.jsonl", "b.jsonl", func(d replay.Divergence) { got = append(got, d) })
		if err != nil {
			t.Fatal(err)
		}
		if d.Compared != r.Compared || d.Diverged != r.Diverged || !cmp.Equal(d.Divergences, r.Divergences) || d.B.Hits != r.Hits || d.RecordedChunks != d.A.Hits || d.ReplayedChunks != d.B.Hits || d.A.Unmet != 0 || d.B.Unmet != 0 || d.A.Hits <= d.B.Hits {
			t.Errorf("seed %d: %+v, the replay itself said %+v, %d hits", seed, d, r.Comparison, r.Hits)
		}
		evictions := 0
		for i := range min(len(got), len(want)) {
			g, w := got[i], want[i]
			switch g.EvictedIn {
			case "B":
				evictions++
				g.EvictedIn = ""
			case "A": // the recording does not say that of itself
				g.EvictedIn, g.Evicted, g.EvictedCause, g.EvictedFor = "", -1, "", ""
			}
			if diff := cmp.Diff(w, g); diff != "" {
				t.Errorf("seed %d, divergence %d (-replay +diff):\n%s", seed, i, diff)
			}
		}
		if len(got) != len(want) || len(got) == 0 || evictions == 0 || !cmp.Equal(*d.First, got[0]) {
			t.Errorf("seed %d: %d divergences, the replay had %d; %d with an eviction", seed, len(got), len(want), evictions)
		}
		// The other way round.
		back, err := replay.Diff(strings.NewReader(other), strings.NewReader(same), "b", "a", nil)
		if err != nil || back.Diverged != d.Diverged || back.First.N != d.First.N || back.First.Recorded != d.First.Replayed || back.First.Key != d.First.Key {
			t.Errorf("seed %d: %v %+v, the other way round %+v", seed, err, back, d)
		}
		none, err := replay.Diff(strings.NewReader(other), strings.NewReader(other), "b", "b", nil)
		if err != nil || none.Diverged != 0 || none.Compared != d.Compared {
			t.Errorf("seed %d: with itself: %v %+v", seed, err, none)
		}
		// Without keys the outcomes are the same, and no key is named.
		short, _ := linesOf(t, f, 7, false, replay.Options{})
		d, err = replay.Diff(strings.NewReader(same), strings.NewReader(short), "a", "b", nil)
		if err != nil || d.Diverged != r.Diverged || d.First.Key != "" || d.First.Evicted >= 0 {
			t.Errorf("seed %d: without keys: %v %+v", seed, err, d)
		}
	}
}

// What cannot be compared is told apart and named.
func TestDiffRefuses(t *testing.T) {
	w := newWorld(t, 24)
	f, g := w.record(1, 40, trace.Options{}), w.record(2, 40, trace.Options{})
	w.close()
	a, _ := linesOf(t, f, 24, false, replay.Options{})
	b, _ := linesOf(t, g, 24, false, replay.Options{})
	lines := slices.Collect(strings.Lines(a))
	early := strings.Join(lines[:len(lines)/2], "")
	for _, c := range []struct {
		name, a, b, want string
	}{
		{"not lines", a, "hello\n", "b.jsonl: line 1 is not a line of a replay: invalid character 'h' looking for beginning of value"},
		{"LMCache's lines", `{"qualname": "x", "latency_ms": 1, "failed": false}` + "\n", a, "a.jsonl: line 1 is not a line of a replay: qualname or t_mono is missing"},
		{"nothing", a, "\n\n", "b.jsonl: no lines of a replay are in it"},
		{"cut", a, a[:len(a)-10], fmt.Sprintf("b.jsonl: line %d is cut at the end of the file: the replay that wrote it did not end", len(lines))},
		{"damaged", early + "{\n" + a, a, fmt.Sprintf("a.jsonl: line %d is not a line of a replay: unexpected end of JSON input", len(lines)/2+1)},
		{"other recordings", a, b, "a.jsonl and b.jsonl are not of one recording, or not of the same part: line "},
	} {
		_, err := replay.Diff(strings.NewReader(c.a), strings.NewReader(c.b), "a.jsonl", "b.jsonl", nil)
		if err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s:\ngot  %v\nwant %s", c.name, err, c.want)
		}
	}
	d, err := replay.Diff(bytes.NewReader([]byte(a)), strings.NewReader(early), "a", "b", nil)
	if err != nil || d.Diverged != 0 || d.A.Unmet == 0 || d.B.Lines != int64(len(lines)/2) {
		t.Errorf("one that ends early: %v %+v", err, d)
	}
}
