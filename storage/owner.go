package storage

import (
	"context"
	"slices"

	"github.com/lmcache-go/lmcache/storage/kv"
)

// Owner is an ordered table of leases by key, for those who know of what they
// reserved and looked up only its keys, as a replay of recorded calls does. A call
// that names a key takes the oldest hold on it that fits; what the owner does not
// hold is a failed key and changes nothing. It belongs to one goroutine at a time.
type Owner struct {
	m          *Manager
	writes     map[kv.Key][]writeHold
	unread     map[kv.Key][]*unreadHold
	read       map[kv.Key][]readHold
	scopes     []scope // open ones, oldest first
	prefetches []*Prefetch
	open       int       // holds
	put        []release // parts of a release that goes on
	prefer     []ReadLease
}

// hold is a position of a lease.
type hold[L lease] struct {
	l   L
	pos int
}

type lease interface {
	comparable
	Keys() []kv.Key
}

type (
	writeHold = hold[WriteLease] // a granted position of a reservation
	readHold  = hold[ReadLease]  // a claimed position
)

// unreadHold is the holders of a position of a prefetch that nobody has claimed.
type unreadHold struct {
	p    *Prefetch
	pos  int
	left int
	want int // of these, planned to be claimed
}

// scope is one successful Enter.
type scope struct {
	keys   []kv.Key
	leases []ReadLease
}

// NewOwner returns an owner without leases. Close it when it is no longer needed.
func (m *Manager) NewOwner() *Owner {
	return &Owner{m: m}
}

// Idle reports that the owner holds nothing.
func (o *Owner) Idle() bool { return o.open == 0 && len(o.scopes) == 0 && len(o.put) == 0 }

// ReserveWrite is Manager.ReserveWrite. The lease is the owner's: it is for its
// buffers and codes only.
func (o *Owner) ReserveWrite(ctx context.Context, keys []kv.Key, layout kv.Layout, mode Mode, wo WriteOptions) (WriteLease, error) {
	l, err := o.m.ReserveWrite(ctx, keys, layout, mode, wo)
	if err != nil {
		return l, err
	}
	var room room[writeHold]
	o.writes, room = roomFor(o.writes, len(keys))
	for i := range l.All() {
		room.add(o.writes, keys[i], writeHold{l, i})
		o.open++
	}
	return l, nil
}

// FinishWrite makes staged objects readable and returns the positions of the keys that
// failed; nil if there are none.
func (o *Owner) FinishWrite(keys []kv.Key) (failed []int) {
	holds, at, failed := o.takeWrites(keys)
	for lo := 0; lo < len(holds); {
		hi := runOf(o.writes, holds, lo)
		r := holds[lo].l.FinishRange(holds[lo].pos, holds[hi-1].pos+1)
		for _, k := range r.Failed {
			i := slices.IndexFunc(at[lo:hi], func(i int) bool { return keys[i] == k })
			if i >= 0 { // else it was settled before, between those that are held
				failed = append(failed, at[lo+i])
			}
		}
		lo = hi
	}
	slices.Sort(failed)
	return failed
}

// AbortWrite gives staged objects up and returns the positions of the keys that failed.
func (o *Owner) AbortWrite(keys []kv.Key) (failed []int) {
	holds, _, failed := o.takeWrites(keys)
	for lo := 0; lo < len(holds); {
		hi := runOf(o.writes, holds, lo)
		holds[lo].l.AbortRange(holds[lo].pos, holds[hi-1].pos+1)
		lo = hi
	}
	return failed
}

// takeWrites takes the oldest hold of each key. at is where in keys the key of each hold
// is, failed where those without one are.
func (o *Owner) takeWrites(keys []kv.Key) (holds []writeHold, at, failed []int) {
	holds, at = make([]writeHold, 0, len(keys)), make([]int, 0, len(keys))
	for i, k := range keys {
		h, ok := takeFirst(o.writes, k)
		if !ok {
			failed = append(failed, i)
			continue
		}
		o.open--
		holds, at = append(holds, h), append(at, i)
	}
	return holds, at, failed
}

// room is memory for one hold of each of some keys: most keys have no more.
type room[H any] []H

// roomFor makes room for so many keys, and the table if there is none.
func roomFor[H any](table map[kv.Key][]H, n int) (map[kv.Key][]H, room[H]) {
	if table == nil {
		table = make(map[kv.Key][]H, n)
	}
	return table, make(room[H], n)
}

// add adds a hold to a key's.
func (r *room[H]) add(table map[kv.Key][]H, k kv.Key, h H) {
	list := table[k]
	if len(list) == 0 && len(*r) > 0 {
		list, *r = (*r)[:0:1], (*r)[1:]
	}
	table[k] = append(list, h)
}

// takeFirst takes the first of a key's holds.
func takeFirst[H any](table map[kv.Key][]H, k kv.Key) (h H, ok bool) {
	list := table[k]
	if len(list) == 0 {
		return h, false
	}
	h = list[0]
	keep(table, k, slices.Delete(list, 0, 1))
	return h, true
}

// keep makes list all holds of a key.
func keep[H any](table map[kv.Key][]H, k kv.Key, list []H) {
	if len(list) == 0 {
		delete(table, k)
	} else {
		table[k] = list
	}
}

// SubmitPrefetch is Manager.SubmitPrefetch. The handle is the owner's: it is for its
// result only.
func (o *Owner) SubmitPrefetch(ctx context.Context, keys []kv.Key, layout kv.Layout, po PrefetchOptions) (*Prefetch, error) {
	p, err := o.m.SubmitPrefetch(ctx, keys, layout, po)
	if err != nil {
		return nil, err
	}
	o.prefetches = append(o.prefetches, p)
	if po.Warm {
		return p, nil // it leases nothing
	}
	r, known := p.Status()
	n := len(keys)
	if known {
		n = r.Found.Count()
	}
	var room room[*unreadHold]
	o.unread, room = roomFor(o.unread, n)
	holds := make([]unreadHold, n)
	for i, k := range p.Keys() {
		if known && !r.Found.Has(i) || slices.ContainsFunc(o.unread[k], func(h *unreadHold) bool { return h.p == p }) {
			continue // what stands there again has no holders of its own
		}
		h := &holds[0]
		holds = holds[1:]
		*h = unreadHold{p: p, pos: i, left: p.o.Readers}
		room.add(o.unread, k, h)
		o.open++
	}
	return p, nil
}

// Resolved tells that a prefetch of the owner has resolved: what it did not find, the
// owner does not hold.
func (o *Owner) Resolved(p *Prefetch) {
	r, known := p.Status()
	if !known || p.o.Warm {
		return
	}
	for i, k := range p.keys {
		if r.Found.Has(i) {
			continue
		}
		list := o.unread[k]
		kept := slices.DeleteFunc(list, func(h *unreadHold) bool { return h.p == p && h.pos == i })
		o.open -= len(list) - len(kept)
		keep(o.unread, k, kept)
	}
}

// AbortRead gives back a claimed holder of each key, and with it what else was
// claimed in the same call: the reader failed. It returns the positions of the keys that
// failed.
func (o *Owner) AbortRead(keys []kv.Key) (failed []int) {
	claimed := o.takeLease(keys)
	if claimed == nil {
		for i, k := range keys {
			if o.takeRead(k, 1, &claimed) > 0 {
				failed = append(failed, i)
			}
		}
	}
	for i, h := range claimed {
		if i == 0 || h.l != claimed[i-1].l {
			failed = append(failed, indexes(keys, h.l.abort())...)
		}
	}
	slices.Sort(failed)
	return failed
}

// Holders says which holders of a key are meant.
type Holders uint8

// Kinds of holders.
const (
	AnyHolders Holders = iota // those that were claimed, then the others
	Claimed                   // by Enter
	Unclaimed                 // by nobody
)

// FinishRead gives back so many holders of each key and returns the positions of the
// keys that failed; nil if there are none.
func (o *Owner) FinishRead(keys []kv.Key, holders int, which Holders) (failed []int) {
	var claimed []readHold
	var rest []release
	left := keys
	if which == Claimed && holders == 1 {
		if claimed = o.takeLease(keys); claimed != nil {
			left = nil
		}
	}
	for i, k := range left {
		n := holders
		if which != Unclaimed {
			n = o.takeRead(k, n, &claimed)
		}
		if which != Claimed {
			n = o.takeUnread(k, n, &rest)
		}
		if n > 0 {
			failed = append(failed, i)
		}
	}
	var runs [][]readHold
	for lo := 0; lo < len(claimed); {
		hi := runOf(o.read, claimed, lo)
		runs = append(runs, claimed[lo:hi])
		lo = hi
	}
	for _, run := range slices.Backward(runs) { // the head of a prompt ends newest, as in one lease
		failed = append(failed, indexes(keys, run[0].l.finish(run[0].pos, run[len(run)-1].pos+1))...)
	}
	o.put = append(o.put, rest...)
	o.release()
	slices.Sort(failed)
	return failed
}

// takeRead takes up to n claimed holds and returns how many are missing.
func (o *Owner) takeRead(k kv.Key, n int, to *[]readHold) int {
	for n > 0 {
		h, ok := takeFirst(o.read, k)
		if !ok {
			break
		}
		o.open--
		*to = append(*to, h)
		n--
	}
	return n
}

// Close aborts and releases everything that is left. It is idempotent.
func (o *Owner) Close() {
	for _, list := range o.writes {
		for _, h := range list {
			h.l.Drop(h.pos)
		}
	}
	for _, list := range o.read {
		for _, h := range list {
			h.l.Abort()
		}
	}
	for _, s := range o.scopes {
		for _, l := range s.leases {
			l.EndScope()
		}
	}
	for _, p := range o.prefetches {
		p.Release()
	}
	clear(o.writes)
	clear(o.unread)
	clear(o.read)
	o.scopes, o.prefetches, o.put, o.prefer, o.open = nil, nil, nil, nil, 0
}
