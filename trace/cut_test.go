package trace_test

import (
	"bytes"
	"cmp"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/lmcache-go/lmcache/eventbus"
	"github.com/lmcache-go/lmcache/internal/mooncake"
	"github.com/lmcache-go/lmcache/storage"
	"github.com/lmcache-go/lmcache/storage/kv"
	"github.com/lmcache-go/lmcache/trace"
	"github.com/lmcache-go/lmcache/trace/convert"
)

// frame is a record that was read, as far as these tests compare it.
type frame struct {
	Name       string
	Mono, Wall float64
	N, Owner   int64
	Scope      int64
	Keys       int
	First      string
	Outcomes   []trace.Outcome
}

func frames(t *testing.T, path string) (h trace.Header, list []frame, end *trace.End) {
	t.Helper()
	f, err := trace.OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for rec, err := range f.Records() {
		if err != nil {
			t.Fatal(err)
		}
		x := frame{Name: rec.Name, Mono: rec.Mono, Wall: rec.Wall, N: rec.Number()}
		if x.Outcomes, err = rec.Outcomes(); err != nil {
			t.Fatal(err)
		}
		if e, ok, err := rec.End(); err != nil {
			t.Fatal(err)
		} else if ok {
			end = &e
			list = append(list, x)
			continue
		}
		if c, err := rec.Call(); err == nil {
			x.Owner, x.Scope, x.Keys = c.Owner, c.Scope, len(c.Keys)
			if len(c.Keys) > 0 {
				x.First = c.Keys[0].String()
			}
		} else if !errors.Is(err, trace.ErrUnknownCall) {
			t.Fatal(err)
		}
		list = append(list, x)
	}
	return f.Header(), list, end
}

// written makes a file of calls that a test wants.
func written(t *testing.T, o trace.WriterOptions, calls func(w *trace.Writer)) string {
	t.Helper()
	var b bytes.Buffer
	w, err := trace.NewWriter(&b, o)
	if err != nil {
		t.Fatal(err)
	}
	calls(w)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "in.lct")
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func cut(t *testing.T, path string, o trace.CutOptions) (string, trace.CutResult) {
	t.Helper()
	f, err := trace.OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	r, err := trace.Cut(&b, f, o)
	if err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "out.lct")
	if err := os.WriteFile(out, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return out, r
}

// A cut of converted requests is what converting these requests alone gives, but for
// the numbers of the requests and the times.
func TestCutIsARecordingOfItsOwn(t *testing.T) {
	path := written(t, trace.WriterOptions{}, func(*trace.Writer) {})
	var b bytes.Buffer
	if _, err := convert.FromRequests(&b, mooncake.Builtin(), convert.Options{Limit: 60, Reads: true}); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	_, all, _ := frames(t, path)
	const from, to = 5.0, 14.0
	out, r := cut(t, path, trace.CutOptions{From: from, To: to, Name: "test/1"})
	h, got, end := frames(t, out)
	if !h.Extended || h.Writer != "test/1" || h.MonoStart != from || h.WallStart != from || h.Part != 0 {
		t.Errorf("header %+v", h)
	}
	var want []frame
	first := int64(-1)
	for _, x := range all {
		if x.Mono < from || x.Mono >= to || x.Name == trace.NameEnd {
			continue
		}
		if first < 0 {
			first = x.N
		}
		x.Mono, x.N = x.Mono-from, x.N-first
		if x.Owner != storage.NoCall {
			x.Owner -= first
		}
		want = append(want, x)
	}
	if len(want) < 50 || first == 0 {
		t.Fatalf("%d calls from number %d: it proves nothing", len(want), first)
	}
	if diff := gocmp.Diff(want, got[:len(got)-1]); diff != "" {
		t.Errorf("(-want +got):\n%.2000s", diff)
	}
	if end == nil || end.Records != int64(len(want)) || r.Calls != end.Records || r.Orphans != 0 {
		t.Errorf("end %+v, result %+v", end, r)
	}
}

// A recording that was made: owners from before are left out with what they own,
// numbers have no holes, outcomes follow their calls, also those that come later.
func TestCutOfARecording(t *testing.T) {
	path := recordedWorkload(t)
	_, all, _ := frames(t, path)
	middle := all[len(all)/2].Mono
	last := all[len(all)*3/4].Mono
	out, r := cut(t, path, trace.CutOptions{From: middle, To: last})
	_, got, end := frames(t, out)
	if r.Orphans == 0 || r.Calls < 20 || end == nil || end.Records != r.Calls {
		t.Fatalf("%+v, end %+v", r, end)
	}
	outcomes, scopes := map[int64]int{}, 0
	for i, x := range got {
		if x.Name != trace.NameEnd && (x.N != int64(i) || x.Owner >= x.N || x.Mono < 0 || x.Mono >= last-middle) {
			t.Fatalf("record %d: %+v", i, x)
		}
		if x.Scope > 0 {
			scopes++
			if got[x.Scope].Name != trace.Qualname(storage.CallReadEnter) || got[x.Scope].Owner != x.Owner {
				t.Fatalf("record %d is of the scope of %+v", i, got[x.Scope])
			}
		}
		for _, o := range x.Outcomes {
			outcomes[o.N]++
			if o.N < 0 || o.N >= r.Calls {
				t.Fatalf("an outcome of call %d of %d", o.N, r.Calls)
			}
		}
	}
	if scopes == 0 {
		t.Error("there are no scopes")
	}
	if len(outcomes) != int(r.Calls) {
		t.Errorf("%d of %d calls have an outcome", len(outcomes), r.Calls)
	}
	// A cut of everything is the same recording.
	out, r = cut(t, path, trace.CutOptions{})
	_, same, _ := frames(t, out)
	if diff := gocmp.Diff(all, same); diff != "" || r.Orphans != 0 {
		t.Errorf("%+v (-want +got):\n%.2000s", r, diff)
	}
}

// A recording of LMCache stays one byte for byte, but for its header's clocks.
func TestCutOfAPlainRecording(t *testing.T) {
	const sample = "testdata/upstream-small.lct"
	h, all, _ := frames(t, sample)
	out, r := cut(t, sample, trace.CutOptions{})
	was, err := os.ReadFile(sample)
	if err != nil {
		t.Fatal(err)
	}
	is, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(was, is) || r.Calls != 190 || r.Extended {
		t.Errorf("a cut of everything differs (%d and %d bytes), %+v", len(was), len(is), r)
	}
	from := all[100].Mono
	out, r = cut(t, sample, trace.CutOptions{From: from})
	h2, part, end := frames(t, out)
	if end != nil || len(part) != 90 || r.Calls != 90 || h2.Extended || h2.Config != h.Config || h2.Digest != h.Digest {
		t.Errorf("%d records, %+v", len(part), r)
	}
	if d := h2.MonoStart + part[5].Mono - h.MonoStart - all[105].Mono; cmp.Compare(d, 1e-6) > 0 || part[5].Wall != all[105].Wall || part[5].First != all[105].First {
		t.Errorf("record 105 was %+v and is %+v", all[105], part[5])
	}
}

// Losses are kept where they are, and count in the numbers.
func TestCutKeepsGaps(t *testing.T) {
	in := recordedWithGap(t)
	out, r := cut(t, in, trace.CutOptions{})
	_, want, wantEnd := frames(t, in)
	_, got, end := frames(t, out)
	if diff := gocmp.Diff(want, got); diff != "" || r.Gaps != 1 || r.Lost == 0 || end == nil || *end != *wantEnd {
		t.Errorf("%+v, end %+v, was %+v (-want +got):\n%s", r, end, wantEnd, diff)
	}
}

// What cannot be written is an error, and so is a recording of another level.
func TestCutFails(t *testing.T) {
	f, err := trace.OpenFile("testdata/upstream-small.lct")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := trace.Cut(full{}, f, trace.CutOptions{}); !errors.Is(err, errFull) {
		t.Errorf("got %v", err)
	}
	f.Headers[0].Level = "mq"
	if _, err := trace.Cut(&bytes.Buffer{}, f, trace.CutOptions{}); err == nil || !strings.Contains(err.Error(), "only recordings of the level storage can be cut") {
		t.Errorf("got %v", err)
	}
}

var errFull = errors.New("full")

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errFull }

// recordedWorkload is a recording of requests that overlap: writes that end in the
// middle of the next request, and outcomes that come late.
func recordedWorkload(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "run.lct")
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, eventbus.Options{}, trace.Options{})
		open := storage.NoCall
		for i := range 40 {
			time.Sleep(10 * time.Millisecond)
			lookup := g.owned(storage.CallSubmitPrefetch, storage.NoCall)
			time.Sleep(10 * time.Millisecond)
			if i > 0 {
				g.owned(storage.CallFinishWrite, open)
			}
			scope := g.owned(storage.CallReadEnter, lookup)
			g.owned(storage.CallReadExit, lookup)
			g.scoped(storage.CallRenew, lookup, scope)
			g.scoped(storage.CallFinishRead, lookup, scope)
			open = g.owned(storage.CallReserveWrite, storage.NoCall)
		}
		g.close()
		if err := os.WriteFile(path, g.disk.content()[0], 0o600); err != nil {
			t.Error(err)
		}
	})
	return path
}

// owned publishes a call of an owner, with its outcome.
func (g *rig) owned(name string, owner int64) int64 { return g.scoped(name, owner, 0) }

// scoped is owned for objects of a scope; 0: none.
func (g *rig) scoped(name string, owner, scope int64) int64 {
	n := g.n
	g.n++
	c := storage.Call{N: n, Name: name, Owner: owner, Scope: scope, Keys: []kv.Key{key(g.t, byte(n%200))}, Readers: 1}
	if owner == storage.NoCall {
		c.Layout = layout(g.t)
	}
	g.calls.PublishAt(c, time.Now())
	ok := storage.NewBitmap(1)
	ok.Set(0)
	g.done.PublishAt(storage.CallDone{Name: name, N: n, OK: ok}, time.Now())
	return n
}

// recordedWithGap is a recording that lost two calls.
func recordedWithGap(t *testing.T) string {
	t.Helper()
	e := trace.NewEncoder(trace.Extended, trace.ArgsDocumented)
	b := trace.AppendHeader(nil, &trace.Header{
		Level: trace.LevelStorage, FormatVersion: trace.FormatVersion, SchemaVersion: trace.SchemaVersion, Extended: true, Writer: "test",
	})
	call := func(n int64) {
		var err error
		b, err = e.AppendCallWith(b, float64(n), float64(n), &storage.Call{N: n, Name: storage.CallTouch, Owner: storage.NoCall, Keys: []kv.Key{key(t, byte(n))}})
		if err != nil {
			t.Fatal(err)
		}
	}
	call(0)
	b, err := e.AppendGap(b, 1, 1, &trace.Gap{Count: 2, ByCall: map[string]int64{storage.CallTouch: 2}})
	if err != nil {
		t.Fatal(err)
	}
	call(3)
	if b, err = e.AppendEnd(b, 3, 3, trace.End{Records: 2, Dropped: 2}); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "gap.lct")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
