package tiertest

import (
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	l2fs "github.com/lmcache-go/lmcache/l2/fs"
	"github.com/lmcache-go/lmcache/l2/fs/fstest"
)

// disk is a folder for stores of files, over an operating system that can fail.
type disk struct {
	base string

	mu     sync.Mutex
	faults map[int]func(fstest.Call) fstest.Fault
	next   int
	space  bool // there is none left
	hits   int
}

func newDisk(base string) *disk {
	return &disk{base: base, faults: make(map[int]func(fstest.Call) fstest.Fault)}
}

// dir is the folder of a store.
func (d *disk) dir(n int) string { return filepath.Join(d.base, "store"+strconv.Itoa(n)) }

// system is the operating system as the stores see it.
func (d *disk) system() l2fs.System {
	sys := fstest.Wrap(l2fs.OS(), d.meet)
	usage := sys.Usage
	sys.Usage = func(path string) (l2fs.Usage, error) {
		u, err := usage(path)
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.space {
			u.Free, u.Avail = 0, 0
		}
		return u, err
	}
	return sys
}

func (d *disk) meet(c fstest.Call) fstest.Fault {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, f := range d.faults {
		if f := f(c); f.Err != nil || f.Most > 0 {
			d.hits++
			return f
		}
	}
	return fstest.Fault{}
}

// fail puts a fault into effect, until what it returns is called.
func (d *disk) fail(f func(fstest.Call) fstest.Fault) (undo func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := d.next
	d.next++
	d.faults[n] = f
	return func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		delete(d.faults, n)
	}
}

// full lets the file system tell that nothing is left of it.
func (d *disk) full(is bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.space = is
}

// objects are the files of a store's objects, with their sizes.
func (d *disk) objects(n int) map[string]int64 {
	found := map[string]int64{}
	_ = filepath.WalkDir(filepath.Join(d.dir(n), "v1"), func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() || !strings.HasSuffix(path, ".kv1") {
			return nil //nolint:nilerr // it has gone meanwhile
		}
		if info, err := e.Info(); err == nil {
			found[path] = info.Size()
		}
		return nil
	})
	return found
}

// damage does something to the file of a random object, and says what; empty: there
// is none.
func (d *disk) damage(n int, rng *rand.Rand) string {
	var path string
	var size int64
	for path, size = range d.objects(n) { // any
		break
	}
	if path == "" {
		return ""
	}
	switch rng.IntN(5) {
	case 0, 1:
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			return ""
		}
		defer func() { _ = f.Close() }()
		at := rng.Int64N(max(size, 1))
		b := make([]byte, 1)
		if _, err := f.ReadAt(b, at); err != nil {
			return ""
		}
		b[0] ^= 1 << rng.IntN(8)
		if _, err := f.WriteAt(b, at); err != nil {
			return ""
		}
		return "a bit of a file flipped"
	case 2:
		if os.Truncate(path, rng.Int64N(max(size, 1))) != nil {
			return ""
		}
		return "file truncated"
	case 3:
		if os.Remove(path) != nil {
			return ""
		}
		return "file removed"
	default:
		at := time.Now().Add(time.Duration(rng.IntN(200)-100) * 24 * time.Hour)
		if os.Chtimes(path, at, at) != nil {
			return ""
		}
		return "file of another time"
	}
}

// foreign puts files there that are nobody's objects.
func (d *disk) foreign(n int, rng *rand.Rand) {
	name := one(rng, "README", "v1/00/other.kv1", "v1/ff/.hidden", "v1/aa/m@01000100@0@00ff10.kv1x", "tmp/old.tmp")
	path := filepath.Join(d.dir(n), name)
	_ = os.MkdirAll(filepath.Dir(path), 0o750)
	_ = os.WriteFile(path, make([]byte, rng.IntN(9000)), 0o600)
}
