package fs

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// align is what headers, sizes and offsets of files are multiples of in format v1.
const align = 4096

// Store keeps objects as files. It implements [l2.Adapter] and the optional
// interfaces [l2.Formatter], [l2.Lister], [l2.Scanner], [l2.Toucher], [l2.Limiter],
// [l2.Quarantiner] and [l2.Describer]. Its methods may be called at the same time.
type Store struct {
	o      Options
	sys    System
	base   string // absolute
	temp   string // absolute, or empty
	format l2.Format
	floor  int64 // of free space
	folds  bool  // capitals and small letters are the same in names

	gate       l2.Gate
	background sync.WaitGroup

	index      *index
	direct     *headers // memory for headers in direct I/O; nil: it is not used
	quarantine *quarantine
	touches    touches
	space      space
	counts     counts
	publishing atomic.Int32           // how a file gets its name
	refusal    atomic.Pointer[string] // why direct I/O was not used, the last time

	told struct{ refused, name atomic.Bool } // each is logged once; no call waits for the log of another one
}

// counts are for Describe.
type counts struct {
	fallbacks atomic.Int64 // files that direct I/O was meant for and not used
	temps     atomic.Int64 // old temporary files that were removed
	foreign   atomic.Int64 // files of format raw beside v1
	skipped   atomic.Int64 // files with the name of an object that a scan could not read
}

var (
	_ l2.Adapter     = (*Store)(nil)
	_ l2.Formatter   = (*Store)(nil)
	_ l2.Lister      = (*Store)(nil)
	_ l2.Scanner     = (*Store)(nil)
	_ l2.Toucher     = (*Store)(nil)
	_ l2.Limiter     = (*Store)(nil)
	_ l2.Quarantiner = (*Store)(nil)
	_ l2.Describer   = (*Store)(nil)
)

// Open makes a store of a folder, which it creates if it is missing. It writes, reads
// and removes a file to know that the folder can be used. ctx is for Open alone.
func Open(ctx context.Context, o Options) (*Store, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	o = o.fill()
	base, err := filepath.Abs(o.BasePath)
	if err != nil {
		return nil, fmt.Errorf("l2/fs: BasePath: %w", err)
	}
	s := &Store{o: o, sys: o.System, base: base, index: newIndex()}
	if o.TempDir != "" {
		s.temp = filepath.Join(base, o.TempDir)
	}
	s.format = l2.Format{HeadAlign: align, PadAlign: align, Checksum: o.Checksum}
	if o.Raw {
		s.format = l2.Format{Raw: true}
	}
	if err := s.folders(); err != nil {
		return nil, err
	}
	if err := s.probe(); err != nil {
		return nil, err
	}
	if err := s.checkCase(); err != nil {
		s.free()
		return nil, err
	}
	if s.quarantine, err = openQuarantine(s.sys, filepath.Join(base, quarantineDir)); err != nil {
		s.free()
		return nil, err
	}
	if err := s.space.refresh(s.sys, base); err != nil {
		o.Logger.Warn("l2/fs: the free space is not known, and not watched", "base_path", base, "error", err)
	}
	s.floor = o.floor(s.space.size())
	s.touches.init(s)
	s.background.Go(s.tidy)
	return s, nil
}

// folders makes the folders that are always there.
func (s *Store) folders() error {
	if err := s.mkdirAll(s.base); err != nil {
		return fmt.Errorf("l2/fs: base path %s: %w", s.base, err)
	}
	if s.temp != "" {
		if err := s.mkdirAll(s.temp); err != nil {
			return fmt.Errorf("l2/fs: folder for temporary files: %w", err)
		}
	}
	if s.o.Raw {
		return nil
	}
	if err := s.mkdirAll(filepath.Join(s.base, v1Dir)); err != nil {
		return fmt.Errorf("l2/fs: base path %s: %w", s.base, err)
	}
	return nil
}

// mkdirAll makes a folder and those above it.
func (s *Store) mkdirAll(path string) error {
	err := s.mkdir(path)
	if parent := filepath.Dir(path); errors.Is(err, errNotExist) && parent != path {
		if err := s.mkdirAll(parent); err != nil {
			return err
		}
		err = s.mkdir(path)
	}
	if err != nil {
		return fmt.Errorf("mkdir %s: %w", path, bare(err))
	}
	return nil
}

// mkdir makes a folder, unless it is there.
func (s *Store) mkdir(path string) error {
	err := s.sys.Mkdir(path)
	if err == nil {
		s.keepName(path)
	} else if errors.Is(err, errExist) {
		return nil
	}
	return err
}

// keepName forces the name of a new folder to the disk, as far as we may: the folder
// above may be somebody else's.
func (s *Store) keepName(path string) {
	if err := s.syncDir(filepath.Dir(path)); err != nil {
		s.o.Logger.Warn("l2/fs: the name of a new folder may be lost with the power", "path", path, "error", err)
	}
}

// place is where the file of a key is.
func (s *Store) place(key kv.Key) (dir, path string, err error) {
	if s.o.Raw {
		name, err := rawName(key)
		return s.base, s.base + "/" + name, err
	}
	sub, name, err := v1Name(key)
	if err != nil {
		return "", "", err
	}
	var b strings.Builder
	b.Grow(len(s.base) + len(v1Dir) + len(sub) + len(name) + 3)
	b.WriteString(s.base)
	b.WriteString("/" + v1Dir + "/")
	b.WriteString(sub)
	dir = b.String()
	b.WriteByte('/')
	b.WriteString(name)
	return dir, b.String(), nil
}

// Format says how objects are kept.
func (s *Store) Format() l2.Format { return s.format }

// each works items off one after the other.
func (s *Store) each(ctx context.Context, items []l2.Item, f func(*l2.Item) (int64, error)) error {
	if err := s.gate.Enter(); err != nil {
		return err
	}
	defer s.gate.Leave()
	for i := range items {
		it := &items[i]
		it.Gone = 0
		if it.N, it.Err = 0, s.stopped(ctx); it.Err == nil {
			it.N, it.Err = f(it)
		}
	}
	return nil
}

// stopped is why no more work is begun; nil if it is.
func (s *Store) stopped(ctx context.Context) error {
	select {
	case <-s.gate.Closing():
		return l2.ErrClosed
	default:
		return ctx.Err()
	}
}

// Lookup asks the index, and the file system about what is not in it. If that cannot be
// reached and nothing is known by heart, it is an error.
func (s *Store) Lookup(ctx context.Context, keys []kv.Key, found []l2.Found) error {
	if err := s.gate.Enter(); err != nil {
		return err
	}
	defer s.gate.Leave()
	var lost error
	answered := false
	for i, key := range keys {
		found[i] = l2.Found{}
		if size, ok := s.index.get(key); ok {
			found[i], answered = l2.Found{OK: true, Size: size}, true
			continue
		}
		if err := s.stopped(ctx); err != nil {
			return err
		}
		_, path, err := s.place(key)
		if err != nil {
			continue
		}
		info, err := s.sys.Stat(path)
		if err != nil && !errors.Is(err, errNotExist) {
			lost = failed("stat", path, err)
			found[i].Err = lost
			continue
		}
		answered = true
		if err == nil && s.object(info) {
			s.index.put(key, info.Size)
			found[i] = l2.Found{OK: true, Size: info.Size}
		}
	}
	if !answered && l2.Unreachable(lost) {
		return lost
	}
	return nil
}

// object tells files that may be one from links, folders and files that are too
// short.
func (s *Store) object(i Info) bool { return i.Regular && (s.o.Raw || i.Size >= align) }

// Delete removes files. freed is their length.
func (s *Store) Delete(ctx context.Context, keys []kv.Key, freed []int64) error {
	if err := s.gate.Enter(); err != nil {
		return err
	}
	defer s.gate.Leave()
	for i, key := range keys {
		freed[i] = -1
		if s.stopped(ctx) == nil {
			freed[i] = s.remove(key)
		}
	}
	return nil
}

func (s *Store) remove(key kv.Key) int64 {
	_, path, err := s.place(key)
	if err != nil {
		return 0 // it has no name here, so it is not here
	}
	info, err := s.sys.Stat(path)
	if err == nil && !info.Regular {
		s.index.drop(key)
		return 0 // it is not an object
	}
	if err == nil {
		err = s.sys.Remove(path)
	}
	switch {
	case err == nil:
		s.index.drop(key)
		s.space.wrote(-info.Size)
		return info.Size
	case errors.Is(err, errNotExist):
		s.index.drop(key)
		return 0
	default:
		return -1
	}
}

// Close waits for all calls and for what runs in the background. Items of calls that
// have not been begun fail with [l2.ErrClosed]. Times of use that wait are written.
func (s *Store) Close() error {
	if s.gate.Close() {
		s.background.Wait()
		s.touches.close()
		s.free()
	}
	return nil
}

func (s *Store) free() {
	if s.direct != nil {
		s.direct.close()
	}
}

// Describe tells what was found out about the folder.
func (s *Store) Describe() map[string]any {
	u, _ := s.space.last()
	d := map[string]any{
		"base_path":         s.base,
		"format":            "v1",
		"checksum":          s.o.Checksum.String(),
		"fsync":             string(s.o.Sync),
		"direct_io":         "off",
		"publish":           s.publishes(),
		"index_objects":     s.index.len(),
		"quarantine_files":  s.quarantine.files.Load(),
		"quarantine_bytes":  s.quarantine.bytes.Load(),
		"fs_size_bytes":     u.Size,
		"fs_avail_bytes":    u.Avail,
		"min_free_bytes":    s.floor,
		"stale_temps":       s.counts.temps.Load(),
		"unreadable_files":  s.counts.skipped.Load(),
		"touches_dropped":   s.touches.dropped.Load(),
		"max_bytes":         s.o.MaxBytes,
		"direct_io_skipped": s.counts.fallbacks.Load(),
	}
	if s.o.Raw {
		d["format"], d["checksum"] = "raw", "none"
	}
	if n := s.counts.foreign.Load(); n > 0 {
		d["raw_files"] = n
	}
	if s.o.DirectIO {
		d["direct_io"] = "on"
		if s.direct == nil {
			d["direct_io"] = "fallback"
		}
		if reason := s.refusal.Load(); reason != nil {
			d["direct_io_reason"] = *reason
		}
	}
	return d
}
