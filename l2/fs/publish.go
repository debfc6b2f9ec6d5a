package fs

import (
	"errors"
	"syscall"
)

// How a file gets its name, best first. A file system that refuses one way is not
// asked for it again.
const (
	byRename  int32 = iota // a rename that fails if the name is taken
	byLink                 // a second name, which fails too, and the first one removed
	byReplace              // a look, and a rename that replaces
)

// publish gives a temporary file its name, which readers see from then on. If the
// name is taken the error is [errExist] and the file is left as it is.
func (s *Store) publish(temp, path string) error {
	for {
		how := s.publishing.Load()
		var err error
		refused := false
		switch how {
		case byRename:
			err = s.sys.Rename(temp, path, false)
			refused = unsupported(err)
		case byLink:
			err = s.link(temp, path)
			refused = unsupported(err) || errors.Is(err, syscall.EPERM)
		default:
			err = s.replace(temp, path)
		}
		if !refused {
			return err
		}
		s.publishing.CompareAndSwap(how, how+1)
	}
}

func (s *Store) link(temp, path string) error {
	if err := s.sys.Link(temp, path); err != nil {
		return err
	}
	// The object is there. A name that cannot be removed now is removed when it is old.
	_ = s.sys.Remove(temp)
	return nil
}

// replace can lose an object to one that another process publishes at the same
// moment: the same key, and so the same bytes.
func (s *Store) replace(temp, path string) error {
	if _, err := s.sys.Stat(path); err == nil {
		return errExist
	}
	return s.sys.Rename(temp, path, true)
}

func (s *Store) publishes() string {
	return [...]string{"rename", "link", "replace"}[s.publishing.Load()]
}
