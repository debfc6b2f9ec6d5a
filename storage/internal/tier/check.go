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
	children := make(map[uint32]uint32)
	for id := range x.entries {
		e := &x.entries[id]
		if !e.live {
			continue
		}
		objects++
		bytes += e.size
		salts[e.salt] += e.size
		counts[e.salt]++
		if e.erasing {
			erasing += e.size
		}
		if e.pins > 0 {
			pins++
		}
		if p := x.parent(e); p != 0 && !e.erasing {
			children[p]++
		}
		if x.ids[e.key] != uint32(id) {
			bad("entry %d is not found under its key", id)
		}
	}
	if bytes != x.bytes || erasing != x.erasing || objects != x.objects || pins != x.pins || len(x.ids) != int(objects) {
		bad("there are %d objects of %d bytes, %d being deleted, %d pinned; counted %d, %d, %d, %d", objects, bytes, erasing, pins, x.objects, x.bytes, x.erasing, x.pins)
	}
	for id := range x.entries {
		if e := &x.entries[id]; e.live && e.children != children[uint32(id)] {
			bad("entry %d has %d successors, counted %d", id, children[uint32(id)], e.children)
		}
	}
	for id := range x.tenants {
		n := &x.tenants[id]
		if n.bytes != salts[uint32(id)] || n.objects != counts[uint32(id)] {
			bad("tenant %q has %d objects of %d bytes, counted %d of %d", n.salt, counts[uint32(id)], salts[uint32(id)], n.objects, n.bytes)
		}
	}
	if len(x.tenants) != 1+len(x.salts)+len(x.vacant) {
		bad("there is room for %d tenants, of which %d are there and %d gone", len(x.tenants)-1, len(x.salts), len(x.vacant))
	}
	if x.reserved < 0 || len(t.mu.calls) == 0 && x.reserved != 0 {
		bad("%d bytes are reserved with %d calls under way", x.reserved, len(t.mu.calls))
	}
	return errors.Join(errs...)
}
