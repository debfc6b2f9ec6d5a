package lmcache

import (
	"cmp"
	"slices"
	"time"

	"github.com/lmcache-go/lmcache/storage/kv"
)

// hostKey names a reservation or a lent read of a HostWorker. Two keys are equal if
// the same request means the same objects: the hash covers the tokens up to the end
// of the range. Embedded sessions are told apart themselves, since their ids need
// not be unique.
type hostKey struct {
	s        *Session // nil: remote, by id
	id       string
	salt     string
	rank     int
	from, to int // chunks
	last     kv.Hash
}

// hostItem is what Close ends, in the order in which it began.
type hostItem interface {
	comparable
	order() int64
}

// sorted are the items of a set of the worker, in the order in which they began.
func sorted[T hostItem](h *HostWorker, set map[T]struct{}) []T {
	h.mu.Lock()
	list := make([]T, 0, len(set))
	for x := range set {
		list = append(list, x)
	}
	h.mu.Unlock()
	slices.SortFunc(list, func(a, b T) int { return cmp.Compare(a.order(), b.order()) })
	return list
}

// finishedStores remembers which reservations were committed, for repeated commits.
type finishedStores struct {
	at    map[hostKey]time.Time
	order []hostKey
}

// maxFinished is how many commits of a worker are remembered.
const maxFinished = 1 << 15

// add remembers a commit and forgets what is older than ttl.
func (f *finishedStores) add(k hostKey, now time.Time, ttl time.Duration) {
	if f.at == nil {
		f.at = make(map[hostKey]time.Time)
	}
	n := 0
	for n < len(f.order) && (len(f.order)-n >= maxFinished || now.Sub(f.at[f.order[n]]) >= ttl) {
		delete(f.at, f.order[n])
		n++
	}
	f.order = f.order[n:]
	if _, known := f.at[k]; !known {
		f.order = append(f.order, k)
	}
	f.at[k] = now
}

func (f *finishedStores) has(k hostKey, now time.Time, ttl time.Duration) bool {
	at, ok := f.at[k]
	return ok && now.Sub(at) < ttl
}
