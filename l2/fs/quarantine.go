package fs

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/lmcache-go/lmcache/storage/kv"
)

// quarantineFiles is how many damaged files are kept to be looked at.
const quarantineFiles = 16

// quarantine is the folder of damaged files, the oldest first. Its mutex is held
// during calls of the file system: there are few.
type quarantine struct {
	sys System
	dir string
	mu  struct {
		sync.Mutex
		files []quarantined
		bytes int64
	}
}

type quarantined struct {
	name string
	size int64
	at   time.Time
}

// openQuarantine finds what an earlier process has put aside.
func openQuarantine(sys System, dir string) (*quarantine, error) {
	q := &quarantine{sys: sys, dir: dir}
	err := sys.ReadDir(dir, func(name string, regular bool) bool {
		if info, err := sys.Stat(dir + "/" + name); err == nil && info.Regular && regular && isDamaged(name) {
			q.mu.files = append(q.mu.files, quarantined{name, info.Size, info.ModTime})
			q.mu.bytes += info.Size
		}
		return true
	})
	if err != nil && !errors.Is(err, errNotExist) {
		return nil, failed("read", dir, err)
	}
	slices.SortFunc(q.mu.files, func(a, b quarantined) int { return a.at.Compare(b.at) })
	q.trimLocked()
	return q, nil
}

// isDamaged tells names that this package gives from those of others.
func isDamaged(name string) bool {
	return strings.HasSuffix(name, v1Ext) || strings.HasSuffix(name, rawExt)
}

// add moves a file of size bytes here. Its time becomes that of the move, so that the
// order holds after a restart.
func (q *quarantine) add(path string, size int64) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if err := q.sys.Mkdir(q.dir); err != nil && !errors.Is(err, errExist) {
		return failed("mkdir", q.dir, err)
	}
	name := filepath.Base(path)
	to := q.dir + "/" + name
	if err := q.sys.Rename(path, to, true); err != nil {
		if errors.Is(err, errNotExist) {
			return err
		}
		return failed("move to quarantine", path, err)
	}
	now := time.Now()
	_ = q.sys.SetTime(to, now) // the order after a restart is all that suffers
	q.dropLocked(name)
	q.mu.files = append(q.mu.files, quarantined{name, size, now})
	q.mu.bytes += size
	q.trimLocked()
	return nil
}

// dropLocked forgets a file that another one has replaced.
func (q *quarantine) dropLocked(name string) {
	if i := slices.IndexFunc(q.mu.files, func(f quarantined) bool { return f.name == name }); i >= 0 {
		q.mu.bytes -= q.mu.files[i].size
		q.mu.files = slices.Delete(q.mu.files, i, i+1)
	}
}

// trimLocked removes the oldest files above the limit. One that cannot be removed is
// tried again with the next.
func (q *quarantine) trimLocked() {
	for len(q.mu.files) > quarantineFiles {
		f := q.mu.files[0]
		if err := q.sys.Remove(q.dir + "/" + f.name); err != nil && !errors.Is(err, errNotExist) {
			return
		}
		q.mu.bytes -= f.size
		q.mu.files = slices.Delete(q.mu.files, 0, 1)
	}
}

func (q *quarantine) count() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.mu.files)
}

func (q *quarantine) size() int64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.mu.bytes
}

// Quarantine moves the file of a key to base/quarantine, where the latest 16 are kept.
// Their bytes are taken from what Limit allows. A file that is not there is no error.
func (s *Store) Quarantine(ctx context.Context, key kv.Key) (freed int64, err error) {
	if err := s.gate.enter(); err != nil {
		return 0, err
	}
	defer s.gate.leave()
	if err := s.stopped(ctx); err != nil {
		return 0, err
	}
	_, path, err := s.place(key)
	if err != nil {
		return 0, nil // a key without a name here has no object here
	}
	s.index.drop(key)
	info, err := s.sys.Stat(path)
	if err == nil && info.Regular {
		err = s.quarantine.add(path, info.Size)
	}
	switch {
	case errors.Is(err, errNotExist), err == nil && !info.Regular:
		return 0, nil
	case err != nil:
		return 0, failed("quarantine", path, err)
	}
	return info.Size, nil
}
