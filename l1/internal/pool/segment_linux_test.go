package pool

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// maps is the list of mappings of this process.
func maps(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestSegment(t *testing.T) {
	dir := t.TempDir()
	for _, mode := range []fs.FileMode{0, 0o600, 0o660, 0o666} {
		p := newPool(t, Options{Bytes: 2*small + 4096, Name: "s", Dir: dir, Mode: mode})
		path := filepath.Join(dir, "s")
		st, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if want := max(mode, 0o600); st.Mode() != want || st.Size() != 2*small+4096 {
			t.Errorf("mode %v and size %d, want %v and %d", st.Mode(), st.Size(), want, 2*small+4096)
		}
		var sys unix.Stat_t
		if err := unix.Stat(path, &sys); err != nil || sys.Blocks != 0 {
			t.Errorf("%d blocks before anything is committed (%v)", sys.Blocks, err)
		}
		if !faults(p.Piece(1)) {
			t.Error("memory without blocks can be used")
		}
		if err := errors.Join(p.Commit(1), p.Populate(1)); err != nil {
			t.Fatal(err)
		}
		// Who opens the file reads what is written here.
		copy(p.Piece(1), "shared")
		data, err := os.ReadFile(path)
		if err != nil || string(data[small:small+6]) != "shared" {
			t.Errorf("the file has %q (%v)", data[small:small+6], err)
		}
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("after Close the file is there (%v)", err)
		}
		if strings.Contains(maps(t), path) {
			t.Error("after Close the file is mapped")
		}
	}
}

// A file that nobody holds is replaced, never used again; one that is held is not
// touched, and neither is what is no segment.
func TestSegmentOfOthers(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "s")
	o := Options{Bytes: small, Piece: small, Name: "s", Dir: dir}
	if err := os.WriteFile(path, []byte("left by a dead process"), 0o644); err != nil {
		t.Fatal(err)
	}
	client, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	p := newPool(t, o)
	if err := p.Commit(0); err != nil {
		t.Fatal(err)
	}
	if old, err := io.ReadAll(client); err != nil || string(old) != "left by a dead process" {
		t.Errorf("the file of an old client reads %q (%v)", old, err)
	}
	if p.Piece(0)[0] != 0 {
		t.Error("the new segment has old content")
	}
	before := maps(t)
	if _, err := Open(o); !errors.As(err, new(*InUseError)) || !strings.Contains(err.Error(), path) {
		t.Errorf("a second one: %v", err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Errorf("the refused one took the file: %v", err)
	}
	if n, m := strings.Count(before, path), strings.Count(maps(t), path); n != m {
		t.Errorf("mapped %d times after the refusal, %d before", m, n)
	}
	// Whoever removes the name by hand takes only the name; a new file there is not ours to unlink.
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Errorf("Close unlinked a file of another: %v", err)
	}

	for name, create := range map[string]func(string) error{
		"directory": func(path string) error { return os.Mkdir(path, 0o700) },
		"link":      func(path string) error { return os.Symlink("/etc/hostname", path) },
		"pipe":      func(path string) error { return unix.Mkfifo(path, 0o600) },
	} {
		path := filepath.Join(dir, name)
		if err := create(path); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(Options{Bytes: small, Name: name, Dir: dir}); err == nil {
			t.Errorf("a %s became a segment", name)
		}
		if _, err := os.Lstat(path); err != nil {
			t.Errorf("a %s was removed: %v", name, err)
		}
	}
	if _, err := Open(Options{Bytes: small, Name: "s", Dir: filepath.Join(dir, "none")}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no directory: %v", err)
	}
}

// Of many that start at once over what a dead one left, one gets the name and
// keeps its file.
func TestSegmentRace(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "s")
	for round := range 20 {
		if err := os.WriteFile(path, []byte("stale"), 0o600); err != nil {
			t.Fatal(err)
		}
		got := make([]*Pool, 8)
		var all sync.WaitGroup
		for i := range got {
			all.Go(func() {
				p, err := Open(Options{Bytes: small, Name: "s", Dir: dir})
				if err != nil && !errors.As(err, new(*InUseError)) {
					t.Errorf("round %d: %v", round, err)
				}
				got[i] = p
			})
		}
		all.Wait()
		winners := 0
		for _, p := range got {
			if p == nil {
				continue
			}
			winners++
			if !leadsTo(path, p.segment.file) {
				t.Errorf("round %d: the winner lost its file", round)
			}
			if err := p.Close(); err != nil {
				t.Error(err)
			}
		}
		if winners != 1 {
			t.Fatalf("round %d: %d have the segment", round, winners)
		}
	}
}

// A new file that another process takes for stale before it is locked is lost,
// whether that process still looks at it or has put its own in its place.
func TestSegmentLostBeforeLocked(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	open := func(flag int) *os.File {
		f, err := os.OpenFile(path, os.O_RDWR|flag, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = f.Close() })
		return f
	}
	mine := open(os.O_CREATE | os.O_EXCL)
	other := open(0)
	if err := lock(other); err != nil {
		t.Fatal(err)
	}
	if ours, err := claim(path, mine); ours || err != nil {
		t.Errorf("a file that another has locked: %v, %v", ours, err)
	}
	if err := errors.Join(os.Remove(path), other.Close()); err != nil {
		t.Fatal(err)
	}
	open(os.O_CREATE | os.O_EXCL)
	if ours, err := claim(path, mine); ours || err != nil {
		t.Errorf("a file whose name is another's: %v, %v", ours, err)
	}
}

// REQ-S20: whatever fails, no file and no mapping stays.
func TestSegmentFailureLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	broken := errors.New("broken")
	for _, name := range []string{"", "s"} {
		for _, step := range []Step{StepCreate, StepReserve} {
			before := strings.Count(maps(t), "\n")
			_, err := Open(Options{Bytes: 1 << 30, Name: name, Dir: dir, Fault: func(s Step) error {
				if s == step {
					return broken
				}
				return nil
			}})
			if name == "" && step == StepCreate {
				if err != nil {
					t.Errorf("private memory created a file: %v", err)
				}
				continue
			}
			if !errors.Is(err, broken) {
				t.Errorf("%s: %v", step, err)
			}
			if after := strings.Count(maps(t), "\n"); after > before+2 { // the Go heap may have grown
				t.Errorf("%s: %d mappings, %d before", step, after, before)
			}
			if list, _ := os.ReadDir(dir); len(list) > 0 || strings.Contains(maps(t), dir) {
				t.Errorf("%s: left %v", step, list)
			}
		}
	}
}

// A file system that is full is an error of Commit. What was committed before is
// there, and nothing is a bus error.
func TestSegmentInFullFileSystem(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=4m"); err != nil {
		t.Logf("not tried with a real file system, this test may not mount one: %v", err)
		return
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	p := newPool(t, Options{Bytes: 8 * small, Name: "s", Dir: dir})
	fit := 0
	for i := range p.Pieces() {
		err := p.Commit(i)
		if err == nil {
			fit++
			continue
		}
		if !errors.Is(err, unix.ENOSPC) || !strings.Contains(err.Error(), dir) {
			t.Errorf("piece %d: %v", i, err)
		}
		if !faults(p.Piece(i)) {
			t.Errorf("piece %d can be used without blocks", i)
		}
	}
	if fit != 4 || p.Committed() != 4*small {
		t.Fatalf("%d pieces with %d bytes fit into 4 MiB", fit, p.Committed())
	}
	for i := range fit {
		clear(p.Piece(i))
	}
}

// holder is the environment variable that makes the test binary hold a segment.
const holder = "LMCACHE_TEST_HOLD_SEGMENT"

// TestHolder is what a child process runs: it holds a segment until it is killed.
func TestHolder(t *testing.T) {
	dir := os.Getenv(holder)
	if dir == "" {
		return
	}
	p := newPool(t, Options{Bytes: small, Name: "s", Dir: dir})
	if err := p.Commit(0); err != nil {
		t.Fatal(err)
	}
	copy(p.Piece(0), "mine")
	fmt.Println("holding") //nolint:forbidigo // the parent reads it
	_, _ = io.ReadAll(os.Stdin)
}

// A process that is killed leaves its segment; the next one replaces it. As long
// as it lives, the name is taken.
func TestSegmentSurvivesKill(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "s")
	for range 3 {
		child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestHolder$")
		child.Env = append(os.Environ(), holder+"="+dir)
		stdin, err := child.StdinPipe() // kept open: the child waits for its end
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = stdin.Close() })
		stdout, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		line := make([]byte, len("holding"))
		if _, err := io.ReadFull(stdout, line); err != nil || !bytes.Equal(line, []byte("holding")) {
			t.Fatalf("the child says %q (%v)", line, err)
		}
		if _, err := Open(Options{Bytes: small, Name: "s", Dir: dir}); !errors.As(err, new(*InUseError)) {
			t.Errorf("the segment of a live process: %v", err)
		}
		if err := child.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = child.Wait()
		if data, err := os.ReadFile(path); err != nil || string(data[:4]) != "mine" {
			t.Errorf("a killed process leaves %d bytes (%v)", len(data), err)
		}
	}
	p := newPool(t, Options{Bytes: small, Name: "s", Dir: dir})
	if err := p.Commit(0); err != nil {
		t.Fatal(err)
	}
	if p.Piece(0)[0] != 0 {
		t.Error("the new segment has the content of the old one")
	}
}
