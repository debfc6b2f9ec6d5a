package storage

import (
	"slices"

	"github.com/lmcache-go/lmcache/storage/kv"
)

// Cancel gives up all prefetches of the owner, resolved or not, and returns the positions of
// the keys of which nothing was held.
func (o *Owner) Cancel(keys []kv.Key) (failed []int) {
	for i, k := range keys {
		if !slices.ContainsFunc(o.unread[k], func(h *unreadHold) bool { return h.p.l.Holders(h.pos) > 0 }) {
			failed = append(failed, i)
		}
	}
	for _, p := range o.prefetches {
		p.Release()
	}
	for _, list := range o.unread {
		o.open -= len(list)
	}
	clear(o.unread)
	o.prefetches, o.put = nil, nil
	return failed
}

// ExpireWrite gives staged objects up whose time was over for somebody else. Where it is
// over here too, that happens by itself, and the memory stays until the owner lets go.
func (o *Owner) ExpireWrite(keys []kv.Key) {
	at := o.m.rt.Now()
	var rest []kv.Key
	for _, k := range keys {
		if list := o.writes[k]; len(list) > 0 && list[0].l.l.Live(at) {
			rest = append(rest, k)
		}
	}
	o.AbortWrite(rest)
}

// indexes are the positions of some of the keys.
func indexes(keys, some []kv.Key) (at []int) {
	for _, k := range some {
		if i := slices.Index(keys, k); i >= 0 {
			at = append(at, i)
		}
	}
	return at
}

// takeLease takes all that is claimed by one call, if these are exactly its keys. Where
// some are preferred it is one of them.
func (o *Owner) takeLease(keys []kv.Key) []readHold {
	if len(keys) == 0 {
		return nil
	}
	for _, first := range o.read[keys[0]] {
		if len(o.prefer) > 0 && !slices.Contains(o.prefer, first.l) {
			continue
		}
		all := first.l.Keys()
		var held []readHold
		for pos, k := range all {
			if h := (readHold{first.l, pos}); slices.Contains(o.read[k], h) {
				held = append(held, h)
			}
		}
		if !slices.EqualFunc(held, keys, func(h readHold, k kv.Key) bool { return all[h.pos] == k }) {
			continue
		}
		for i, h := range held {
			o.open--
			keep(o.read, keys[i], slices.DeleteFunc(o.read[keys[i]], func(x readHold) bool { return x == h }))
		}
		return held
	}
	return nil
}

// runOf is the end of the run of positions of one lease that begins at lo: in between
// is nothing that is in the table, so that one call names them all.
func runOf[L lease](table map[kv.Key][]hold[L], holds []hold[L], lo int) int {
	l := holds[lo].l
	keys := l.Keys()
	hi := lo + 1
	for ; hi < len(holds) && holds[hi].l == l && holds[hi].pos > holds[hi-1].pos; hi++ {
		for pos := holds[hi-1].pos + 1; pos < min(holds[hi].pos, len(keys)); pos++ {
			if slices.Contains(table[keys[pos]], hold[L]{l, pos}) {
				return hi
			}
		}
	}
	return hi
}
