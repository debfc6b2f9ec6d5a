package lmcache_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/lmcache-go/lmcache"
	"github.com/lmcache-go/lmcache/internal/leak"
	"github.com/lmcache-go/lmcache/l1"
)

// serveDir is the environment variable that makes the test binary run an engine on a
// segment in that folder.
const serveDir = "LMCACHE_TEST_SERVE_SEGMENT"

func sharedIn(dir string) func(*lmcache.Options) {
	return func(o *lmcache.Options) { o.L1.ShmName, o.L1.ShmDir = "killed", dir }
}

// TestServeSegment is what a child process runs: an engine with objects, leases and
// reservations, until it is killed.
func TestServeSegment(t *testing.T) {
	dir := os.Getenv(serveDir)
	if dir == "" {
		return
	}
	r := newHostRig(t, sharedIn(dir))
	prompt := tokens(1, 8*chunkTokens)
	r.keep(1, prompt[:4*chunkTokens])
	s := r.session("a")
	in := r.read(s.Lookup(t.Context(), prompt), 0, 4)
	same(t, in, 1, 0, 4)
	fill(r.prepare(s, prompt, 4, 8), 1, 4)
	if t.Failed() {
		return
	}
	fmt.Println("serving") //nolint:forbidigo // the parent reads it
	_, _ = io.ReadAll(os.Stdin)
}

// TestKilledEngine: an engine that is killed with everything in flight leaves its
// segment. The next engine of that name is refused as long as it lives, and then begins
// empty and works.
func TestKilledEngine(t *testing.T) {
	dir := t.TempDir()
	prompt := tokens(1, 8*chunkTokens)
	for round := range 3 {
		child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestServeSegment$")
		child.Env = append(os.Environ(), serveDir+"="+dir)
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
		line := make([]byte, len("serving"))
		if _, err := io.ReadFull(stdout, line); err != nil || !bytes.Equal(line, []byte("serving")) {
			t.Fatalf("the child says %q (%v)", line, err)
		}
		o := lmcache.Options{ChunkTokens: chunkTokens, L1: l1.Options{Bytes: 1 << 20, Align: 64}}
		sharedIn(dir)(&o)
		if _, err := lmcache.Open(t.Context(), o); !errors.As(err, new(*l1.ShmInUseError)) {
			t.Errorf("beside a live engine: %v", err)
		}
		if err := child.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = child.Wait()
		if _, err := os.Stat(filepath.Join(dir, l1.SegmentName("killed"))); err != nil {
			t.Errorf("the segment of the killed engine: %v", err)
		}
		if round == 1 {
			continue // the next one finds what two have left
		}
		t.Run("next", func(t *testing.T) {
			r := newHostRig(t, sharedIn(dir))
			if got := r.hits(prompt); got != 0 {
				t.Errorf("%d chunks of the killed engine are readable", got)
			}
			r.keep(2, prompt)
			s := r.session("a")
			in := r.read(s.Lookup(t.Context(), prompt), 0, 8)
			same(t, in, 2, 0, 8)
			in.Done()
			r.end(s)
		})
		if list, err := os.ReadDir(dir); err != nil || len(list) != 0 {
			t.Errorf("%d files are left (%v)", len(list), err)
		}
	}
}

// TestFullSharedMemory: a file system without room for the segment is an error of Open,
// or makes the cache as small as what there is; whoever writes never gets a bus error.
func TestFullSharedMemory(t *testing.T) {
	leak.Check(t)
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=300m"); err != nil {
		t.Logf("not tried with a real file system, this test may not mount one: %v", err)
		return
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	if err := os.WriteFile(filepath.Join(dir, "filler"), make([]byte, 200<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	o := lmcache.Options{ChunkTokens: chunkTokens, L1: l1.Options{Bytes: 256 << 20, ShmName: "full", ShmDir: dir, InitBytes: 64 << 20}}
	bad := o
	bad.L1.Eager = true
	if _, err := lmcache.Open(t.Context(), bad); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("eager: %v", err)
	}
	if list, err := os.ReadDir(dir); err != nil || len(list) != 1 {
		t.Errorf("left %v (%v)", list, err)
	}
	e, err := lmcache.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	geometry := hostGeometry()
	geometry.Hidden = 8 << 10 // objects of 1 MiB
	h, err := e.AttachHost(lmcache.HostOptions{Model: model, Geometry: geometry})
	if err != nil {
		t.Fatal(err)
	}
	for seed := range uint64(40) {
		prompt := tokens(seed, 4*chunkTokens)
		s := e.Session(lmcache.Request{ID: "a", Model: model})
		st, err := h.PrepareStore(t.Context(), s, prompt, 0, 4*chunkTokens)
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range st.All() {
			copy(b, bytes.Repeat([]byte{byte(seed)}, len(b)))
		}
		if err := st.Commit(); err != nil {
			t.Fatalf("prompt %d: %v", seed, err)
		}
		in, err := h.PrepareRetrieve(t.Context(), s.Lookup(t.Context(), prompt), 0, 4*chunkTokens)
		if err != nil || !in.Success() {
			t.Fatalf("prompt %d is not found (%v)", seed, err)
		}
		for i, b := range in.All() {
			if bytes.Count(b, []byte{byte(seed)}) != len(b) {
				t.Fatalf("chunk %d of prompt %d has wrong bytes", i, seed)
			}
		}
		in.Done()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	idle(t, e)
	if s := e.Stats().Storage.L1; s.CapacityBytes > 100<<20 || s.CapacityBytes < 64<<20 || s.ConfiguredBytes != 256<<20 || s.EvictedObjects == 0 {
		t.Errorf("%+v", s)
	}
	if err := e.Close(t.Context()); err != nil {
		t.Error(err)
	}
}
