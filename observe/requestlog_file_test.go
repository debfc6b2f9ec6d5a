package observe

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

func openRotating(t *testing.T, path string, o RotatingFileOptions) *RotatingFile {
	t.Helper()
	f, err := OpenRotatingFile(path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	return f
}

// filesOf is what the files of dir hold, by name.
func filesOf(t *testing.T, dir string) map[string]string {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	files := make(map[string]string)
	for _, e := range list {
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		files[e.Name()] = string(text)
	}
	return files
}

func mustWrite(t *testing.T, f io.Writer, text string) {
	t.Helper()
	if n, err := f.Write([]byte(text)); n != len(text) || err != nil {
		t.Fatalf("wrote %d of %d bytes: %v", n, len(text), err)
	}
}

// REQ-O54: at most the configured number of files, counting those of earlier runs, none
// longer than its limit, with the newest lines in order; also when the number is lowered.
func TestREQ_O54_Rotation(t *testing.T) {
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 0))
		dir := t.TempDir()
		path := filepath.Join(dir, "requests.jsonl")
		if err := os.WriteFile(path+".note", []byte("not ours"), 0o600); err != nil {
			t.Fatal(err)
		}
		var all strings.Builder
		limit := 5
		for run := range 8 {
			limit = max(limit-run%2, 1)
			o := RotatingFileOptions{MaxSize: 100, MaxFiles: limit}
			f, err := OpenRotatingFile(path, o)
			if err != nil {
				t.Fatal(err)
			}
			for batch := range rng.IntN(8) {
				var text strings.Builder
				for line := range 1 + rng.IntN(12) {
					fmt.Fprintf(&text, "{%d %d %d %s}\n", run, batch, line, strings.Repeat("x", rng.IntN(60)))
				}
				mustWrite(t, f, text.String())
				all.WriteString(text.String())
			}
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
			files := filesOf(t, dir)
			if files["requests.jsonl.note"] != "not ours" {
				t.Fatal("a file of somebody else is gone")
			}
			delete(files, "requests.jsonl.note")
			if len(files) > limit {
				t.Fatalf("seed %d run %d: %d files, want at most %d", seed, run, len(files), limit)
			}
			var kept strings.Builder
			for n := limit - 1; n >= 0; n-- {
				name := "requests.jsonl"
				if n > 0 {
					name += fmt.Sprint(".", n)
				}
				if len(files[name]) > 100 {
					t.Errorf("seed %d run %d: %s has %d bytes, want at most 100", seed, run, name, len(files[name]))
				}
				kept.WriteString(files[name])
			}
			if !strings.HasSuffix(all.String(), kept.String()) || all.Len() > 0 && kept.Len() == 0 {
				t.Fatalf("seed %d run %d: what is kept is not the end of what was written:\n%s", seed, run, kept.String())
			}
		}
	}
}

// A line that is longer than a file may be has one of its own.
func TestRotationOfLongLines(t *testing.T) {
	dir := t.TempDir()
	f := openRotating(t, filepath.Join(dir, "r"), RotatingFileOptions{MaxSize: 10, MaxFiles: 4})
	long := "{" + strings.Repeat("x", 50) + "}\n"
	mustWrite(t, f, "{1}\n"+long+"{2}\n{3}\n")
	want := map[string]string{"r.2": "{1}\n", "r.1": long, "r": "{2}\n{3}\n"}
	got := filesOf(t, dir)
	for name, text := range want {
		if got[name] != text {
			t.Errorf("%s holds %q, want %q", name, got[name], text)
		}
	}
}

// REQ-O53: whatever a kill leaves of the last line, the lines before it and those of the
// next run are whole.
func TestREQ_O53_LinesAfterAKill(t *testing.T) {
	path := filepath.Join(t.TempDir(), "r")
	whole := "{\"n\":1}\n{\"n\":2}\n"
	for cut := range len(whole) + 1 {
		if err := os.WriteFile(path, []byte(whole[:cut]), 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := OpenRotatingFile(path, RotatingFileOptions{})
		if err != nil {
			t.Fatal(err)
		}
		mustWrite(t, f, "{\"n\":3}\n")
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := bytes.Count(text, newline), strings.Count(whole[:cut], "\n")+1; got != want {
			t.Errorf("cut at %d: %d lines, want %d", cut, got, want)
		}
		for line := range strings.Lines(string(text)) {
			if !json.Valid([]byte(line)) {
				t.Errorf("cut at %d: %q", cut, line)
			}
		}
	}
}

// What is no record is not removed.
func TestRotatingFileLeavesOthersAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "r")
	for _, text := range []string{"no line", "a\nb", "{" + strings.Repeat("x", tornTail)} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		f := openRotating(t, path, RotatingFileOptions{})
		mustWrite(t, f, "{}\n")
		if got, err := os.ReadFile(path); err != nil || string(got) != text+"{}\n" {
			t.Errorf("%.20q became %.40q, %v", text, got, err)
		}
	}
}

// REQ-O54: a write that a full disk cuts short is taken back, so that every line is whole.
func TestREQ_O54_ShortWrites(t *testing.T) {
	dir := t.TempDir()
	f := openRotating(t, filepath.Join(dir, "r"), RotatingFileOptions{MaxSize: 1000})
	room := 0
	f.write = func(f *os.File, p []byte) (int, error) {
		if len(p) <= room {
			room -= len(p)
			return f.Write(p)
		}
		n, err := f.Write(p[:room])
		room -= n
		return n, errors.Join(err, syscall.ENOSPC)
	}
	room = 100
	mustWrite(t, f, "{1}\n")
	room = 6
	if n, err := f.Write([]byte("{2}\n{3}\n")); n != 4 || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("wrote %d bytes, %v; want the 4 of a whole line and ENOSPC", n, err)
	}
	if n, err := f.Write([]byte("{4}\n")); n != 0 || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("wrote %d bytes, %v; want none and ENOSPC", n, err)
	}
	f.write = func(*os.File, []byte) (int, error) { return 0, nil }
	if _, err := f.Write([]byte("{5}\n")); !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("a write of nothing: %v", err)
	}
	f.write = (*os.File).Write
	mustWrite(t, f, "{6}\n")
	if got := filesOf(t, dir)["r"]; got != "{1}\n{2}\n{6}\n" {
		t.Errorf("the file holds %q", got)
	}
}

// A rotation that fails makes writes fail and the files no more; it is tried again.
func TestRotationFails(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "r")
	f := openRotating(t, path, RotatingFileOptions{MaxSize: 8, MaxFiles: 2})
	mustWrite(t, f, "{1}\n{2}\n")
	if err := os.MkdirAll(filepath.Join(path+".1", "x"), 0o700); err != nil { // cannot be renamed over
		t.Fatal(err)
	}
	for range 3 {
		if n, err := f.Write([]byte("{3}\n")); n != 0 || err == nil {
			t.Fatalf("wrote %d bytes, %v", n, err)
		}
	}
	if err := os.RemoveAll(path + ".1"); err != nil {
		t.Fatal(err)
	}
	mustWrite(t, f, "{4}\n")
	if got := filesOf(t, dir); got["r"] != "{4}\n" || got["r.1"] != "{1}\n{2}\n" {
		t.Errorf("files: %q", got)
	}
}

func TestRotatingFileRefuses(t *testing.T) {
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		dir: "not a regular file", pipe: "not a regular file", filepath.Join(dir, "missing", "r"): "no such file",
	} {
		if _, err := OpenRotatingFile(path, RotatingFileOptions{}); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
	}
	_, err := OpenRotatingFile(filepath.Join(dir, "r"), RotatingFileOptions{MaxSize: -1, MaxFiles: -2})
	if err == nil || !strings.Contains(err.Error(), "size -1") || !strings.Contains(err.Error(), "files -2") {
		t.Errorf("error %v, want both problems", err)
	}
	f := openRotating(t, filepath.Join(dir, "r"), RotatingFileOptions{})
	if err := errors.Join(f.Close(), f.Close()); err != nil {
		t.Error(err)
	}
	if _, err := f.Write([]byte("{}\n")); !errors.Is(err, os.ErrClosed) {
		t.Errorf("a write after Close: %v", err)
	}
	if names := filesOfNames(t, dir); !slices.Equal(names, []string{"pipe", "r"}) {
		t.Errorf("files %v", names)
	}
}

func filesOfNames(t *testing.T, dir string) (names []string) {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		names = append(names, e.Name())
	}
	return names
}
