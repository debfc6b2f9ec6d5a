package replay_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lmcache-go/lmcache/eventbus"
	"github.com/lmcache-go/lmcache/internal/leak"
	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/storage"
	"github.com/lmcache-go/lmcache/storage/kv"
	"github.com/lmcache-go/lmcache/trace"
	"github.com/lmcache-go/lmcache/trace/replay"
)

const objectBytes = 4096

// world is a storage manager, what it evicted, and what its prefetches found.
type world struct {
	t       testing.TB
	bus     *eventbus.Bus
	m       *storage.Manager
	layout  kv.Layout
	quota   int // so many times the quotas of the others
	evicted []string
	found   []string
}

func (*world) Name() string { return "world" }

func (w *world) Subscribe(s *eventbus.Subscription) {
	eventbus.On(s, func(e l1.KeysEvicted, _ time.Time) {
		begin := len(w.evicted)
		for _, k := range e.Keys {
			w.evicted = append(w.evicted, fmt.Sprintf("%s %s", k, e.Cause))
		}
		if e.Cause == l1.CauseClear { // takes them in no order
			slices.Sort(w.evicted[begin:])
		}
	})
	eventbus.On(s, func(e storage.PrefetchResolved, _ time.Time) {
		w.found = append(w.found, fmt.Sprintf("%s %d/%d", e.ExternalRequestID, e.L1Hits, e.Total))
	})
}

func newWorld(t testing.TB, objects int) *world {
	t.Helper()
	return openWorld(t, l1.Options{Bytes: int64(objects) * objectBytes, Policy: "IsolatedLRU"})
}

func openWorld(t testing.TB, o l1.Options) *world {
	t.Helper()
	return openWorldOf(t, storage.Options{L1: o})
}

func openWorldOf(t testing.TB, o storage.Options) *world {
	t.Helper()
	w := &world{t: t, bus: eventbus.New(eventbus.Options{})}
	o.Bus = w.bus
	if _, err := w.bus.Subscribe(w); err != nil {
		t.Fatal(err)
	}
	var err error
	if w.m, err = storage.Open(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if w.layout, err = kv.RawLayout(objectBytes); err != nil {
		t.Fatal(err)
	}
	return w
}

// close checks that nothing is held any more.
func (w *world) close() {
	w.t.Helper()
	if err := w.bus.Flush(w.t.Context()); err != nil {
		w.t.Error(err)
	}
	if s := w.m.Stats(); s.Prefetches != 0 {
		w.t.Errorf("%d prefetches are not released", s.Prefetches)
	}
	w.m.Clear(false)
	if s := w.m.Stats().L1; s.UsedBytes != 0 {
		w.t.Errorf("%d bytes are in use after everything that is not leased was cleared", s.UsedBytes)
	}
	if err := w.m.Check(); err != nil {
		w.t.Error(err)
	}
	if err := w.m.Close(w.t.Context()); err != nil {
		w.t.Error(err)
	}
	if err := w.bus.Close(context.Background()); err != nil {
		w.t.Error(err)
	}
}

func chunk(salt string, prompt, i int) kv.Key {
	var b [32]byte
	copy(b[:], fmt.Sprintf("%04d/%04d", prompt, i))
	return kv.Key{Hash: kv.Hash32(b), Model: "m", Salt: salt}
}

// traffic makes calls as an engine does, one request at a time, with everything
// else that is recorded in between.
func (w *world) traffic(seed uint64, requests int) {
	w.t.Helper()
	rng := rand.New(rand.NewPCG(seed, 22))
	ctx := w.t.Context()
	check := func(err error) {
		w.t.Helper()
		if err != nil {
			w.t.Fatal(err)
		}
	}
	var held []*storage.Prefetch // of requests that go on
	for r := range requests {
		salt := []string{"", "a", "b"}[rng.IntN(3)]
		var keys []kv.Key
		prompt := rng.IntN(3)
		for i := range 1 + rng.IntN(10) {
			keys = append(keys, chunk(salt, prompt, i))
		}
		readers := 1 + rng.IntN(2)
		policy := storage.Policy(rng.IntN(8) / 7)
		p, err := w.m.SubmitPrefetch(ctx, keys, w.layout, storage.PrefetchOptions{
			RequestID: fmt.Sprintf("r%d", r), Readers: readers, Policy: policy, SkipL2: rng.IntN(4) == 0, Warm: rng.IntN(9) == 0,
		})
		check(err)
		res, err := p.Wait(ctx)
		check(err)
		if r%7 == 0 {
			p.Renew()
		}
		if res.Prefix > 0 && rng.IntN(6) > 0 {
			l, err := p.Read(ctx, storage.Select{Hi: res.Prefix, Stride: 1 + rng.IntN(2)})
			switch {
			case err == nil && rng.IntN(3) == 0:
				l.EndScope()
				l.Renew()
				l.FinishRange(0, 1)
				l.Finish()
			case err == nil && rng.IntN(4) == 0:
				l.Abort()
			case err == nil:
				l.Finish()
			}
		}
		if rng.IntN(3) == 0 { // a reader that asks for what was not found
			l, err := p.Read(ctx, storage.Select{Hi: len(keys)})
			if err == nil && res.Found.Count() < len(keys) {
				w.t.Error("read what is not there")
			}
			l.Finish()
		}
		if missing := keys[min(res.Prefix, len(keys)):]; len(missing) > 0 {
			mode := []storage.Mode{storage.New, storage.New, storage.All, storage.Update}[rng.IntN(4)]
			l, err := w.m.ReserveWrite(ctx, missing, w.layout, mode, storage.WriteOptions{})
			check(err)
			if r%5 == 0 {
				l.Renew()
			}
			switch rng.IntN(5) {
			case 0:
				l.FinishRange(0, 1)
				l.Abort()
			case 1:
				l.Drop(0)
				l.Finish()
			default:
				l.Finish()
			}
		}
		held = append(held, p)
		if len(held) > 2 {
			i := rng.IntN(len(held))
			held[i].Release()
			held = slices.Delete(held, i, i+1)
		}
		switch rng.IntN(20) {
		case 0:
			w.m.Touch(keys)
		case 1:
			w.m.Delete(keys[:1], rng.IntN(2) == 0)
		case 2:
			check(w.m.SetQuota("a", int64(1+rng.IntN(10))*objectBytes*int64(max(w.quota, 1))))
		case 3:
			w.m.DeleteQuota("a")
		case 4:
			w.m.Clear(rng.IntN(4) == 0)
		}
	}
	for _, p := range held {
		p.Release()
	}
}

// record runs traffic and returns the file of it.
func (w *world) record(seed uint64, requests int, o trace.Options) *trace.File {
	w.t.Helper()
	return w.recorded(o, func() { w.traffic(seed, requests) })
}

// recorded returns the file of what drive does.
func (w *world) recorded(o trace.Options, drive func()) *trace.File {
	w.t.Helper()
	o.Path = filepath.Join(w.t.TempDir(), "run.lct")
	r, err := trace.Open(w.bus, o)
	if err != nil {
		w.t.Fatal(err)
	}
	drive()
	if err := r.Close(); err != nil {
		w.t.Fatal(err)
	}
	if s := r.Stats(); s.Lost.Sum() > 0 {
		w.t.Fatalf("calls were lost: %+v", s)
	}
	f, err := trace.OpenFile(o.Path)
	if err != nil {
		w.t.Fatal(err)
	}
	return f
}

func run(t testing.TB, w *world, records iter.Seq2[trace.Record, error], o replay.Options) *replay.Result {
	t.Helper()
	o.Manager = w.m
	r, err := replay.Run(t.Context(), records, o)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.bus.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	return r
}

// TestREQ_T22_TheSameDecisions: what was recorded and is replayed with the same
// configuration finds and evicts the same, in the same order, with every kind of call
// in between; every byte is that of its key.
func TestREQ_T22_TheSameDecisions(t *testing.T) {
	leak.Check(t)
	for seed := range uint64(12) {
		for _, args := range []trace.Args{trace.ArgsDocumented, trace.Args056} {
			a, b := newWorld(t, 24), newWorld(t, 24)
			f := a.record(seed, 200, trace.Options{Args: args})
			if err := a.bus.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			r := run(t, b, f.Records(), replay.Options{Pacing: replay.Fast, Verify: true, Strict: true, Bus: b.bus, Diverged: func(d replay.Divergence) { t.Error(d) }})
			if r.Diverged != 0 || r.Unmet != 0 || r.Compared < 1000 || r.OutcomeDigest == "" {
				t.Errorf("seed %d: %+v", seed, r.Comparison)
			}
			if !r.OK() || r.Skipped != 0 || r.Failed != 0 || r.Unmatched != 0 || r.Malformed != 0 || r.VerifyFailures != 0 || r.LeftOpen != 0 {
				r.Ops = nil
				t.Fatalf("seed %d: %+v", seed, r)
			}
			if r.Own == 0 || r.Aborts == 0 || r.Misses == 0 || r.Reads == 0 || r.Hits == 0 || len(b.evicted) == 0 {
				t.Errorf("seed %d: the test has not everything: %+v, %d evicted", seed, r, len(b.evicted))
			}
			if diff := cmp.Diff(a.found, b.found); diff != "" {
				t.Errorf("seed %d: found (-recorded +replayed):\n%s", seed, diff)
			}
			if diff := cmp.Diff(a.evicted, b.evicted); diff != "" {
				t.Errorf("seed %d: evicted (-recorded +replayed):\n%s", seed, diff)
			}
			a.close()
			b.close()
		}
	}
}

// A plain file names no owners, numbers and options. It is replayed as one owner.
func TestReplayOfPlainFiles(t *testing.T) {
	for seed := range uint64(6) {
		a, b := newWorld(t, 24), newWorld(t, 24)
		f := a.record(seed, 100, trace.Options{Format: trace.Plain, Args: trace.Args056})
		r := run(t, b, f.Records(), replay.Options{Pacing: replay.Fast, Verify: true})
		if !r.OK() || r.Skipped != 0 || r.Replayed < 300 || r.Own != 0 || r.VerifyFailures != 0 {
			t.Errorf("seed %d: %+v", seed, r)
		}
		a.close()
		b.close()
	}
}

// TestREQ_T2_FileOfLMCache: what LMCache 0.5.6 recorded is replayed to the last call.
func TestREQ_T2_FileOfLMCache(t *testing.T) {
	f, err := trace.OpenFile("../testdata/upstream-small.lct")
	if err != nil {
		t.Fatal(err)
	}
	w := openWorld(t, l1.Options{Bytes: 4 << 20})
	r := run(t, w, f.Records(), replay.Options{Pacing: replay.Fast, Verify: true, Strict: true})
	if r.Replayed != 190 || r.Skipped != 0 || r.Failed != 0 || r.Strict != "" || r.Misses != 0 || r.Reads != 32 || r.Lookups != 40 {
		t.Errorf("%+v", r)
	}
	w.close()
}

// TestREQ_T23_RealtimeIsNeverEarly: no call is made before its time, nor are later
// ones hurried when one was late.
func TestREQ_T23_RealtimeIsNeverEarly(t *testing.T) {
	for _, speed := range []float64{0, 1, 4, 0.5} {
		synctest.Test(t, func(t *testing.T) {
			f, err := trace.OpenFile("../testdata/upstream-small.lct")
			if err != nil {
				t.Fatal(err)
			}
			w := openWorld(t, l1.Options{Bytes: 4 << 20})
			begin, last := time.Now(), time.Duration(0)
			divide := speed
			if divide == 0 {
				divide = 1
			}
			n := 0
			r := run(t, w, f.Records(), replay.Options{Speed: speed, Line: func(l replay.Line) {
				n++
				at := time.Since(begin)
				due := time.Duration(l.Mono / divide * float64(time.Second))
				if at < due {
					t.Fatalf("record %d at %v, it is due at %v", l.Index, at, due)
				}
				if n == 100 {
					time.Sleep(200 * time.Millisecond) // makes the following ones late
				}
				last = due
			}})
			if n != 190 || r.Replayed != 190 {
				t.Errorf("%d lines, %+v", n, r)
			}
			if r.Late.Max < 150*time.Millisecond || r.Late.Max > 200*time.Millisecond || r.Late.P99 > r.Late.Max || r.Duration < last {
				t.Errorf("late by %+v, took %v", r.Late, r.Duration)
			}
			w.close()
		})
	}
}

// Part of a recording: what is before is not made, and what belongs to it is ignored.
func TestReplayOfAPart(t *testing.T) {
	f, err := trace.OpenFile("../testdata/upstream-small.lct")
	if err != nil {
		t.Fatal(err)
	}
	var all, part []float64
	w := openWorld(t, l1.Options{Bytes: 4 << 20})
	run(t, w, f.Records(), replay.Options{Pacing: replay.Fast, Line: func(l replay.Line) { all = append(all, l.Mono) }})
	r := run(t, w, f.Records(), replay.Options{Pacing: replay.Fast, From: 0.3, To: 0.7, Line: func(l replay.Line) { part = append(part, l.Mono) }})
	want := slices.DeleteFunc(all, func(at float64) bool { return at < 0.3 || at > 0.7 })
	if !cmp.Equal(want, part) || len(part) < 20 || r.Failed != 0 {
		t.Errorf("%d of %d records, %+v", len(part), len(want), r)
	}
	w.close()
}

// TestREQ_T28_OneWrongByte is found once, and its key is named.
func TestREQ_T28_OneWrongByte(t *testing.T) {
	var keys []kv.Key
	for i := range 5 {
		keys = append(keys, chunk("s", 1, i))
	}
	a, b := newWorld(t, 10), newWorld(t, 10)
	path := filepath.Join(t.TempDir(), "run.lct")
	rec, err := trace.Open(a.bus, trace.Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	l, err := a.m.ReserveWrite(t.Context(), keys, a.layout, storage.New, storage.WriteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	l.Finish()
	p, err := a.m.SubmitPrefetch(t.Context(), keys, a.layout, storage.PrefetchOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range keys {
		l, err := p.Read(t.Context(), storage.Select{Lo: i, Hi: i + 1})
		if err != nil {
			t.Fatal(err)
		}
		l.Finish()
	}
	p.Release()
	if err := rec.Close(); err != nil {
		t.Fatal(err)
	}
	f, err := trace.OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, spoil := range []bool{false, true} {
		var log strings.Builder
		o := replay.Options{Pacing: replay.Fast, Verify: true, Seed: 7, Logger: slog.New(slog.NewTextHandler(&log, nil))}
		o.Line = func(l replay.Line) {
			if l.Index != 2 || !spoil { // the objects are there, and nobody has read them
				return
			}
			p, err := b.m.SubmitPrefetch(t.Context(), keys[3:4], b.layout, storage.PrefetchOptions{})
			if err != nil {
				t.Fatal(err)
			}
			r, err := p.Read(t.Context(), storage.Select{Hi: 1})
			if err != nil {
				t.Fatal(err)
			}
			for _, bytes := range r.All() {
				bytes[1234] ^= 1
			}
			r.Finish()
			p.Release()
		}
		r := run(t, b, f.Records(), o)
		b.m.Clear(true)
		want, says := int64(0), fmt.Sprintf("trace replay: wrong byte at offset 1234 of %s", keys[3])
		if spoil {
			want = 1
		}
		if r.VerifyFailures != want || r.Failed != want || r.OK() == spoil || r.Reads != 5 || strings.Contains(log.String(), says) != spoil {
			t.Errorf("spoilt %v: %+v\n%s", spoil, r, log.String())
		}
	}
	a.close()
	b.close()
}

// given yields records of an encoded stream, then an error if there is one.
func given(t testing.TB, stream []byte) iter.Seq2[trace.Record, error] {
	t.Helper()
	_, records, err := trace.Read(strings.NewReader(string(stream)))
	if err != nil {
		t.Fatal(err)
	}
	return records
}

// TestREQ_T32_Strict: what is only told of is an error then, and the first thing is
// named. Unknown names, arguments that do not decode and failing calls are counted.
func TestREQ_T32_Strict(t *testing.T) {
	w := newWorld(t, 24)
	head := testHeader()
	good := testRecord(storage.CallClear, 1)
	for _, c := range []struct {
		name   string
		stream []byte
		strict string
		check  func(*replay.Result) bool
	}{
		{"all is well", good, "", func(r *replay.Result) bool { return r.Own == 1 && r.Replayed == 0 }},
		{"unknown name", testRecord("something_else", 2), "record 1 (" + storage.NamePrefix + "something_else) was skipped: trace: a call of unknown name", func(r *replay.Result) bool { return r.Skipped == 1 }},
		{"no arguments", testRecord(storage.CallFinishWrite, 2), "record 1 (" + storage.NamePrefix + "finish_write) was skipped: args: keys: it is missing", func(r *replay.Result) bool { return r.Skipped == 1 }},
		{"a gap", testGap(7), "a gap: 7 calls are lost at 1.000 s", func(r *replay.Result) bool { return r.Gaps == 1 && r.Lost == 7 }},
		{"malformed", []byte{0, 0, 0, 1, 0xc1}, "TraceReader: skipping malformed record at offset 159: msgp", func(r *replay.Result) bool { return r.Malformed == 1 }},
		{"torn", good[:len(good)-1], "TraceReader: truncated frame body at offset 159", func(r *replay.Result) bool { return r.Malformed == 1 }},
	} {
		stream := slices.Concat(head, c.stream)
		if r := run(t, w, given(t, stream), replay.Options{Pacing: replay.Fast}); !r.OK() || !c.check(r) {
			t.Errorf("%s: %+v", c.name, r)
		}
		if r := run(t, w, given(t, stream), replay.Options{Pacing: replay.Fast, Strict: true}); !strings.HasPrefix(r.Strict, c.strict) || (c.strict == "") != r.OK() {
			t.Errorf("%s: strict says %q, want %q", c.name, r.Strict, c.strict)
		}
	}
	w.close()
}

// A call that the manager refuses is a failure, which ends nothing.
func TestFailingCalls(t *testing.T) {
	a, b := newWorld(t, 24), openWorld(t, l1.Options{Bytes: 64, Align: 64}) // no object fits
	f := a.record(1, 30, trace.Options{Format: trace.Plain})
	var failed []string
	r := run(t, b, f.Records(), replay.Options{Pacing: replay.Fast, Line: func(l replay.Line) {
		if l.Failed {
			failed = append(failed, l.Name)
		}
	}})
	if r.Failed == 0 || r.OK() || int64(len(failed)) != r.Failed || r.Ops[failed[0]].Errors == 0 {
		t.Errorf("%+v, failed %v", r, failed)
	}
	a.close()
	b.close()
}

// The end of the context ends the run, and gives back what it holds.
func TestReplayIsInterrupted(t *testing.T) {
	a, b := newWorld(t, 24), newWorld(t, 24)
	f := a.record(1, 100, trace.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	n := 0
	r, err := replay.Run(ctx, f.Records(), replay.Options{Manager: b.m, Pacing: replay.Fast, Line: func(replay.Line) {
		if n++; n == 50 {
			cancel()
		}
	}})
	if err != nil || !r.Interrupted || n != 50 {
		t.Errorf("%v, %d lines, %+v", err, n, r)
	}
	a.close()
	b.close()
}

// TestREQ_T26_OwnersKeepTheirHolders: two requests over the same keys, whose
// releases are recorded in turn.
func TestREQ_T26_OwnersKeepTheirHolders(t *testing.T) {
	keys := []kv.Key{chunk("", 1, 0), chunk("", 1, 1)}
	a, b := newWorld(t, 8), newWorld(t, 8)
	path := filepath.Join(t.TempDir(), "run.lct")
	rec, err := trace.Open(a.bus, trace.Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	l, err := a.m.ReserveWrite(t.Context(), keys, a.layout, storage.New, storage.WriteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	l.Finish()
	var p [2]*storage.Prefetch
	for i := range p {
		if p[i], err = a.m.SubmitPrefetch(t.Context(), keys, a.layout, storage.PrefetchOptions{RequestID: fmt.Sprint(i), Readers: 1 + i}); err != nil {
			t.Fatal(err)
		}
	}
	p[0].Release()
	a.m.Clear(false) // finds them leased by the other one
	p[1].ReleaseRange(storage.Select{Hi: 2}, 1)
	a.m.Clear(false) // still
	p[1].Release()
	a.m.Clear(false)
	if err := rec.Close(); err != nil {
		t.Fatal(err)
	}
	f, err := trace.OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.bus.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	r := run(t, b, f.Records(), replay.Options{Pacing: replay.Fast, Strict: true})
	if !r.OK() || r.Own != 3 || r.FailedKeys != 0 || !cmp.Equal(a.evicted, b.evicted) || len(b.evicted) != 2 {
		t.Errorf("%+v, evicted %v, recorded %v", r, b.evicted, a.evicted)
	}
	a.close()
	b.close()
}

func TestReplayOptionsReportAllProblems(t *testing.T) {
	_, err := replay.Run(t.Context(), nil, replay.Options{Pacing: 7, Speed: -1, Fill: 8, From: 3, To: 2})
	const want = `replay: Manager: not set
replay: Pacing: must be Realtime or Fast, got 7
replay: Speed: must be positive, got -1
replay: Fill: must be FillZero or FillKey, got 8
replay: From, To: must be seconds, the second not below the first, got 3 and 2`
	if err == nil || err.Error() != want {
		t.Errorf("got %v", err)
	}
}

// What reading fails with ends the run.
func TestReplayOfAFileThatCannotBeRead(t *testing.T) {
	w := newWorld(t, 8)
	gone := errors.New("the disk is gone")
	_, err := replay.Run(t.Context(), func(yield func(trace.Record, error) bool) { yield(trace.Record{}, gone) }, replay.Options{Manager: w.m, Pacing: replay.Fast})
	if !errors.Is(err, gone) {
		t.Errorf("got %v", err)
	}
	w.close()
}

func TestHeadersThatCannotBeReplayed(t *testing.T) {
	for want, h := range map[string]trace.Header{
		"trace 'x' is level 'gpu'; only 'storage' traces can be replayed":          {Level: "gpu"},
		"trace 'x' is an early draft of LMCache 0.4, which can only be summarised": {Level: "storage", Draft: "0.4"},
	} {
		if err := replay.CheckHeader(&h, "x"); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	if err := replay.CheckHeader(&trace.Header{Level: "storage"}, "x"); err != nil {
		t.Error(err)
	}
}
