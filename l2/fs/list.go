package fs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/lmcache-go/lmcache/l2"
)

// List gives the objects of one folder after the other, by name. A cursor is the
// name of the last file that was looked at.
func (s *Store) List(ctx context.Context, q l2.ListQuery) (l2.Page, error) {
	if err := s.gate.Enter(); err != nil {
		return l2.Page{}, err
	}
	defer s.gate.Leave()
	if q.PageSize < 1 {
		return l2.Page{}, fmt.Errorf("l2/fs: list: PageSize: %d, must be at least 1", q.PageSize)
	}
	first, after, err := s.cursor(q.Cursor)
	if err != nil {
		return l2.Page{}, err
	}
	last := fanOut
	if s.o.Raw {
		last = 1
	}
	var page l2.Page
	for i := first; i < last; i++ {
		dir, sub := s.folder(i)
		names, err := s.names(dir, after)
		if err != nil {
			return l2.Page{}, err
		}
		after = ""
		for _, name := range names {
			if err := s.stopped(ctx); err != nil {
				return l2.Page{}, err
			}
			e, ok := s.entry(dir, sub, name, true)
			if !ok || q.Model != "" && e.Key.Model != q.Model {
				continue
			}
			if len(page.Entries) == q.PageSize {
				return page, nil
			}
			page.Entries = append(page.Entries, e)
			page.Next = name
			if sub != "" {
				page.Next = sub + "/" + name
			}
		}
	}
	page.Next = ""
	return page, nil
}

// cursor is the folder and the name after which a page begins.
func (s *Store) cursor(text string) (folder int, name string, err error) {
	if text == "" || s.o.Raw {
		return 0, text, nil
	}
	sub, name, ok := strings.Cut(text, "/")
	n, err := strconv.ParseUint(sub, 16, 8)
	if !ok || err != nil || len(sub) != 2 {
		return 0, "", fmt.Errorf("l2/fs: list: cursor %q: %w", text, l2.ErrCursor)
	}
	return int(n), name, nil
}

// names are the files of a folder behind a name, in order.
func (s *Store) names(dir, after string) ([]string, error) {
	var names []string
	err := s.sys.ReadDir(dir, func(name string, regular bool) bool {
		if regular && name > after {
			names = append(names, name)
		}
		return true
	})
	if err != nil && !errors.Is(err, errNotExist) {
		return nil, failed("read", dir, err)
	}
	slices.Sort(names)
	return names, nil
}
