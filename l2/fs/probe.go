package fs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"path/filepath"
	"strings"
)

// probeBytes is what the probe writes and reads: a header and a block of payload.
const probeBytes = 2 * align

// probe writes, publishes, reads and removes a file where objects will be, so that a
// folder that cannot be used is an error of Open. If direct I/O is wanted it is tried
// first; s.direct is set if it works.
func (s *Store) probe() error {
	if s.o.DirectIO {
		h, err := newHeaders()
		if err != nil {
			return err
		}
		if err = s.probeFile(true); err == nil {
			s.direct = h
			return nil
		}
		h.close()
		reason := bare(err).Error()
		s.refusal.Store(&reason)
		s.o.Logger.Warn("l2/fs: direct I/O does not work here and is not used", "base_path", s.base, "reason", reason)
	}
	if err := s.probeFile(false); err != nil {
		return fmt.Errorf("l2/fs: base path %s cannot be used: %w", s.base, err)
	}
	return nil
}

// checkCase refuses format raw, whose files do not say whose they are, where a name in
// capitals leads to the same file as another one: a model or tenant could be given the
// objects of another.
func (s *Store) checkCase() error {
	switch {
	case !s.folds:
		return nil
	case s.o.Raw:
		return fmt.Errorf("l2/fs: base path %s: its file system does not tell capitals from small letters, so that models and tenants whose names differ in nothing else would be given each other's objects: format raw cannot be used, format v1 can", s.base)
	}
	s.o.Logger.Warn("l2/fs: the file system does not tell capitals from small letters: of models and tenants whose names differ in nothing else one is stored at a time", "base_path", s.base)
	return nil
}

func (s *Store) probeFile(direct bool) error {
	mem, err := aligned(2 * probeBytes)
	if err != nil {
		return err
	}
	defer func() { _ = freeAligned(mem) }()
	want, got := mem[:probeBytes], mem[probeBytes:]
	for i := range want {
		want[i] = byte(rand.Uint32())
	}
	folder := s.base
	if !s.o.Raw {
		folder = filepath.Join(s.base, v1Dir)
	}
	// The final name is that of a temporary file too: whatever happens, it is removed.
	final := tempName(folder)
	temp := tempName(folder)
	if s.temp != "" {
		temp = tempName(s.temp)
	}
	defer func() {
		for _, path := range []string{temp, final} {
			_ = s.sys.Remove(path)
		}
	}()
	if err := s.probeMove(temp, Mode{Create: true, Direct: direct}, File.WriteAt, want); err != nil {
		return fmt.Errorf("write: %w", bare(err))
	}
	if err := s.publish(temp, final); err != nil {
		return fmt.Errorf("rename from %s to %s: %w", filepath.Dir(temp), folder, bare(err))
	}
	if info, err := s.sys.Stat(folder + "/" + strings.ToUpper(filepath.Base(final))); err == nil && info.Regular {
		s.folds = true
	}
	if err := s.probeMove(final, Mode{Direct: direct}, File.ReadAt, got); err != nil {
		return fmt.Errorf("read: %w", bare(err))
	}
	if !bytes.Equal(got, want) {
		return errors.New("what was written is not what is read")
	}
	if err := s.sys.Remove(final); err != nil {
		return fmt.Errorf("remove: %w", bare(err))
	}
	return nil
}

// probeMove moves buf, in two parts as objects are, to or from a file.
func (s *Store) probeMove(path string, mode Mode, f func(File, [][]byte, int64) (int, error), buf []byte) error {
	file, err := s.sys.Open(path, mode)
	if err != nil {
		return err
	}
	bufs := [][]byte{buf[:align], buf[align:]}
	n, err := move(func(b [][]byte, off int64) (int, error) { return f(file, b, off) }, bufs, 0, func() error { return nil }, func(error) bool { return false })
	if err == nil && n != int64(len(buf)) {
		err = io.ErrUnexpectedEOF
	}
	if e := file.Close(); err == nil {
		err = e
	}
	return err
}
