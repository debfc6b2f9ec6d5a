package replay_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/storage"
	"github.com/lmcache-go/lmcache/storage/kv"
	"github.com/lmcache-go/lmcache/trace"
	"github.com/lmcache-go/lmcache/trace/replay"
)

// outcomeText is an outcome as lines have it, without times.
func outcomeText(o trace.Outcome, name string) string {
	o.Took, o.Wait = 0, 0
	return string(o.AppendJSON(nil, name))
}

// recordedOutcomes are the outcomes in a file by call.
func recordedOutcomes(t *testing.T, f *trace.File) map[int64][]string {
	t.Helper()
	names, all := make(map[int64]string), make(map[int64][]string)
	for rec, err := range f.Records() {
		if err != nil {
			t.Fatal(err)
		}
		list, err := rec.Outcomes()
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range list {
			all[o.N] = append(all[o.N], outcomeText(o, names[o.N]))
		}
		if n := rec.Number(); n >= 0 {
			names[n] = strings.TrimPrefix(rec.Name, storage.NamePrefix)
		}
	}
	return all
}

// Complete lines have the outcomes that a recorder writes: those of a replay under the
// recorded configuration are the recorded ones, bit for bit. The lines come in the order
// of the recording, and what left L1 is in them.
func TestCompleteLines(t *testing.T) {
	for seed := range uint64(4) {
		a, b := newWorld(t, 24), newWorld(t, 24)
		f := a.record(seed, 200, trace.Options{})
		want, got := recordedOutcomes(t, f), make(map[int64][]string)
		var evicted []string
		n := int64(0)
		take := func(l replay.Line) {
			if n++; l.Index != n {
				t.Fatalf("line %d has index %d", n, l.Index)
			}
			if !l.Compared || l.Diverged || l.Failed || l.Keys == nil {
				t.Errorf("seed %d: line %+v", seed, l)
			}
			for _, o := range l.Outcomes {
				if o.N == l.N && o.Name != l.Name[len(l.Name)-len(o.Name):] {
					t.Errorf("an outcome of %s at %s", o.Name, l.Name)
				}
				got[o.N] = append(got[o.N], outcomeText(o.Outcome, o.Name))
			}
			begin := len(evicted)
			for _, e := range l.Evicted {
				evicted = append(evicted, fmt.Sprintf("%s %s", e.Key, e.Cause))
			}
			slices.Sort(evicted[begin:])
		}
		r := run(t, b, f.Records(), replay.Options{Pacing: replay.Fast, Bus: b.bus, Complete: take})
		if n != r.Replayed || r.Diverged != 0 {
			t.Errorf("seed %d: %d lines of %d, %+v", seed, n, r.Replayed, r.Comparison)
		}
		for call, o := range want {
			if diff := cmp.Diff(o, got[call]); diff != "" {
				t.Errorf("seed %d, call %d (-recorded +replayed):\n%s", seed, call, diff)
			}
		}
		if len(got) != len(want) {
			t.Errorf("seed %d: outcomes of %d calls, recorded %d", seed, len(got), len(want))
		}
		slices.Sort(evicted)
		slices.Sort(b.evicted)
		if diff := cmp.Diff(b.evicted, evicted); diff != "" || len(evicted) == 0 {
			t.Errorf("seed %d: victims (-events +lines):\n%s", seed, diff)
		}
		a.close()
		b.close()
	}
}

// A line whose call came out otherwise says so, and one of which nothing was recorded
// says nothing. Calls of a plain recording are numbered by their position.
func TestLinesOfOtherOutcomes(t *testing.T) {
	a, b := newWorld(t, 24), newWorld(t, 6)
	f := a.record(3, 200, trace.Options{})
	diverged := make(map[int64]bool)
	lines := 0
	r := run(t, b, f.Records(), replay.Options{
		Pacing: replay.Fast, Bus: b.bus,
		Diverged: func(d replay.Divergence) { diverged[d.N] = true },
		Complete: func(l replay.Line) {
			lines++
			if !l.Compared || l.Diverged != diverged[l.N] {
				t.Errorf("line %+v, told %v", l, diverged[l.N])
			}
		},
	})
	if len(diverged) == 0 || int64(lines) != r.Replayed || r.First == nil {
		t.Errorf("%d lines, %d diverged, %+v", lines, len(diverged), r.Comparison)
	}
	a.close()
	b.close()

	w := openWorld(t, l1.Options{Bytes: 4 << 20})
	g, err := trace.OpenFile("../testdata/upstream-small.lct")
	if err != nil {
		t.Fatal(err)
	}
	var numbers []int64
	run(t, w, g.Records(), replay.Options{Pacing: replay.Fast, Bus: w.bus, Complete: func(l replay.Line) {
		numbers = append(numbers, l.N)
		if l.Compared || len(l.Outcomes) == 0 {
			t.Errorf("line %+v", l)
		}
	}})
	for i, n := range numbers {
		if n != int64(i) {
			t.Fatalf("call %d has number %d", i, n)
		}
	}
	if len(numbers) != 190 {
		t.Errorf("%d lines", len(numbers))
	}
	w.close()
}

// TestREQ_T24_FastIsVirtual: without outer tiers and with one worker, a run in real time
// decides what one in virtual time does, whatever is recorded, and both tell the same
// lines.
func TestREQ_T24_FastIsVirtual(t *testing.T) {
	type told struct {
		N        int64
		Keys     []kv.Key
		Outcomes []replay.CallOutcome
		Failed   bool
		Compared bool
		Diverged bool
		Evicted  []string
	}
	digests := make(map[string]bool)
	for _, objects := range []int{24, 7} {
		for seed := range uint64(4) {
			a, b := newWorld(t, 24), newWorld(t, objects)
			f := a.record(seed, 200, trace.Options{})
			records := func(yield func(trace.Record, error) bool) { // without quotas, over which objects go in the background
				for rec, err := range f.Records() {
					if rec.Name != storage.CallQuota && !yield(rec, err) {
						return
					}
				}
			}
			lines := func(to *[]told) func(replay.Line) {
				return func(l replay.Line) {
					for i := range l.Outcomes {
						l.Outcomes[i].Took, l.Outcomes[i].Wait = 0, 0
					}
					var evicted []string
					for _, e := range l.Evicted {
						evicted = append(evicted, fmt.Sprintf("%s %s %s", e.Key, e.Cause, e.Owner))
					}
					*to = append(*to, told{l.N, l.Keys, l.Outcomes, l.Failed, l.Compared, l.Diverged, evicted})
				}
			}
			var fast, virtual []told
			r := run(t, b, records, replay.Options{Pacing: replay.Fast, Bus: b.bus, Complete: lines(&fast)})
			tape, err := replay.ReadTape(records)
			if err != nil {
				t.Fatal(err)
			}
			o := storage.Options{L1: l1.Options{Bytes: int64(objects) * objectBytes, Policy: "IsolatedLRU"}}
			v, err := tape.Virtual(t.Context(), replay.VirtualOptions{Storage: o, Seed: 1, Complete: lines(&virtual)})
			if err != nil {
				t.Fatal(err)
			}
			if r.OutcomeDigest != v.OutcomeDigest || r.OutcomeDigest == "" || r.Hits != v.Hits || r.Evicted != v.Evicted {
				t.Errorf("seed %d: %d hits, %d evicted, digest %s; in virtual time %d, %d, %s", seed, r.Hits, r.Evicted, r.OutcomeDigest, v.Hits, v.Evicted, v.OutcomeDigest)
			}
			if diff := cmp.Diff(fast, virtual); diff != "" {
				t.Errorf("seed %d (-fast +virtual):\n%.2000s", seed, diff)
			}
			digests[r.OutcomeDigest] = true
			a.close()
			b.close()
		}
	}
	if len(digests) != 8 {
		t.Errorf("%d digests of 8 runs", len(digests))
	}
}
