package fs

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lmcache-go/lmcache/storage/kv"
)

// quarantineFiles is how many damaged files are kept to be looked at.
const quarantineFiles = 16

// quarantine is the folder of damaged files, the oldest first. Its mutex is held
// during calls of the file system: there are few. The sums are read without it.
type quarantine struct {
	sys   System
	dir   string
	files atomic.Int64
	bytes atomic.Int64
	mu    struct {
		sync.Mutex
		files []quarantined
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
	q.trimLocked()
	return nil
}

// dropLocked forgets a file that another one has replaced.
func (q *quarantine) dropLocked(name string) {
	if i := slices.IndexFunc(q.mu.files, func(f quarantined) bool { return f.name == name }); i >= 0 {
		q.mu.files = slices.Delete(q.mu.files, i, i+1)
	}
}

// trimLocked removes the oldest files above the limit and counts the others. One that
// cannot be removed is tried again with the next.
func (q *quarantine) trimLocked() {
	for len(q.mu.files) > quarantineFiles {
		err := q.sys.Remove(q.dir + "/" + q.mu.files[0].name)
		if err != nil && !errors.Is(err, errNotExist) {
			break
		}
		q.mu.files = slices.Delete(q.mu.files, 0, 1)
	}
	var sum int64
	for _, f := range q.mu.files {
		sum += f.size
	}
	q.files.Store(int64(len(q.mu.files)))
	q.bytes.Store(sum)
}

// Quarantine moves the file of a key to base/quarantine, where the latest 16 are kept.
// Their bytes are taken from what Limit allows. A file that is not there is no error.
func (s *Store) Quarantine(ctx context.Context, key kv.Key) (freed int64, err error) {
	if err := s.gate.Enter(); err != nil {
		return 0, err
	}
	defer s.gate.Leave()
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
