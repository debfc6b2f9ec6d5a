package l1_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lmcache-go/lmcache/internal/leak"
	"github.com/lmcache-go/lmcache/l1"
)

// A shared memory that others have filled is an error at the start, or makes the
// cache as small as what is left; it never is a bus error of whoever writes.
func TestFullSharedMemory(t *testing.T) {
	leak.Check(t)
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
	if err := os.WriteFile(filepath.Join(dir, "filler"), make([]byte, 2<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	o := l1.Options{Bytes: 3 << 20, InitBytes: 1 << 20, ShmName: "test", ShmDir: dir}
	for _, at := range []string{"eager", "at once"} {
		bad := o
		if bad.Eager = at == "eager"; !bad.Eager {
			bad.InitBytes = 3 << 20
		}
		if _, err := l1.New(l1.Faulty(bad, step, nil)); !errors.Is(err, unix.ENOSPC) {
			t.Errorf("%s: %v", at, err)
		}
		if list, err := os.ReadDir(dir); err != nil || len(list) != 1 {
			t.Errorf("%s: left %v (%v)", at, list, err)
		}
	}
	m := newLive(t, l1.Faulty(o, step, nil))
	layout := layoutOf(t, unit)
	for i := range 200 {
		w, n := stage(t, m, layout, chunks(1, i*8, i*8+8)...)
		if n != 8 {
			t.Fatalf("%d of 8 granted: %+v", n, m.Stats())
		}
		for _, b := range w.All() {
			b[len(b)-1] = 1
		}
		w.Finish(time.Now(), l1.OriginNew)
	}
	if s := m.Stats(); s.CapacityBytes < 2<<20-4*step || s.CapacityBytes > 2<<20 || s.ConfiguredBytes != 3<<20 || s.UsedBytes != s.CapacityBytes || s.EvictedObjects == 0 {
		t.Errorf("%+v", s)
	}
	d := l1.Options{Bytes: 5 << 20, ShmName: "test", ShmDir: dir}
	if err := d.CheckMachine(); !errors.As(err, new(*l1.ShmSpaceError)) {
		t.Errorf("more than the file system: %v", err)
	}
}
