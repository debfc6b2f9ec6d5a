package fs_test

import (
	"bytes"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/l2/fs"
	"github.com/lmcache-go/lmcache/l2/fs/fstest"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// A file system that cannot be reached is an error of a lookup, as the probe of a
// breaker needs it, and no miss.
func TestLookupOfUnreachable(t *testing.T) {
	var h hooked
	s := open(t, fs.Options{BasePath: t.TempDir(), System: h.system()})
	defer func() { _ = s.Close() }()
	mustStore(t, s, key("m", 1), 5000)
	unknown, known := []kv.Key{key("m", 2)}, []kv.Key{key("m", 2), key("m", 1)}
	for err, want := range map[error]bool{
		syscall.ENOTCONN: true, syscall.EHOSTDOWN: true, syscall.ETIMEDOUT: true, syscall.ENOENT: false, syscall.EACCES: false, syscall.EIO: false,
	} {
		h.fail(fstest.Stat, err)
		if got := s.Lookup(t.Context(), unknown, make([]l2.Found, 1)); l2.Unreachable(got) != want || (got != nil) != want {
			t.Errorf("%v: %v", err, got)
		}
		found := make([]l2.Found, 2)
		if err := s.Lookup(t.Context(), known, found); err != nil || found[0].OK || !found[1].OK {
			t.Errorf("beside a key that is known: %+v, %v", found, err)
		}
	}
}

// With SyncFileAndDir the names of all folders that are made are forced to the disk.
func TestNewFoldersAreForced(t *testing.T) {
	var mu sync.Mutex
	forced := map[string]bool{}
	sys := fstest.Wrap(fs.OS(), func(c fstest.Call) fstest.Fault {
		if c.Op == fstest.SyncDir {
			mu.Lock()
			defer mu.Unlock()
			forced[c.Path] = true
		}
		return fstest.Fault{}
	})
	top := t.TempDir()
	base := filepath.Join(top, "a", "b")
	s := open(t, fs.Options{BasePath: base, System: sys, Sync: fs.SyncFileAndDir})
	mustStore(t, s, key("m", 1), 5000)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for dir := filepath.Dir(fs.Path(s, key("m", 1))); dir != filepath.Dir(top); dir = filepath.Dir(dir) {
		if !forced[dir] {
			t.Errorf("what was made in %s is not forced to the disk", dir)
		}
	}
}

// folding is a file system on which capitals and small letters are the same, as far as
// Stat goes.
func folding() fs.System {
	sys := fs.OS()
	stat := sys.Stat
	sys.Stat = func(path string) (fs.Info, error) {
		info, err := stat(path)
		if err != nil {
			dir, name := filepath.Split(path)
			return stat(dir + strings.ToLower(name))
		}
		return info, err
	}
	return sys
}

// Where names that differ in their capitals are one file, format raw is refused: its
// files do not tell one tenant's objects from another's. Format v1 tells them apart.
func TestFileSystemWithoutCapitals(t *testing.T) {
	for _, direct := range []bool{false, true} {
		_, err := fs.Open(t.Context(), fs.Options{BasePath: t.TempDir(), Raw: true, DirectIO: direct, System: folding()})
		if err == nil || !strings.Contains(err.Error(), "capitals") {
			t.Errorf("format raw: %v", err)
		}
	}
	var log bytes.Buffer
	s := open(t, fs.Options{BasePath: t.TempDir(), System: folding(), Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err := s.Close(); err != nil || !strings.Contains(log.String(), "capitals") {
		t.Errorf("format v1: %v; the log is %q", err, log.String())
	}
	if err := open(t, fs.Options{BasePath: t.TempDir(), Raw: true}).Close(); err != nil {
		t.Error(err)
	}
}
