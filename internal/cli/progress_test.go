package cli

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// REQ-C7: without a terminal there are lines, never a bar.
func TestProgressLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b bytes.Buffer
		p := newProgress(&b, false, "bench workload", 200)
		for i := range int64(200) {
			p.Set(i + 1)
			time.Sleep(200 * time.Millisecond) // 40 s in all, and 4 s for ten percent
		}
		p.Close()
		want := []string{
			"bench workload: 20 % (51 of 200)", // the first line after 10 s
			"bench workload: 50 % (101 of 200)",
			"bench workload: 70 % (151 of 200)",
			"",
		}
		if diff := cmp.Diff(want, strings.Split(b.String(), "\n")); diff != "" {
			t.Errorf("lines (-want +got):\n%s", diff)
		}
	})
}

func TestProgressBarAppearsAfterASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b bytes.Buffer
		p := newProgress(&b, true, "replay", 100)
		p.Set(10)
		if b.Len() != 0 {
			t.Errorf("a bar within the first second: %q", b.String())
		}
		time.Sleep(2 * time.Second)
		p.Set(20)
		if !strings.Contains(b.String(), "replay") || !strings.Contains(b.String(), "20/100") {
			t.Errorf("no bar after two seconds: %q", b.String())
		}
		p.Close()
		after := b.Len()
		p.Set(15) // less than before
		if b.Len() != after {
			t.Errorf("going backwards drew %q", b.String()[after:])
		}
	})
}

func TestNoProgress(t *testing.T) {
	io := &IO{Stderr: new(bytes.Buffer)}
	for name, p := range map[string]*Progress{
		"quiet":   (&Output{Quiet: true}).Progress(io, "x", 5),
		"off":     (&Output{NoProgress: true}).Progress(io, "x", 5),
		"nothing": (&Output{}).Progress(io, "x", 0),
	} {
		if p != nil {
			t.Errorf("%s: there is a display", name)
		}
		p.Set(1)
		p.Close()
	}
	if p := (&Output{}).Progress(io, "x", 5); p == nil || p.terminal {
		t.Errorf("a buffer got %+v", p)
	}
}

// REQ-C7: a terminal gets colours unless NO_COLOR is set; a pipe never does.
func TestColorsOnlyOnATerminal(t *testing.T) {
	terminal, pipe := openTerminal(t), openPipe(t)
	for _, c := range []struct {
		name    string
		file    *os.File
		noColor string
		want    bool
	}{
		{"terminal", terminal, "", true},
		{"terminal with NO_COLOR", terminal, "1", false},
		{"pipe", pipe, "", false},
	} {
		io := &IO{LookupEnv: func(name string) (string, bool) { return c.noColor, name == "NO_COLOR" && c.noColor != "" }}
		if got := io.Colors(c.file); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
	if IsTerminal(new(bytes.Buffer)) {
		t.Error("a buffer is a terminal")
	}
}

func openPipe(t *testing.T) *os.File {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(); w.Close() })
	return w
}
