//go:build linux

package fs_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/l2/fs"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// mountDir asks this test binary to fill a small file system of its own there.
const mountDir = "LMCACHE_TEST_MOUNT_DIR"

// mountBytes is the size of that file system.
const mountBytes = 4 << 20

// A real file system that is full: stores fail with no space, nothing is left of
// them, what is there can be read, and there is room again after a delete. The file
// system is mounted by a process with a name space of its own, where that is allowed.
func TestREQ_S55_RealDiskFull(t *testing.T) {
	if dir := os.Getenv(mountDir); dir != "" {
		fillDisk(t, dir)
		return
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestREQ_S55_RealDiskFull$", "-test.v")
	cmd.Env = append(os.Environ(), mountDir+"="+t.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	out, err := cmd.CombinedOutput()
	if refused := (*exec.ExitError)(nil); err != nil && !errors.As(err, &refused) {
		t.Logf("no file system can be mounted here: %v", err)
		return
	}
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
}

func fillDisk(t *testing.T, dir string) {
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d", mountBytes)); err != nil {
		t.Logf("no file system can be mounted here: %v", err)
		return
	}
	for _, direct := range []bool{false, true} {
		s := open(t, fs.Options{BasePath: dir, DirectIO: direct, MinFree: -1})
		if got := s.Limit(0); got <= 0 || got > mountBytes {
			t.Errorf("limit %d of a file system of %d bytes", got, mountBytes)
		}
		const size = 100_000
		stored := 0
		var err error
		for ; stored < 1000; stored++ {
			if _, err = store(t, s, key("m", stored), size); err != nil {
				break
			}
		}
		isReason(t, err, l2.ReasonNoSpace)
		if most := mountBytes / size; stored < most/2 || stored > most {
			t.Errorf("%d objects of %d bytes on a file system of %d", stored, size, mountBytes)
		}
		noTemps(t, dir)
		keys := make([]kv.Key, stored)
		for i := range keys {
			keys[i] = key("m", i)
			if err := load(t, s, keys[i], size); err != nil {
				t.Error(err)
			}
		}
		if err := s.Delete(t.Context(), keys[:1], make([]int64, 1)); err != nil {
			t.Fatal(err)
		}
		mustStore(t, s, key("m", stored), size)
		if err := s.Delete(t.Context(), append(keys, key("m", stored)), make([]int64, stored+1)); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if left := tree(t, dir); len(left) > 0 {
			t.Errorf("left: %v", left)
		}
		t.Logf("direct I/O %v: %d objects fit", s.Describe()["direct_io"], stored)
	}
	if err := syscall.Mount("", dir, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		t.Logf("not remounted: %v", err)
		return
	}
	if s, err := fs.Open(t.Context(), fs.Options{BasePath: dir}); err == nil || !strings.Contains(err.Error(), "read-only file system") {
		t.Errorf("a file system that cannot be written: %v, %v", s, err)
	}
}
