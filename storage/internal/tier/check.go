package tier

import (
	"errors"
	"fmt"
)

// check verifies the sums of the index.
func (t *Tier) check() error {
	t.lock()
	defer t.unlock()
	x := &t.mu.index
	var errs []error
	bad := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("tier "+t.o.Name+": "+format, args...))
	}
	var bytes, erasing, objects int64
	pins := 0
	salts := make(map[uint32]int64)
	counts := make(map[uint32]int)
	for id := range x.entries {
		e := &x.entries[id]
		if !e.live {
			continue
		}
		objects++
		bytes += e.size
		salts[e.salt] += e.size
		counts[e.salt]++
		if e.erasing() {
			erasing += e.size
		}
		if e.pins > 0 {
			pins++
		}
		if x.ids[e.key] != uint32(id) {
			bad("entry %d is not found under its key", id)
		}
	}
	if bytes != x.bytes || erasing != x.erasing || objects != x.objects || pins != x.pins || len(x.ids) != int(objects) {
		bad("there are %d objects of %d bytes, %d being deleted, %d pinned; counted %d, %d, %d, %d", objects, bytes, erasing, pins, x.objects, x.bytes, x.erasing, x.pins)
	}
	for _, err := range x.checkFamilies() {
		bad("%w", err)
	}
	for id := range x.tenants {
		n := &x.tenants[id]
		if n.bytes != salts[uint32(id)] || n.objects != counts[uint32(id)] {
			bad("tenant %q has %d objects of %d bytes, counted %d of %d", n.salt, counts[uint32(id)], salts[uint32(id)], n.objects, n.bytes)
		}
	}
	over := 0
	for id := range x.tenants {
		n := &x.tenants[id]
		if x.isolates && x.over(n) {
			over++
		}
		if n.due != 0 && (int(n.due) > len(x.due) || x.due[n.due-1] != uint32(id)) {
			bad("tenant %q is not in place %d of those that are over", n.salt, n.due)
		}
	}
	if over != len(x.due) {
		bad("%d tenants are over, counted %d", over, len(x.due))
	}
	if len(x.tenants) != 1+len(x.salts)+len(x.vacant) {
		bad("there is room for %d tenants, of which %d are there and %d gone", len(x.tenants)-1, len(x.salts), len(x.vacant))
	}
	if x.reserved < 0 || len(t.mu.calls) == 0 && x.reserved != 0 {
		bad("%d bytes are reserved with %d calls under way", x.reserved, len(t.mu.calls))
	}
	for _, err := range t.mu.idle() {
		bad("%w", err)
	}
	return errors.Join(errs...)
}

// idle verifies that what is remembered while something goes on is forgotten after it.
func (s *state) idle() (errs []error) {
	if !s.erasing && len(s.deletes) == 0 && len(s.doomed)+int(s.index.erasing) > 0 {
		errs = append(errs, fmt.Errorf("%d keys and %d bytes are about to be deleted, by nobody", len(s.doomed), s.index.erasing))
	}
	if s.storing == 0 && len(s.writing) > 0 {
		errs = append(errs, fmt.Errorf("%d keys are being written by no store", len(s.writing)))
	}
	if s.asking != len(s.removed.lookups) || s.asking == 0 && len(s.removed.keys) > 0 {
		errs = append(errs, fmt.Errorf("%d lookups are under way; %d need the %d keys that were removed", s.asking, len(s.removed.lookups), len(s.removed.keys)))
	}
	return errs
}

// checkFamilies verifies that the ranks of a chunk are one family, and its counts.
func (x *index) checkFamilies() (errs []error) {
	children := make(map[uint32]uint32)
	members := 0
	for _, n := range x.families {
		f := &x.kin[n]
		var entries, active uint32
		for id := f.head; id != 0 && entries <= f.entries; id = x.at(id).sibling {
			e := x.at(id)
			if !e.live || e.family != n || x.names.Family(&e.key) != f.fp {
				errs = append(errs, fmt.Errorf("entry %d is none of family %d", id, n))
			}
			entries++
			if !e.erasing() {
				active++
			}
		}
		if entries == 0 || entries != f.entries || active != f.active {
			errs = append(errs, fmt.Errorf("family %d has %d entries, %d of them active; counted %d and %d", n, entries, active, f.entries, f.active))
		}
		members += int(entries)
		if p := x.parent(f); p != 0 && active > 0 {
			children[p]++
		}
	}
	for _, n := range x.families {
		if f := &x.kin[n]; f.children != children[n] {
			errs = append(errs, fmt.Errorf("family %d has %d successors, counted %d", n, children[n], f.children))
		}
	}
	if members != len(x.ids) || len(x.kin) != 1+len(x.families)+len(x.freeFamilies) {
		errs = append(errs, fmt.Errorf("%d of %d entries are in families, of which there are %d in %d places", members, len(x.ids), len(x.families), len(x.kin)-1))
	}
	return errs
}
