package fs_test

import (
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lmcache-go/lmcache/l2/fs"
	"github.com/lmcache-go/lmcache/storage/kv"
)

const gib = int64(1) << 30

// space is a file system of so many GiB, free ones and those for us.
func space(size, free, avail int64) fs.Usage {
	return fs.Usage{Size: size * gib, Free: free * gib, Avail: avail * gib}
}

// disk is a file system whose space the test decides.
func disk(u *atomic.Pointer[fs.Usage]) fs.System {
	s := fs.OS()
	s.Usage = func(string) (fs.Usage, error) {
		if v := u.Load(); v != nil {
			return *v, nil
		}
		return fs.Usage{}, errors.New("not known")
	}
	return s
}

// A store never fills the file system: 10 GiB or 5 % are left to others by default,
// and what others write shrinks what we may hold.
func TestREQ_S55_FreeSpaceFloor(t *testing.T) {
	for _, c := range []struct {
		name  string
		o     fs.Options
		usage fs.Usage
		held  int64
		want  int64
	}{
		{"small disk, 5 %", fs.Options{}, space(100, 60, 50), 7 * gib, 7*gib + 45*gib},
		{"large disk, 10 GiB", fs.Options{}, space(1000, 60, 50), 7 * gib, 47 * gib},
		{"a floor of its own", fs.Options{MinFree: gib}, space(1000, 60, 50), 7 * gib, 56 * gib},
		{"no floor", fs.Options{MinFree: -1}, space(1000, 60, 50), 7 * gib, 57 * gib},
		{"others have used it up", fs.Options{}, space(1000, 4, 3), 20 * gib, 13 * gib},
		{"and we hold less than that", fs.Options{}, space(1000, 4, 3), 5 * gib, 0},
		{"a cap below", fs.Options{MaxBytes: 9 * gib}, space(1000, 60, 50), 7 * gib, 9 * gib},
		{"a cap above", fs.Options{MaxBytes: 900 * gib}, space(1000, 60, 50), 7 * gib, 47 * gib},
		{"watermark", fs.Options{HighWatermark: 0.95}, space(1000, 60, 50), 7 * gib, 7*gib + 10*gib},
		{"watermark exceeded", fs.Options{HighWatermark: 0.9}, space(1000, 60, 50), 7 * gib, 0},
	} {
		var u atomic.Pointer[fs.Usage]
		u.Store(&c.usage)
		c.o.BasePath, c.o.System = t.TempDir(), disk(&u)
		s := open(t, c.o)
		if got := s.Limit(c.held); got != c.want {
			t.Errorf("%s: limit %.3f GiB, want %.3f", c.name, float64(got)/float64(gib), float64(c.want)/float64(gib))
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if got := s.Limit(c.held); got != -1 {
			t.Errorf("%s: limit %d of a closed store", c.name, got)
		}
	}
}

// The free space is asked for once a second at most; what the store adds meanwhile is
// counted, and what others add is seen a second later.
func TestLimitFollows(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		var u atomic.Pointer[fs.Usage]
		u.Store(&fs.Usage{Size: 100 * gib, Free: 50 * gib, Avail: 50 * gib})
		var asked atomic.Int64
		sys := disk(&u)
		usage := sys.Usage
		sys.Usage = func(path string) (fs.Usage, error) {
			asked.Add(1)
			return usage(path)
		}
		s := open(t, fs.Options{BasePath: dir, System: sys})
		const stored = 4096 + 8192
		mustStore(t, s, key("m", 1), 5000)
		u.Store(&fs.Usage{Size: 100 * gib, Free: 20 * gib, Avail: 20 * gib})
		for range 100 {
			if got := s.Limit(stored); got != 45*gib {
				t.Fatalf("limit %d, want that of the second before, %d", got, 45*gib)
			}
		}
		time.Sleep(time.Second)
		for range 100 {
			if got := s.Limit(stored); got != 15*gib+stored {
				t.Fatalf("limit %d, want %d", got, 15*gib+stored)
			}
		}
		if asked.Load() != 2 {
			t.Errorf("asked %d times in a second", asked.Load())
		}
		if err := s.Delete(t.Context(), []kv.Key{key("m", 1)}, make([]int64, 1)); err != nil {
			t.Fatal(err)
		}
		if got := s.Limit(0); got != 15*gib+stored {
			t.Errorf("limit %d after a delete, want %d", got, 15*gib+stored)
		}

		// An answer that does not come leaves the last one, and is waited for once.
		u.Store(nil)
		hang := make(chan struct{})
		usage = func(string) (fs.Usage, error) { <-hang; return fs.Usage{}, errors.New("not known") }
		time.Sleep(time.Second)
		begin := time.Now()
		for range 100 {
			if got := s.Limit(0); got != 15*gib+stored {
				t.Errorf("limit %d while the file system hangs, want %d", got, 15*gib+stored)
			}
		}
		if took := time.Since(begin); took > 10*time.Millisecond {
			t.Errorf("Limit has waited for %v", took)
		}
		close(hang)
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

// A file system that does not tell its space has no floor, and a cap nevertheless.
func TestLimitWithoutUsage(t *testing.T) {
	var u atomic.Pointer[fs.Usage]
	for _, c := range []struct{ max, want int64 }{{0, -1}, {gib, gib}} {
		s := open(t, fs.Options{BasePath: t.TempDir(), MaxBytes: c.max, System: disk(&u)})
		if got := s.Limit(5); got != c.want {
			t.Errorf("limit %d, want %d", got, c.want)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}
