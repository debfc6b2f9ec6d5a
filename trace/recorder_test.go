package trace_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lmcache-go/lmcache/eventbus"
	"github.com/lmcache-go/lmcache/internal/leak"
	"github.com/lmcache-go/lmcache/storage"
	"github.com/lmcache-go/lmcache/storage/kv"
	"github.com/lmcache-go/lmcache/trace"
)

// rig is a recorder on a bus, and calls as a storage manager would publish them.
type rig struct {
	t     testing.TB
	bus   *eventbus.Bus
	r     *trace.Recorder
	disk  *disk
	calls eventbus.Topic[storage.Call]
	done  eventbus.Topic[storage.CallDone]
	n     int64
	log   bytes.Buffer
	logMu sync.Mutex
}

func (g *rig) Write(p []byte) (int, error) {
	g.logMu.Lock()
	defer g.logMu.Unlock()
	return g.log.Write(p)
}

// lines is what was logged, without times.
func (g *rig) lines() []string {
	g.logMu.Lock()
	defer g.logMu.Unlock()
	return strings.Split(strings.TrimSpace(g.log.String()), "\n")
}

func (g *rig) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(g, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
}

func newRig(t testing.TB, bus eventbus.Options, o trace.Options) *rig {
	t.Helper()
	g := &rig{t: t, bus: eventbus.New(bus), disk: newDisk()}
	o.Logger = g.logger()
	if o.Path == "" {
		o.Path = "run.lct"
	}
	var err error
	if g.r, err = trace.Open(g.bus, trace.WithFiles(o, g.disk)); err != nil {
		t.Fatal(err)
	}
	g.calls, g.done = eventbus.TopicOf[storage.Call](g.bus), eventbus.TopicOf[storage.CallDone](g.bus)
	return g
}

// call publishes one call over a key, with its outcome.
func (g *rig) call(name string, at time.Time) {
	n := g.n
	g.n++
	c := storage.Call{N: n, Name: name, Owner: storage.NoCall, Keys: []kv.Key{key(g.t, byte(n))}, Readers: 1}
	if name == storage.CallReserveWrite || name == storage.CallSubmitPrefetch {
		c.Layout = layout(g.t)
	}
	g.calls.PublishAt(c, at)
	ok := storage.NewBitmap(1)
	g.done.PublishAt(storage.CallDone{Name: name, N: n, OK: ok, Bad: 1}, at)
}

func (g *rig) close() {
	g.t.Helper()
	if err := g.r.Close(); err != nil {
		g.t.Error(err)
	}
	if err := g.bus.Close(context.Background()); err != nil {
		g.t.Error(err)
	}
}

func TestRecorderWritesEverything(t *testing.T) {
	leak.Check(t)
	synctest.Test(t, func(t *testing.T) {
		for _, byBus := range []bool{false, true} {
			g := newRig(t, eventbus.Options{}, trace.Options{Config: `{"a": 1}`, Writer: "lmcache-go/test"})
			start := time.Now()
			names := []string{storage.CallReserveWrite, storage.CallFinishWrite, storage.CallSubmitPrefetch, storage.CallFinishRead, storage.CallTouch}
			for i := range 1000 {
				time.Sleep(time.Millisecond)
				g.call(names[i%len(names)], time.Now())
			}
			if byBus {
				if err := g.bus.Close(t.Context()); err != nil {
					t.Error(err)
				}
			}
			g.close()
			if err := g.r.Close(); err != nil {
				t.Error(err)
			}
			s := summarise(t, g.disk.content()...)
			s.accounts(t, 1000, g.r.Stats())
			if s.end == nil || s.torn != "" || len(s.gaps) > 0 || len(s.outcomes) != 1000 {
				t.Errorf("got %v", &s)
			}
			for i, c := range s.calls {
				if want := names[i%len(names)]; c.N != int64(i) || c.Name != want || c.Keys[0] != key(t, byte(i)) {
					t.Fatalf("call %d is %+v", i, c)
				}
				if r, want := s.records[i], time.Duration(i+1)*time.Millisecond; r.Mono != want.Seconds() || r.Wall != float64(start.Add(want).UnixNano())/1e9 {
					t.Fatalf("call %d at %v, %v, want %v", i, r.Mono, r.Wall, want)
				}
			}
			h, _, err := trace.Read(bytes.NewReader(g.disk.content()[0]))
			want := trace.Header{
				Level: "storage", FormatVersion: 1, SchemaVersion: 1, WallStart: float64(start.UnixNano()) / 1e9, Config: `{"a": 1}`,
				Digest: trace.Digest(`{"a": 1}`), Extended: true, Writer: "lmcache-go/test", MonoStart: h.MonoStart,
			}
			if diff := cmp.Diff(want, h); err != nil || diff != "" {
				t.Errorf("header %v (-want +got):\n%s", err, diff)
			}
			wantLog := []string{
				`level=INFO msg="trace recorder writing to run.lct (level=storage)"`,
				`level=INFO msg="trace recorder closed cleanly: run.lct"`,
			}
			if diff := cmp.Diff(wantLog, g.lines()); diff != "" {
				t.Errorf("log (-want +got):\n%s", diff)
			}
			if st := g.r.Stats(); st.Bytes != int64(len(g.disk.content()[0])) || st.Path != "run.lct" || st.Files != 1 || st.Failing || st.QueueLimit != trace.DefaultQueue {
				t.Errorf("stats %+v, the file has %d bytes", st, len(g.disk.content()[0]))
			}
			if !slices.Equal(g.disk.synced, []string{"."}) || !g.disk.files["run.lct"].closed {
				t.Errorf("synced %v, closed %v", g.disk.synced, g.disk.files["run.lct"].closed)
			}
		}
	})
}

// TestREQ_T4_TypesOfEveryFrame: times are float64 even if they are whole, bytes are
// bin, ints are shortest: a strict walk over what a recorder wrote, in all forms.
func TestREQ_T4_TypesOfEveryFrame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, o := range []trace.Options{
			{}, {Args: trace.Args056}, {Format: trace.Plain}, {Format: trace.Plain, Args: trace.Args056},
		} {
			g := newRig(t, eventbus.Options{}, o)
			for range 300 {
				time.Sleep(time.Second) // whole seconds
				for _, name := range []string{storage.CallReserveWrite, storage.CallSubmitPrefetch, storage.CallReadEnter, storage.CallClear} {
					g.call(name, time.Now())
				}
			}
			g.close()
			frames := trace.Frames(g.disk.content()[0])
			for i, f := range frames {
				v := strictDecode(t, f[4:])
				want := []string{"type", "t_mono", "t_wall", "qualname", "args", "x"}
				if i == 0 {
					want = []string{"type", "magic", "format_version", "level", "trace_schema_version", "t_mono_start", "t_wall_start", "sm_config_json", "sm_config_digest", "x"}
				}
				if o.Format == trace.Plain {
					want = want[:len(want)-1]
				}
				if diff := cmp.Diff(want, v.names()); diff != "" && i < len(frames)-1 { // the end record may have no x
					t.Fatalf("frame %d (-want +got):\n%s", i, diff)
				}
				for _, name := range []string{"t_mono", "t_wall", "t_mono_start", "t_wall_start"} {
					if x := v.get(name); x != nil && x.kind != "float64" {
						t.Fatalf("frame %d: %s is %s", i, name, x.kind)
					}
				}
				for _, name := range []string{"magic", "chunk_hash", "ok", "oom", "busy", "aborted"} {
					for _, x := range v.all(name) {
						if x.kind != "bin" && (name != "ok" || x.kind != "bool") {
							t.Fatalf("frame %d: %s is %s", i, name, x.kind)
						}
					}
				}
			}
			wantFrames := 1 + 1200 + 1
			if o.Format == trace.Plain {
				wantFrames = 1 + 900
			}
			if len(frames) != wantFrames {
				t.Errorf("%d frames, want %d", len(frames), wantFrames)
			}
		}
	})
}

// TestREQ_T13_LossesAreMarked: a full queue with Drop, and a disk that fails now
// and then, lose calls, and every one of them is told of.
func TestREQ_T13_LossesAreMarked(t *testing.T) {
	leak.Check(t)
	synctest.Test(t, func(t *testing.T) {
		for seed := range 8 {
			g := newRig(t, eventbus.Options{}, trace.Options{Queue: 64, Drop: true})
			stuck := make(chan struct{})
			var stop sync.WaitGroup
			for i := range 4000 {
				switch (i + 97*seed) % 500 {
				case 100: // the disk is stuck: the queue overflows
					g.disk.set(func() { g.disk.stuck = stuck })
				case 260:
					time.Sleep(time.Second)
					close(stuck)
					g.disk.set(func() { g.disk.stuck = nil })
					stuck = make(chan struct{})
				case 300:
					g.disk.set(func() { g.disk.room = 1000 + 37*seed })
				case 400:
					time.Sleep(4 * time.Second)
					g.disk.set(func() { g.disk.room = -1 })
				case 450:
					time.Sleep(6 * time.Second)
				}
				g.call(storage.CallFinishWrite, time.Now())
				time.Sleep(time.Duration(i%3) * time.Millisecond)
			}
			g.disk.set(func() {
				g.disk.room = -1
				if g.disk.stuck != nil {
					close(stuck)
					g.disk.stuck = nil
				}
			})
			stop.Wait()
			g.close()
			s := summarise(t, g.disk.content()...)
			s.accounts(t, 4000, g.r.Stats())
			lost := g.r.Stats().Lost
			if s.end == nil || s.torn != "" || lost.Queue == 0 || lost.Write == 0 || len(s.gaps) < 2 {
				t.Errorf("seed %d: %v, lost %+v", seed, &s, lost)
			}
			// Every gap stands before the calls that were made behind it.
			if want := fmt.Sprintf(`level=WARN msg="trace recorder closed; %d record(s) dropped" file=run.lct`, s.lost); g.lines()[len(g.lines())-1] != want {
				t.Errorf("last line %q, want %q", g.lines()[len(g.lines())-1], want)
			}
		}
	})
}

// A gap record stands where the lost calls would have been.
func TestGapsStandInPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, eventbus.Options{}, trace.Options{Queue: 10, Drop: true})
		stuck := make(chan struct{})
		g.disk.set(func() { g.disk.stuck = stuck })
		g.call(storage.CallFinishWrite, time.Now())
		time.Sleep(time.Second) // its tick is stuck in the write
		first := time.Now()
		for range 20 {
			g.call(storage.CallFinishWrite, time.Now())
		}
		close(stuck)
		g.disk.set(func() { g.disk.stuck = nil })
		time.Sleep(time.Second)
		for range 3 {
			g.call(storage.CallReserveWrite, time.Now())
		}
		g.close()
		var got []string
		_, records, err := trace.Read(bytes.NewReader(g.disk.content()[0]))
		if err != nil {
			t.Fatal(err)
		}
		for r, err := range records {
			if err != nil {
				t.Fatal(err)
			}
			if gap, ok, _ := r.Gap(); ok {
				got = append(got, fmt.Sprintf("gap of %d %v", gap.Count, gap.ByCall))
				if want := float64(first.UnixNano()) / 1e9; r.Wall != want {
					t.Errorf("the gap is at %v, the first loss was at %v", r.Wall, want)
				}
				continue
			}
			got = append(got, fmt.Sprint(r.Number()))
		}
		want := []string{"0", "1", "2", "3", "4", "5", "gap of 15 map[" + storage.NamePrefix + "finish_write:15]", "21", "22", "23", "-1"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

// TestREQ_T12_AStalledWriter: callers wait, but no longer than the limit per call,
// and what is lost then is counted.
func TestREQ_T12_AStalledWriter(t *testing.T) {
	leak.Check(t)
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, eventbus.Options{}, trace.Options{Queue: 8})
		stuck := make(chan struct{})
		g.disk.set(func() { g.disk.stuck = stuck })
		longest := time.Duration(0)
		for range 40 {
			begin := time.Now()
			g.calls.PublishAt(storage.Call{N: g.n, Name: storage.CallFinishWrite, Owner: storage.NoCall, Keys: []kv.Key{key(t, 1)}}, begin)
			g.n++
			longest = max(longest, time.Since(begin))
			time.Sleep(10 * time.Millisecond)
		}
		if longest != trace.WaitLimit {
			t.Errorf("a call waited for %v, the limit is %v", longest, trace.WaitLimit)
		}
		close(stuck)
		g.disk.set(func() { g.disk.stuck = nil })
		time.Sleep(time.Second)
		// Now there is room, and callers that outrun the recorder wait for it.
		for range 1000 {
			g.call(storage.CallFinishWrite, time.Now())
		}
		g.close()
		s := summarise(t, g.disk.content()...)
		s.accounts(t, 1040, g.r.Stats())
		if lost := g.r.Stats().Lost; lost.Queue == 0 || lost.Queue > 40 || lost.Sum() != lost.Queue {
			t.Errorf("lost %+v", lost)
		}
	})
}

// TestREQ_T14_TimesAreThoseOfEntry, however late the recorder is.
func TestREQ_T14_TimesAreThoseOfEntry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, eventbus.Options{}, trace.Options{})
		start := time.Now()
		stuck := make(chan struct{})
		g.disk.set(func() { g.disk.stuck = stuck })
		var want []float64
		for i := range 50 {
			time.Sleep(41 * time.Millisecond)
			g.call(storage.CallReserveWrite, time.Now())
			want = append(want, time.Since(start).Seconds())
			if i == 48 {
				close(stuck)
				g.disk.set(func() { g.disk.stuck = nil })
			}
		}
		time.Sleep(2 * time.Second)
		g.close()
		var got []float64
		for _, r := range summarise(t, g.disk.content()...).records {
			got = append(got, r.Mono)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

// TestREQ_T15_FlushesAreFrequent: at every moment all calls but those of the last
// 100 ms are in the file, and the file is whole but for its last frame.
func TestREQ_T15_FlushesAreFrequent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, eventbus.Options{}, trace.Options{})
		for i := range 700 {
			time.Sleep(7 * time.Millisecond)
			g.call(storage.CallReserveWrite, time.Now())
			if i%10 != 0 {
				continue
			}
			s := summarise(t, g.disk.content()...) // what a kill leaves
			if behind := time.Duration(i+1-len(s.calls)) * 7 * time.Millisecond; behind > 100*time.Millisecond {
				t.Fatalf("after call %d the file is %v behind", i, behind)
			}
		}
		time.Sleep(100 * time.Millisecond)
		if s := summarise(t, g.disk.content()...); len(s.calls) != 700 || s.end != nil {
			t.Errorf("idle: %v", &s)
		}
		beat := g.r.Stats().Beat
		if time.Since(beat) > 100*time.Millisecond {
			t.Errorf("the last heartbeat is %v ago", time.Since(beat))
		}
		g.close()
	})
}

// TestREQ_T16_ADiskThatFails: full, full in the middle of a frame, read-only, and
// back again. The file is whole at every moment, and recording goes on.
func TestREQ_T16_ADiskThatFails(t *testing.T) {
	leak.Check(t)
	for name, fault := range map[string]func(d *disk, on bool){
		"full":             func(d *disk, on bool) { d.room = map[bool]int{true: 0, false: -1}[on] },
		"full in a frame":  func(d *disk, on bool) { d.room = map[bool]int{true: 700, false: -1}[on] },
		"full in a length": func(d *disk, on bool) { d.room = map[bool]int{true: 2, false: -1}[on] },
		"read-only":        func(d *disk, on bool) { d.ro = on },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				for _, maxBytes := range []int64{0, 1500} {
					g := newRig(t, eventbus.Options{}, trace.Options{MaxBytes: maxBytes})
					step := func(n int) {
						for range n {
							g.call(storage.CallReserveWrite, time.Now())
							time.Sleep(20 * time.Millisecond)
						}
						s := summarise(t, g.disk.content()...)
						if s.torn != "" && !g.r.Stats().Failing {
							t.Errorf("after %d calls: %s", g.n, s.torn)
						}
					}
					step(10)
					g.disk.set(func() { fault(g.disk, true) })
					step(100)
					if st := g.r.Stats(); !st.Failing || st.Lost.Write == 0 {
						t.Errorf("stats while it fails: %+v", st)
					}
					g.disk.set(func() { fault(g.disk, false) })
					time.Sleep(5 * time.Second)
					step(10)
					if st := g.r.Stats(); st.Failing {
						t.Errorf("stats when it is over: %+v", st)
					}
					g.close()
					s := summarise(t, g.disk.content()...)
					s.accounts(t, 120, g.r.Stats())
					if s.end == nil || s.torn != "" || len(s.gaps) != 1 {
						t.Errorf("in the end: %v", &s)
					}
					warnings := 0
					for _, l := range g.lines() {
						if strings.Contains(l, "write failed; dropping record") {
							warnings++
						}
					}
					if warnings < 2 || warnings > 4 {
						t.Errorf("%d warnings in about two seconds, one a second is due:\n%s", warnings, strings.Join(g.lines(), "\n"))
					}
				}
			})
		})
	}
}

// A disk that stays full until the end loses what is not written, and says so.
func TestClosingOnAFullDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, eventbus.Options{}, trace.Options{})
		for range 10 {
			g.call(storage.CallReserveWrite, time.Now())
		}
		time.Sleep(time.Second)
		g.disk.set(func() { g.disk.room = 100 })
		for range 10 {
			g.call(storage.CallReserveWrite, time.Now())
		}
		if err := g.r.Close(); err != nil && !strings.Contains(err.Error(), "no space left") {
			t.Error(err)
		}
		s := summarise(t, g.disk.content()...)
		if st := g.r.Stats(); len(s.calls) != 10 || st.Written != 10 || st.Lost.Write != 10 || s.torn != "" {
			t.Errorf("%v, stats %+v", &s, st)
		}
		if err := g.bus.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// TestREQ_T18_Rotation: the parts are read as one recording, equal to one that is
// not cut; each holds to its limit, and only the newest are kept.
func TestREQ_T18_Rotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit = 4000
		run := func(o trace.Options) *rig {
			g := newRig(t, eventbus.Options{}, o)
			for i := range 200 {
				g.call([]string{storage.CallReserveWrite, storage.CallFinishWrite}[i%2], time.Now())
				time.Sleep(time.Millisecond)
			}
			g.close()
			return g
		}
		one, many := run(trace.Options{}), run(trace.Options{MaxBytes: limit})
		a, b := summarise(t, one.disk.content()...), summarise(t, many.disk.content()...)
		if diff := cmp.Diff(a.calls, b.calls, cmpCalls); diff != "" {
			t.Errorf("(-one +many):\n%s", diff)
		}
		if len(b.outcomes) != 200 || b.end == nil {
			t.Errorf("parts: %v", &b)
		}
		files := many.disk.content()
		if len(files) < 10 || many.r.Stats().Files != len(files) {
			t.Errorf("%d files, stats %d", len(files), many.r.Stats().Files)
		}
		for i, f := range files {
			if len(f) > limit {
				t.Errorf("part %d has %d bytes, the limit is %d", i, len(f), limit)
			}
		}
		few := run(trace.Options{MaxBytes: limit, MaxFiles: 3, Path: "dir.d/run.lct"})
		var names []string
		for name := range few.disk.files {
			names = append(names, name)
		}
		slices.Sort(names)
		last := len(files) - 1
		want := []string{}
		for i := last - 2; i <= last; i++ {
			want = append(want, fmt.Sprintf("dir.d/run-%04d.lct", i))
		}
		if diff := cmp.Diff(want, names); diff != "" {
			t.Errorf("kept (-want +got):\n%s", diff)
		}
	})
}

// Parts on a real disk are one File.
func TestFileOfParts(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "run.lct")
	bus := eventbus.New(eventbus.Options{})
	r, err := trace.Open(bus, trace.Options{Path: path, MaxBytes: 2000})
	if err != nil {
		t.Fatal(err)
	}
	g := &rig{t: t, bus: bus, r: r, calls: eventbus.TopicOf[storage.Call](bus), done: eventbus.TopicOf[storage.CallDone](bus)}
	for range 100 {
		g.call(storage.CallFinishWrite, time.Now())
	}
	g.close()
	paths, err := filepath.Glob(filepath.Join(dir, "*.lct"))
	if err != nil {
		t.Fatal(err)
	}
	f, err := trace.OpenFile(paths...) // run-0001 comes before run.lct
	if err != nil {
		t.Fatal(err)
	}
	if f.Paths[0] != path {
		t.Errorf("the first part is %s", f.Paths[0])
	}
	for range 2 { // the records can be gone through twice
		n := int64(0)
		for rec, err := range f.Records() {
			if err != nil {
				t.Fatal(err)
			}
			if rec.Own() {
				continue
			}
			if rec.Number() != n {
				t.Fatalf("number %d, want %d", rec.Number(), n)
			}
			n++
		}
		if n != 100 || len(f.Headers) < 5 {
			t.Errorf("%d calls in %d parts", n, len(f.Headers))
		}
	}
	other := filepath.Join(dir, "other.lct")
	stream, err := os.ReadFile("testdata/upstream-small.lct")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(other, stream, 0o600); err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("trace file '%s': not a part of the same recording as '%s': t_mono_start differs", other, path)
	if _, err := trace.OpenFile(path, other); err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	if _, err := trace.OpenFile(filepath.Join(dir, "none.lct")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

// TestREQ_T17_Files: where recordings go, with which mode, and what is refused.
func TestREQ_T17_Files(t *testing.T) {
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	g := &rig{t: t}
	bus := eventbus.New(eventbus.Options{})
	r, err := trace.Open(bus, trace.Options{Logger: g.logger()})
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Base(r.Path())
	if filepath.Dir(r.Path()) != tmp || !strings.HasPrefix(name, fmt.Sprintf("lmcache-trace-%d-2", os.Getpid())) || len(name) != len(fmt.Sprintf("lmcache-trace-%d-20060102-150405.lct", os.Getpid())) {
		t.Errorf("path %s", r.Path())
	}
	if want := fmt.Sprintf(`level=INFO msg="trace recording enabled (level=storage); no --trace-output given, writing to %s"`, r.Path()); g.lines()[0] != want {
		t.Errorf("got  %s\nwant %s", g.lines()[0], want)
	}
	if info, err := os.Stat(r.Path()); err != nil || info.Mode() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	// The header is there before the first call.
	if f, err := trace.OpenFile(r.Path()); err != nil || f.Header().Level != "storage" {
		t.Error(err)
	}

	if _, err := trace.Open(bus, trace.Options{Path: filepath.Join(tmp, "second")}); !errors.Is(err, trace.ErrRecording) {
		t.Errorf("a second recorder: %v", err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}

	given := filepath.Join(tmp, "given.lct")
	if err := os.WriteFile(given, bytes.Repeat([]byte("x"), 10000), 0o644); err != nil {
		t.Fatal(err)
	}
	r, err = trace.Open(bus, trace.Options{Path: given}) // the first one is closed
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(given); err != nil || info.Mode() != 0o600 || info.Size() > 1000 {
		t.Errorf("a file that was there: %v %d %v", info.Mode(), info.Size(), err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}

	missing := filepath.Join(tmp, "no", "dir.lct")
	if _, err := trace.Open(bus, trace.Options{Path: missing}); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), missing) {
		t.Errorf("a missing directory: %v", err)
	}
	if _, err := trace.Open(bus, trace.Options{Path: tmp}); err == nil || !strings.Contains(err.Error(), "is not a regular file") {
		t.Errorf("a directory: %v", err)
	}
	if err := bus.Close(t.Context()); err != nil {
		t.Error(err)
	}
	for name, bus := range map[string]*eventbus.Bus{"nil": nil, "disabled": eventbus.New(eventbus.Options{Disabled: true}), "closed": bus} {
		p := filepath.Join(tmp, name)
		if _, err := trace.Open(bus, trace.Options{Path: p}); !errors.Is(err, trace.ErrNoBus) {
			t.Errorf("%s bus: %v", name, err)
		}
		if _, err := os.Stat(p); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s bus leaves a file: %v", name, err)
		}
		if err := os.WriteFile(p, []byte("a recording"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := trace.Open(bus, trace.Options{Path: p}); !errors.Is(err, trace.ErrNoBus) {
			t.Errorf("%s bus: %v", name, err)
		}
		if b, err := os.ReadFile(p); err != nil || string(b) != "a recording" {
			t.Errorf("%s bus: of the file that was there is left %q, %v", name, b, err)
		}
	}
}

func TestOptionsReportAllProblems(t *testing.T) {
	err := trace.Options{Queue: -1, Format: 7, Args: 8, MaxBytes: -2, MaxFiles: -3}.Validate()
	const want = `trace: Queue: must be positive, got -1
trace: Format: must be Extended or Plain, got 7
trace: Args: must be ArgsDocumented or Args056, got 8
trace: MaxBytes: must not be negative, got -2
trace: MaxFiles: must not be negative, got -3`
	if err == nil || err.Error() != want {
		t.Errorf("got %v", err)
	}
	if err := (trace.Options{MaxFiles: 3}).Validate(); err == nil {
		t.Error("MaxFiles alone: want an error")
	}
	if err := (trace.Options{}).Validate(); err != nil {
		t.Error(err)
	}
}

// A record that has no form is lost with a reason.
func TestEncodeFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, eventbus.Options{}, trace.Options{})
		for range 30 {
			g.call("something_new", time.Now())
			g.call(storage.CallReserveWrite, time.Now())
			time.Sleep(100 * time.Millisecond)
		}
		g.close()
		s := summarise(t, g.disk.content()...)
		s.accounts(t, 60, g.r.Stats())
		if lost := g.r.Stats().Lost; lost.Encode != 30 || lost.Sum() != 30 {
			t.Errorf("lost %+v", lost)
		}
		warnings := 0
		for _, l := range g.lines() {
			if strings.Contains(l, `"trace recorder: failed to encode record (qualname=`+storage.NamePrefix+`something_new); dropping"`) {
				warnings++
			}
		}
		if warnings < 2 || warnings > 4 {
			t.Errorf("%d warnings in three seconds:\n%s", warnings, strings.Join(g.lines(), "\n"))
		}
	})
}
