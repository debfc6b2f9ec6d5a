package trace_test

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lmcache-go/lmcache/eventbus"
	"github.com/lmcache-go/lmcache/storage"
	"github.com/lmcache-go/lmcache/trace"
)

// Parts on a real disk are one File, in whatever order they are given: those of the plain
// format, which have no numbers, by their times. One that is missing between others is
// damage, one that is there twice an error.
func TestOrderOfParts(t *testing.T) {
	for _, format := range []trace.Format{trace.Extended, trace.Plain} {
		dir := t.TempDir()
		path := filepath.Join(dir, "run.lct")
		bus := eventbus.New(eventbus.Options{})
		start := time.Now()
		r, err := trace.Open(bus, trace.Options{Path: path, MaxBytes: 2000, Format: format, Start: start})
		if err != nil {
			t.Fatal(err)
		}
		g := &rig{t: t, bus: bus, r: r, calls: eventbus.TopicOf[storage.Call](bus), done: eventbus.TopicOf[storage.CallDone](bus)}
		for i := range 100 {
			g.call(storage.CallFinishWrite, start.Add(time.Duration(i)*time.Second))
		}
		g.close()
		paths, err := filepath.Glob(filepath.Join(dir, "*.lct")) // run-0001 comes before run.lct
		if err != nil {
			t.Fatal(err)
		}
		rng := rand.New(rand.NewPCG(1, uint64(format)))
		for range 20 {
			f, err := trace.OpenFile(paths...)
			if err != nil {
				t.Fatal(err)
			}
			seconds := 0.0
			for rec, err := range f.Records() {
				if err != nil {
					t.Fatal(err)
				}
				if !rec.Own() && rec.Mono != seconds {
					t.Fatalf("format %v: %v s, want %v s", format, rec.Mono, seconds)
				} else if !rec.Own() {
					seconds++
				}
			}
			if f.Paths[0] != path || seconds != 100 || len(paths) < 6 {
				t.Errorf("format %v: %v s in %v", format, seconds, f.Paths)
			}
			rng.Shuffle(len(paths), func(i, j int) { paths[i], paths[j] = paths[j], paths[i] })
		}
		slices.Sort(paths)
		if _, err := trace.OpenFile(paths[0], paths[1], filepath.Join(dir, ".", filepath.Base(paths[0]))); err == nil || !strings.Contains(err.Error(), "the same part of the recording as") {
			t.Errorf("format %v, one part twice: %v", format, err)
		}
		copied := filepath.Join(dir, "copy")
		data, err := os.ReadFile(paths[0])
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(copied, data, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := trace.OpenFile(paths[0], copied); (err != nil) != (format == trace.Extended) {
			t.Errorf("format %v, a copy of a part: %v", format, err)
		}
		var damage []string
		f, err := trace.OpenFile(path, paths[2], paths[4]) // parts 0, 3, 5
		if err != nil {
			t.Fatal(err)
		}
		for _, err := range f.Records() {
			if err != nil {
				damage = append(damage, err.Error())
			}
		}
		want := []string{"TraceReader: parts 1 to 2 of the recording are missing", "TraceReader: part 4 of the recording is missing"}
		if format == trace.Plain {
			want = nil
		}
		if diff := cmp.Diff(want, damage); diff != "" {
			t.Errorf("format %v (-want +got):\n%s", format, diff)
		}
	}
}
