package replay

import (
	"context"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lmcache-go/lmcache/eventbus"
	"github.com/lmcache-go/lmcache/storage"
	"github.com/lmcache-go/lmcache/trace"
)

// decided is what a replay came to, without how long it took.
type decided struct {
	Replayed, Own, Aborts, Failed, Skipped    int64
	Lookups, Requested, Hits, L1Hits, Evicted int64
	Reads, Misses, Reserved, FailedKeys       int64
	Compared, Diverged, Unmet, Malformed      int64
	Digest                                    string
	Victims                                   []string // in order
}

func decidedBy(r *Result, victims []string) decided {
	return decided{
		r.Replayed, r.Own, r.Aborts, r.Failed, r.Skipped,
		r.Lookups, r.Requested, r.Hits, r.L1Hits, r.Evicted,
		r.Reads, r.Misses, r.Reserved, r.FailedKeys,
		r.Compared, r.Diverged, r.Unmet, r.Malformed,
		r.OutcomeDigest, victims,
	}
}

// collect is a Complete that keeps victims.
func collect(victims *[]string) func(Line) {
	return func(l Line) {
		for _, e := range l.Evicted {
			*victims = append(*victims, fmt.Sprintf("call %d: %s %s %s", l.N, e.Key, e.Cause, e.Owner))
		}
	}
}

// virtually replays a recording in virtual time.
func virtually(t *testing.T, f *trace.File, so storage.Options, models []storage.Model) decided {
	t.Helper()
	var victims []string
	so.Bus = nil
	return decidedBy(replayed(t, readTape(t, f), VirtualOptions{Storage: so, Models: models, Complete: collect(&victims)}), victims)
}

// fast replays a recording with one worker on a manager with memory.
func fast(t *testing.T, f *trace.File, so storage.Options) decided {
	t.Helper()
	ctx := context.Background()
	so.Bus = eventbus.New(eventbus.Options{})
	m, err := storage.Open(ctx, so)
	if err != nil {
		t.Fatal(err)
	}
	var victims []string
	r, err := Run(ctx, f.Records(), Options{Manager: m, Pacing: Fast, Bus: so.Bus, Complete: collect(&victims)})
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Close(ctx); err != nil {
		t.Error(err)
	}
	if err := so.Bus.Close(ctx); err != nil {
		t.Error(err)
	}
	return decidedBy(r, victims)
}

// timeless is a configuration whose decisions do not depend on time: L1 alone, in which no
// lease expires in the time of a drill.
func timeless(objects int64) storage.Options {
	o := chunks(objects)
	o.L1.ReadTTL, o.L1.WriteTTL = 10*time.Hour, 10*time.Hour
	return o
}

// TestREQ_T24_OneDigestEverywhere: one recording, replayed in virtual time and by one
// worker with L1 alone, has the same hits, victims and digest, whatever GOMAXPROCS is, and
// under the configuration of the recording those of the recording.
func TestREQ_T24_OneDigestEverywhere(t *testing.T) {
	before := runtime.GOMAXPROCS(0)
	defer runtime.GOMAXPROCS(before)
	for seed := range uint64(2) {
		f, _ := drilledFile(t, timeless(24), nil, seed, 200, trace.Options{})
		digests := make(map[string]int64)
		for _, objects := range []int64{24, 12, 40} {
			want := virtually(t, f, timeless(objects), nil)
			if want.Evicted == 0 || len(want.Victims) < int(want.Evicted) || want.Hits == 0 || want.Own == 0 || (objects == 24) != (want.Diverged == 0) {
				t.Fatalf("it proves little: %+v", want)
			}
			for _, n := range []int{1, 2, 8} {
				runtime.GOMAXPROCS(n)
				if diff := cmp.Diff(want, virtually(t, f, timeless(objects), nil)); diff != "" {
					t.Errorf("virtual, GOMAXPROCS %d (-want +got):\n%.2000s", n, diff)
				}
				if diff := cmp.Diff(want, fast(t, f, timeless(objects))); diff != "" {
					t.Errorf("fast, GOMAXPROCS %d (-want +got):\n%.2000s", n, diff)
				}
			}
			digests[want.Digest] = objects
		}
		if len(digests) != 3 {
			t.Errorf("%d digests of 3 sizes", len(digests))
		}
	}
}

// TestREQ_T18_PartsReplayAsOne: the same calls recorded in one file and in many come to
// the same, in virtual time with tiers and by one worker, and so do cuts of them.
func TestREQ_T18_PartsReplayAsOne(t *testing.T) {
	for _, args := range []trace.Args{trace.ArgsDocumented, trace.Args056} {
		for _, format := range []trace.Format{trace.Extended, trace.Plain} {
			record := func(limit int64) *trace.File {
				f, _ := drilledFile(t, timeless(24), nil, 5, 150, trace.Options{Args: args, Format: format, MaxBytes: limit})
				return f
			}
			one, many := record(0), record(20_000)
			if len(one.Paths) != 1 || len(many.Paths) < 5 {
				t.Fatalf("%d and %d parts", len(one.Paths), len(many.Paths))
			}
			for name, replay := range map[string]func(f *trace.File) decided{
				"virtual":       func(f *trace.File) decided { return virtually(t, f, timeless(24), nil) },
				"virtual, tier": func(f *trace.File) decided { so, models := tiered(12); return virtually(t, f, so, models) },
				"fast":          func(f *trace.File) decided { return fast(t, f, timeless(12)) },
			} {
				want := replay(one)
				if want.Replayed < 500 || want.Digest == "" {
					t.Fatalf("it proves little: %+v", want)
				}
				if diff := cmp.Diff(want, replay(many)); diff != "" {
					t.Errorf("%s (-one +many):\n%.2000s", name, diff)
				}
			}
		}
	}
}
