package cli

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func TestEmit(t *testing.T) {
	flat := struct {
		Hits int `json:"hit_chunks"`
	}{7}
	jsonForm, err := ping().JSON()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		out  Output
		flat any
		want string
	}{
		{"terminal", Output{Format: "terminal"}, flat, ping().Text()},
		{"json", Output{Format: "json"}, flat, string(jsonForm)},
		{"flat", Output{Format: "terminal", JSON: true}, flat, "{\n  \"hit_chunks\": 7\n}\n"},
		{"the report's own values", Output{JSON: true}, nil, "{\n  \"status\": \"OK\",\n  \"round_trip_time_ms\": 4.3\n}\n"},
		{"quiet", Output{Format: "terminal", Quiet: true}, nil, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.out.File = filepath.Join(t.TempDir(), "result")
			var stdout bytes.Buffer
			if err := c.out.Emit(&stdout, ping(), c.flat); err != nil {
				t.Fatal(err)
			}
			if stdout.String() != c.want {
				t.Errorf("stdout = %q, want %q", stdout.String(), c.want)
			}
			file, err := os.ReadFile(c.out.File)
			if err != nil {
				t.Fatal(err)
			}
			if want := c.want; c.out.Quiet {
				if string(file) != ping().Text() {
					t.Errorf("quiet: file = %q", file)
				}
			} else if string(file) != want {
				t.Errorf("file = %q, want %q", file, want)
			}
		})
	}
}

type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, errors.New("broken pipe") }

func TestEmitReportsFailures(t *testing.T) {
	out := Output{Format: "terminal"}
	if err := out.Emit(brokenPipe{}, ping(), nil); err == nil {
		t.Error("a broken stdout went unnoticed")
	}
	out.File = filepath.Join(t.TempDir(), "no", "such", "folder")
	if err := out.Emit(new(bytes.Buffer), ping(), nil); err == nil {
		t.Error("a file that cannot be created went unnoticed")
	}
}

func TestWriteFileReplacesInOneStep(t *testing.T) {
	dir := t.TempDir()
	path, link := filepath.Join(dir, "f"), filepath.Join(dir, "link")
	if err := os.WriteFile(path, []byte("a long first content"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	old, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()
	if err := WriteFile(link, []byte("second")); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Lstat(link); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link was replaced: %v, %v", info, err)
	}
	if got, _ := os.ReadFile(path); string(got) != "second" {
		t.Errorf("content = %q", got)
	}
	if info, _ := os.Stat(path); info.Mode().Perm() != 0o644 {
		t.Errorf("mode = %v, want 0644", info.Mode())
	}
	buf := make([]byte, 64)
	if n, _ := old.Read(buf); string(buf[:n]) != "a long first content" {
		t.Errorf("a reader that had the file open sees %q", buf[:n])
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 2 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

func TestWriteFileLeavesDevicesAlone(t *testing.T) {
	if err := WriteFile(os.DevNull, []byte("x")); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(os.DevNull); err != nil || info.Mode().IsRegular() {
		t.Fatalf("%s is now %v, %v", os.DevNull, info, err)
	}
	if err := WriteFile(t.TempDir(), nil); err == nil {
		t.Error("a directory was written to")
	}
}
