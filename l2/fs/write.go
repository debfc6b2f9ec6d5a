package fs

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"

	"github.com/lmcache-go/lmcache/l2"
)

// Store writes objects as files. See the package comment for how.
func (s *Store) Store(ctx context.Context, items []l2.Item) error {
	return s.each(ctx, items, func(it *l2.Item) (int64, error) { return s.write(ctx, it) })
}

// attempts is how often a store meets a file of another length under its name, and
// puts it aside, before it gives up: somebody else keeps writing such files.
const attempts = 3

func (s *Store) write(ctx context.Context, it *l2.Item) (int64, error) {
	dir, path, err := s.place(it.Key)
	if err != nil {
		if !s.told.name.Swap(true) {
			s.o.Logger.Warn("l2/fs: a key has no file name; later ones are not logged", "error", err)
		}
		return 0, err
	}
	size := s.format.StoredSize(len(it.Head), int64(len(it.Data)))
	if there, err := s.there(it, path, size); there || err != nil {
		return 0, err
	}
	s.space.begin(size)
	defer s.space.end(size)
	temp, err := s.writeTemp(ctx, it, dir, size)
	if err != nil {
		return 0, err
	}
	for range attempts {
		if err = s.publish(temp, path); err == nil {
			s.space.wrote(size)
			s.index.put(it.Key, size)
			return int64(len(it.Data)), s.syncDir(dir)
		}
		if !errors.Is(err, errExist) {
			break
		}
		var there bool
		if there, err = s.there(it, path, size); there || err != nil {
			_ = s.sys.Remove(temp)
			return 0, err
		}
		err = fmt.Errorf("%w, of another length", errExist)
	}
	_ = s.sys.Remove(temp)
	return 0, failed("publish", path, err)
}

// there reports whether the object is there already. A file of another length is put
// aside, which the item tells; what is no file at all is an error.
func (s *Store) there(it *l2.Item, path string, size int64) (bool, error) {
	info, err := s.sys.Stat(path)
	switch {
	case errors.Is(err, errNotExist):
		return false, nil
	case err != nil:
		return false, failed("stat", path, err)
	case !info.Regular:
		return false, fmt.Errorf("l2/fs: store %s: %w: the name is taken by something that is not a file", path, l2.ErrIO)
	case info.Size == size, s.o.Raw && info.Size == padded(size):
		s.index.put(it.Key, info.Size)
		return true, nil
	}
	s.o.Logger.Warn("l2/fs: a file of another length is put aside for a new one", "path", path, "bytes", info.Size, "new", size)
	s.index.drop(it.Key)
	if err := s.quarantine.add(path, info.Size); err != nil && !errors.Is(err, errNotExist) {
		return false, err
	}
	it.Gone = info.Size
	return false, nil
}

func padded(n int64) int64 { return (n + align - 1) / align * align }

// zeros are what a file is padded with.
var zeros [align]byte

// writeTemp writes a complete temporary file. If it fails there is none.
func (s *Store) writeTemp(ctx context.Context, it *l2.Item, dir string, size int64) (string, error) {
	f, temp, direct, err := s.create(dir, s.direct != nil && s.fits(it.Head, it.Data, size))
	if err != nil {
		return "", failed("create a file in", dir, err)
	}
	if s.direct != nil && !direct {
		if s.fits(it.Head, it.Data, size) {
			s.fallback("the file system refused to open a file for direct I/O")
		} else {
			s.fallback(whyNot(size))
		}
	}
	err = s.fill(ctx, f, it, size, direct)
	if err == nil && s.o.Sync != SyncNone {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		return temp, nil
	}
	_ = s.sys.Remove(temp)
	if e := s.stopped(ctx); e != nil && errors.Is(err, e) {
		return "", err
	}
	return "", failed("write", temp, err)
}

// fill writes header, payload and padding.
func (s *Store) fill(ctx context.Context, f File, it *l2.Item, size int64, direct bool) error {
	var bufs [][]byte
	if direct {
		if len(it.Head) > 0 {
			head := s.direct.take()
			defer s.direct.give(head)
			copy(head, it.Head)
			bufs = append(bufs, head)
		}
		if n := size - int64(len(it.Head)); n > 0 {
			bufs = append(bufs, it.Data[:n])
		}
	} else {
		pad := size - int64(len(it.Head)) - int64(len(it.Data))
		for _, b := range [][]byte{it.Head, it.Data, zeros[:pad]} {
			if len(b) > 0 {
				bufs = append(bufs, b)
			}
		}
	}
	n, err := move(f.WriteAt, bufs, 0, func() error { return s.stopped(ctx) }, s.buffered(f, &direct))
	if err == nil && n != size {
		err = fmt.Errorf("%d bytes written instead of %d", n, size)
	}
	return err
}

// buffered is what to do if a direct read or write is refused: go on through the
// page cache, once.
func (s *Store) buffered(f File, direct *bool) func(error) bool {
	return func(err error) bool {
		if !*direct {
			return false
		}
		*direct = false
		s.fallback("refused: " + bare(err).Error())
		return f.Buffered() == nil
	}
}

// create opens a new temporary file for an object in dir. direct tells whether it
// goes around the page cache.
func (s *Store) create(dir string, wanted bool) (f File, path string, direct bool, err error) {
	folder := dir
	if s.temp != "" {
		folder = s.temp
	}
	made := false
	for direct = wanted; ; {
		path = tempName(folder)
		f, err = s.sys.Open(path, Mode{Create: true, Direct: direct})
		switch {
		case err == nil:
			if s.temp != "" {
				err = s.ensure(dir)
			}
			if err != nil {
				_ = f.Close()
				_ = s.sys.Remove(path)
			}
			return f, path, direct, err
		case errors.Is(err, errExist): // another name, then
		case errors.Is(err, errNotExist) && !made && folder == dir:
			if err := s.ensure(dir); err != nil {
				return nil, "", false, err
			}
			made = true
		case direct && unsupported(err):
			direct = false
			_ = s.sys.Remove(path) // some file systems refuse a file that they have made
		default:
			return nil, "", false, err
		}
	}
}

// ensure makes one of the folders of v1. The base itself is not made again: if it is
// gone, perhaps the disk is.
func (s *Store) ensure(dir string) error {
	if s.o.Raw {
		return nil
	}
	if _, err := s.sys.Stat(dir); err == nil {
		return nil
	}
	parent := filepath.Dir(dir)
	for _, d := range []string{parent, dir} {
		if err := s.sys.Mkdir(d); err != nil && !errors.Is(err, errExist) {
			return fmt.Errorf("mkdir %s: %w", d, bare(err))
		}
	}
	return s.syncDir(parent)
}

func (s *Store) syncDir(dir string) error {
	if s.o.Sync != SyncFileAndDir {
		return nil
	}
	if err := s.sys.SyncDir(dir); err != nil {
		return failed("fsync", dir, err)
	}
	return nil
}

// tempPrefix begins the names of temporary files. A number of the process and a
// random one follow.
const tempPrefix = ".lmcache-go-"

func tempName(dir string) string {
	return fmt.Sprintf("%s/%s%d-%016x.tmp", dir, tempPrefix, os.Getpid(), rand.Uint64())
}

// isTemp tells temporary files of this package, of whatever process.
func isTemp(name string) bool {
	var pid, random uint64
	n, err := fmt.Sscanf(name, tempPrefix+"%d-%x.tmp", &pid, &random)
	return err == nil && n == 2 && name == fmt.Sprintf("%s%d-%016x.tmp", tempPrefix, pid, random)
}
