package fs

import (
	"errors"
	"path/filepath"
	"time"
)

// tempAge is how old a temporary file is that nobody writes to any more.
const tempAge = time.Hour

// tidy removes temporary files that a killed process has left, and counts files that
// the other format keeps here.
func (s *Store) tidy() {
	if s.temp != "" {
		s.tidyFolder(s.temp, nil)
	}
	if s.o.Raw {
		s.tidyFolder(s.base, nil)
		return
	}
	s.tidyFolder(filepath.Join(s.base, v1Dir), nil)
	for i := range fanOut {
		s.tidyFolder(s.fanOut(i), nil)
	}
	s.tidyFolder(s.base, func(name string) {
		if _, err := parseRaw(name); err == nil {
			s.counts.foreign.Add(1)
		}
	})
	if n := s.counts.foreign.Load(); n > 0 {
		s.o.Logger.Info("l2/fs: objects of format raw lie here too and are left alone; this store uses format v1", "base_path", s.base, "files", n)
	}
}

// fanOut is the path of a folder of v1.
func (s *Store) fanOut(i int) string {
	const digits = "0123456789abcdef"
	return s.base + "/" + v1Dir + "/" + string([]byte{digits[i>>4], digits[i&15]})
}

func (s *Store) tidyFolder(dir string, other func(name string)) {
	err := s.sys.ReadDir(dir, func(name string, regular bool) bool {
		select {
		case <-s.gate.Closing():
			return false
		default:
		}
		switch {
		case !regular:
		case isTemp(name):
			s.removeTemp(dir + "/" + name)
		case other != nil:
			other(name)
		}
		return true
	})
	if err != nil && !errors.Is(err, errNotExist) {
		s.o.Logger.Warn("l2/fs: a folder cannot be read", "path", dir, "error", bare(err))
	}
}

// removeTemp removes a temporary file that is old.
func (s *Store) removeTemp(path string) {
	info, err := s.sys.Stat(path)
	if err != nil || !info.Regular || time.Since(info.ModTime) <= tempAge {
		return
	}
	if err := s.sys.Remove(path); err == nil {
		s.counts.temps.Add(1)
	}
}
