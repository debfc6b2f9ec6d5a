package storage

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// Enter claims a holder of each key, all or none, and opens a scope over them. The
// leases are for their buffers only. Keys that the owner cannot read make an error, an
// *UnheldError, or a *ReadError if the manager was asked.
func (o *Owner) Enter(ctx context.Context, keys []kv.Key) ([]ReadLease, error) {
	parts, unheld := o.plan(keys)
	if len(unheld) > 0 { // what could be claimed is, and goes back, as with any failed read
		for i := range parts {
			l, err := parts[i].p.Read(ctx, parts[i].sel)
			if err == nil {
				o.failed(parts[i:i+1], []ReadLease{l}, nil, nil)
			} else {
				o.failed(nil, nil, &parts[i], err)
			}
		}
		return nil, &UnheldError{Keys: len(unheld), Of: len(keys), Missing: o.missing(unheld)}
	}
	s := scope{keys: slices.Clone(keys)}
	for i := range parts {
		l, err := parts[i].p.Read(ctx, parts[i].sel)
		if err != nil {
			o.failed(parts[:i], s.leases, &parts[i], err)
			return nil, err
		}
		s.leases = append(s.leases, l)
	}
	var room room[readHold]
	o.read, room = roomFor(o.read, len(keys))
	for i := range parts {
		for j, h := range parts[i].holds {
			o.claim(h)
			room.add(o.read, h.p.keys[h.pos], readHold{s.leases[i], j})
		}
	}
	o.scopes = append(o.scopes, s)
	return s.leases, nil
}

// missing is how many keys are not resident, in any layout.
func (o *Owner) missing(keys []kv.Key) (n int) {
	layout, err := kv.RawLayout(1) // another one is a reason of its own
	if err != nil {
		return 0
	}
	l, err := o.m.l1.ReserveRead(o.m.rt.Now(), keys, layout, l1.ReadOptions{Look: true})
	for i := range keys {
		if err != nil || l.Code(i) == l1.KeyNotExist {
			n++
		}
	}
	return n
}

// UnheldError says that an owner has no hold on some of the keys that it shall read.
type UnheldError struct {
	Keys, Of int
	Missing  int // of Keys, those that are not resident
}

// Error says how many they are.
func (e *UnheldError) Error() string {
	return fmt.Sprintf("storage: read: %d of %d keys have no lease", e.Keys, e.Of)
}

// plan finds a hold for each key, and says which have none. A key that stands there
// again counts once.
func (o *Owner) plan(keys []kv.Key) (parts []part, unheld []kv.Key) {
	for _, k := range keys {
		if slices.ContainsFunc(o.unread[k], func(h *unreadHold) bool { return h.want > 0 }) {
			continue
		}
		h := o.holder(k)
		if h == nil {
			unheld = append(unheld, k)
			continue
		}
		h.want++
		parts = addPart(parts, h)
	}
	for i := range parts {
		for _, h := range parts[i].holds {
			h.want = 0
		}
	}
	return parts, unheld
}

// failed gives back what was claimed of the parts before one that could not be read,
// of which the holders that could be claimed are gone too. Without an error there is
// no such part.
func (o *Owner) failed(before []part, leases []ReadLease, p *part, err error) {
	gone := func(h *unreadHold) {
		o.claim(h)
		o.open--
	}
	for i, l := range leases {
		l.Abort()
		for _, h := range before[i].holds {
			gone(h)
		}
	}
	read, ok := errors.AsType[*ReadError](err)
	if !ok {
		return // nothing was tried
	}
	bad := make(map[kv.Key]bool)
	for _, e := range read.Keys {
		bad[e.Key] = true
	}
	for _, h := range p.holds {
		if !bad[h.p.keys[h.pos]] {
			gone(h)
		}
	}
}

// part is a selection of positions of one prefetch.
type part struct {
	p     *Prefetch
	sel   Select
	holds []*unreadHold
}

// holder is the oldest hold of a key that can still be claimed. Holds of what was
// not found are dropped.
func (o *Owner) holder(k kv.Key) *unreadHold {
	list := o.unread[k]
	for i := 0; i < len(list); {
		h := list[i]
		if r, known := h.p.Status(); known && !r.Found.Has(h.pos) {
			list = slices.Delete(list, i, i+1)
			keep(o.unread, k, list)
			o.open--
			continue
		}
		if h.want < h.left {
			return h
		}
		i++
	}
	return nil
}

// addPart adds a hold to the last part, where it continues its selection, or as a
// new one.
func addPart(parts []part, h *unreadHold) []part {
	if n := len(parts); n > 0 && parts[n-1].p == h.p && extend(&parts[n-1].sel, h.pos) {
		parts[n-1].holds = append(parts[n-1].holds, h)
		return parts
	}
	return append(parts, part{p: h.p, sel: selectOne(h.pos), holds: []*unreadHold{h}})
}

// claim takes one holder away.
func (o *Owner) claim(h *unreadHold) {
	if h.left--; h.left > 0 {
		o.open++ // one more hold: the claimed one
		return
	}
	k := h.p.keys[h.pos]
	keep(o.unread, k, slices.DeleteFunc(o.unread[k], func(x *unreadHold) bool { return x == h }))
}

// Exit ends the oldest open scope over exactly these keys; false: there is none.
func (o *Owner) Exit(keys []kv.Key) bool {
	i := slices.IndexFunc(o.scopes, func(s scope) bool { return slices.Equal(s.keys, keys) })
	if i < 0 {
		return false
	}
	for _, l := range o.scopes[i].leases {
		l.EndScope()
	}
	o.scopes = slices.Delete(o.scopes, i, i+1)
	return true
}
