package replay_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/lmcache-go/lmcache/storage"
	"github.com/lmcache-go/lmcache/trace"
	"github.com/lmcache-go/lmcache/trace/replay"
)

// TestREQ_T3_Interop: files of every variant and form have the calls that were made,
// by our own summary, and by LMCache's tool if the variable LMCACHE names it (make
// interop); it also replays what it can. One of the files has the rare calls and marks
// of the extended format. The strict decoder over every frame is in
// TestREQ_T4_TypesOfEveryFrame.
func TestREQ_T3_Interop(t *testing.T) {
	program := os.Getenv("LMCACHE")
	if program == "" {
		t.Log("the variable LMCACHE names no program: LMCache's own tool was not asked")
	}
	for _, c := range []struct {
		name    string
		o       trace.Options
		replays bool
	}{
		{"plain, 0.5.6", trace.Options{Format: trace.Plain, Args: trace.Args056}, true},
		{"extended, 0.5.6", trace.Options{Args: trace.Args056}, true},
		{"plain, documented", trace.Options{Format: trace.Plain}, false},
		{"extended, documented", trace.Options{}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, 24)
			for _, f := range []*trace.File{w.record(5, 60, c.o), replay.RecordUnusual(t, c.o)} {
				readElsewhere(t, program, f, c.o, c.replays)
			}
			w.close()
		})
	}
}

// readElsewhere compares a file with what LMCache makes of it, if it is there.
func readElsewhere(t *testing.T, program string, f *trace.File, o trace.Options, replays bool) {
	t.Helper()
	own := map[string]int64{}
	s, err := trace.Summarise(f.Header(), f.Records(), false, func(d *trace.DamageError) { t.Error(d) })
	if err != nil {
		t.Fatal(err)
	}
	extended := int64(0)
	for r, err := range f.Records() {
		if err != nil {
			t.Fatal(err)
		}
		own[r.Name]++
		if r.Own() {
			extended++
		}
	}
	if (extended > 0) != (o.Format == trace.Extended) || s.Records < 10 {
		t.Errorf("%d records of the extended format only, %d others", extended, s.Records)
	}
	if program == "" {
		return
	}
	info := upstream(t, program, "trace", "info", f.Paths[0])
	for name, n := range own {
		if line := fmt.Sprintf("    %s: %d\n", name, n); !strings.Contains(info, line) {
			t.Errorf("LMCache does not count %s", line)
		}
	}
	if replays {
		replayUpstream(t, program, f.Paths[0], s.Records, extended)
	}
}

// replayUpstream has LMCache replay a file: everything but the records of the
// extended format, without a failure.
func replayUpstream(t *testing.T, program, path string, records, skipped int64) {
	t.Helper()
	out := upstream(t, program, "trace", "replay", path, "--l1-size-gb", "1", "--eviction-policy", "LRU", "--disable-observability", "--no-csv", "--output-dir", t.TempDir())
	for label, want := range map[string]int64{"Records replayed": records, "Records skipped": skipped, "Records failed": 0} {
		m := regexp.MustCompile(label + `: +(\d+)`).FindStringSubmatch(out)
		if m == nil || m[1] != strconv.FormatInt(want, 10) {
			t.Errorf("LMCache says %v, want %s %d", m, label, want)
		}
	}
}

// upstream runs LMCache's program and returns what it prints.
func upstream(t *testing.T, program string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Env = append(os.Environ(), "OMP_NUM_THREADS=2", "LMCACHE_TRACK_USAGE=false", "LMCACHE_DISABLE_BANNER=1")
	cmd.Dir = t.TempDir()
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s\n%s", filepath.Base(program), strings.Join(args, " "), err, out, stderr.String())
	}
	for line := range strings.SplitSeq(stderr.String(), "\n") {
		if strings.Contains(line, "raised") || strings.Contains(line, "failed to decode") || strings.Contains(line, "malformed") {
			t.Errorf("LMCache: %s", line)
		}
	}
	return string(out)
}

// The names of the calls are LMCache's.
func TestNamesOfCalls(t *testing.T) {
	if got := trace.Qualname(storage.CallReadEnter); got != "lmcache.v1.distributed.storage_manager.StorageManager.read_prefetched_results.__enter__" {
		t.Error(got)
	}
	if got := trace.Qualname(storage.CallClear); got != "lmcache.trace.clear" {
		t.Error(got)
	}
}
