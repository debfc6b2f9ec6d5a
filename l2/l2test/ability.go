package l2test

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// touched is a time of use.
var touched = time.Unix(1700000100, 0)

// pages collects a whole listing.
func (s *suite) pages(l l2.Lister, model string, size int) []l2.Entry {
	s.t.Helper()
	var all []l2.Entry
	q := l2.ListQuery{Model: model, PageSize: size}
	for n := 0; ; n++ {
		if n > 10000 {
			s.t.Fatal("the listing does not end")
		}
		page, err := l.List(s.t.Context(), q)
		if err != nil {
			s.t.Fatalf("List: %v", err)
		}
		if len(page.Entries) > size {
			s.t.Errorf("a page of %d has %d entries", size, len(page.Entries))
		}
		all = append(all, page.Entries...)
		if page.Next == "" {
			return all
		}
		if page.Next == q.Cursor {
			s.t.Fatalf("the cursor %q does not move", q.Cursor)
		}
		q.Cursor = page.Next
	}
}

// sameEntries compares a listing with what is stored: each object once, with its
// size if the store knows it.
func (s *suite) sameEntries(got []l2.Entry, want []object) {
	s.t.Helper()
	left := map[kv.Key]object{}
	for _, o := range want {
		left[o.key] = o
	}
	for _, e := range got {
		o, ok := left[e.Key]
		if !ok {
			s.t.Errorf("%q is listed twice, or is not stored", e.Key)
			continue
		}
		delete(left, e.Key)
		if e.Size != s.stored(o) {
			s.t.Errorf("%q is listed with %d bytes, want %d", e.Key, e.Size, s.stored(o))
		}
	}
	for k := range left {
		s.t.Errorf("%q is stored and not listed", k)
	}
}

// listed compares all listings that the adapter offers with what is stored.
func (s *suite) listed(want []object) {
	s.t.Helper()
	if l, ok := l2.AbilityOf[l2.Lister](s.a); ok {
		s.sameEntries(s.pages(l, "", 50), want)
	}
	if sc, ok := l2.AbilityOf[l2.Scanner](s.a); ok {
		s.sameEntries(s.scanned(sc), want)
	}
}

func (s *suite) scanned(sc l2.Scanner) []l2.Entry {
	s.t.Helper()
	var all []l2.Entry
	for e, err := range sc.Scan(s.t.Context()) {
		if err != nil {
			s.t.Fatalf("Scan: %v", err)
		}
		all = append(all, e)
	}
	return all
}

func list(s *suite) {
	l, ok := l2.AbilityOf[l2.Lister](s.a)
	if !ok {
		return
	}
	s.sameEntries(s.pages(l, "", 10), nil)
	all, ofModel := s.numbered(25)
	s.store(all...)
	for _, size := range []int{1, 7, 25, 1000, 100000} {
		s.sameEntries(s.pages(l, "", size), all)
		for _, model := range slices.Sorted(maps.Keys(ofModel)) {
			s.sameEntries(s.pages(l, model, size), ofModel[model])
		}
	}
	s.sameEntries(s.pages(l, "another", 10), nil)

	// A cursor that nobody gave out is the caller's mistake or any place, not a crash.
	for _, cursor := range []string{"x", "-1", "99999999999999999999", "\x00", "../../x"} {
		page, err := l.List(s.t.Context(), l2.ListQuery{PageSize: 5, Cursor: cursor})
		if len(page.Entries) > 5 || err != nil && !errors.Is(err, l2.ErrCursor) {
			s.t.Errorf("cursor %q: %d entries, %v", cursor, len(page.Entries), err)
		}
	}

	// Objects that are gone are listed no more.
	freed := make([]int64, 10)
	if err := s.a.Delete(s.t.Context(), keysOf(all[:10]), freed); err != nil {
		s.t.Fatal(err)
	}
	s.sameEntries(s.pages(l, "", 4), all[10:])
}

func scan(s *suite) {
	sc, ok := l2.AbilityOf[l2.Scanner](s.a)
	if !ok {
		return
	}
	s.sameEntries(s.scanned(sc), nil)
	all, _ := s.numbered(25)
	s.store(all...)
	s.sameEntries(s.scanned(sc), all)
	for _, err := range sc.Scan(s.t.Context()) {
		if err != nil {
			s.t.Errorf("Scan: %v", err)
		}
		break // whoever has seen enough stops
	}
	ctx, cancel := context.WithCancel(s.t.Context())
	cancel()
	s.soon("a scan whose context has ended", func() {
		n := 0
		for _, err := range sc.Scan(ctx) {
			if err != nil {
				return
			}
			n++
		}
		if n < len(all) {
			s.t.Errorf("a scan that was cancelled ends after %d of %d objects without an error", n, len(all))
		}
	})
}

func touch(s *suite) {
	to, ok := l2.AbilityOf[l2.Toucher](s.a)
	if !ok {
		return
	}
	all := s.objects(3, 5000)
	s.store(all[:2]...)
	to.Touch(s.t.Context(), keysOf(all), touched) // the last one is not there
	to.Touch(s.t.Context(), nil, touched)
	s.expect(all[:2]...)
	s.expectMissing(all[2])
}

func limit(s *suite) {
	l, ok := l2.AbilityOf[l2.Limiter](s.a)
	if !ok {
		return
	}
	a, b := l.Limit(0), l.Limit(1<<40)
	if (a < 0) != (b < 0) {
		s.t.Errorf("a limit depends on what is held: %d with 0 bytes, %d with 1 TiB", a, b)
	}
	if b < a {
		s.t.Errorf("a store that holds more may hold less: %d with 0 bytes, %d with 1 TiB", a, b)
	}
}

func quarantine(s *suite) {
	q, ok := l2.AbilityOf[l2.Quarantiner](s.a)
	if !ok {
		return
	}
	all := s.objects(25, 5000)
	s.store(all...)
	for i, o := range all[:20] {
		freed, err := q.Quarantine(s.t.Context(), o.key)
		if err != nil {
			s.t.Fatalf("Quarantine: %v", err)
		}
		if freed != s.stored(o) {
			s.t.Errorf("Quarantine of object %d: freed %d, want %d", i, freed, s.stored(o))
		}
		s.expectMissing(o)
	}
	s.listed(all[20:])
	s.store(all[:20]...) // there is room for good ones
	s.expect(all...)
	missing := s.object(key("missing", 0), 100, 0)
	if freed, err := q.Quarantine(s.t.Context(), missing.key); err == nil && freed != 0 {
		s.t.Errorf("Quarantine of what is not there: freed %d", freed)
	}
}

func describe(s *suite) {
	d, ok := l2.AbilityOf[l2.Describer](s.a)
	if !ok {
		return
	}
	if _, err := json.Marshal(d.Describe()); err != nil {
		s.t.Errorf("Describe: %v", err)
	}
}
