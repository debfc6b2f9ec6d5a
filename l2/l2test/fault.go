package l2test

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/lmcache-go/lmcache/storage/kv"
)

// Op is an operation of an adapter.
type Op int

// Operations. The zero value stands for each of them.
const (
	AnyOp Op = iota
	Store
	Load
	Lookup
	Delete
)

// String names the operation.
func (o Op) String() string {
	return [...]string{"any", "store", "load", "lookup", "delete"}[o]
}

// Effect is what a fault does.
type Effect int

// Effects on single keys. The rest of the call goes on.
const (
	Fail    Effect = iota // the key fails with Err: not stored, not loaded, not found, not deleted
	Slow                  // the call waits for Delay before it begins, once for each matching key
	Short                 // Load: the last half of the payload is missing
	Corrupt               // Load: a bit of the payload is flipped; of an empty payload, of the head
	BadHead               // Load: a bit of the head is flipped
	Lose                  // Store: success is reported and nothing kept
)

// Effects on the whole call, which does nothing.
const (
	FailCall Effect = iota + 100 // it fails with Err
	Hang                         // it waits until its context ends
	Deaf                         // it waits until the fault is removed, whatever its context says; then it is done as if nothing had been
	Panic                        // it panics with Err
)

// Fault makes calls fail.
type Fault struct {
	Op     Op
	Effect Effect
	Err    error         // of Fail and FailCall; nil: l2.ErrIO
	Delay  time.Duration // of Slow

	// Match chooses keys; nil: each. An effect on the call takes place if a key of it
	// matches.
	Match func(k kv.Key) bool

	Skip  int // let the first ones pass: keys, or calls for effects on calls
	Times int // how often, after that; 0: always
}

// Injected is a fault in effect. It is safe for concurrent use.
type Injected struct {
	f     Fault
	seen  int // under the mutex of its Faulty
	hits  atomic.Int64
	hit   chan struct{} // closed by the first
	first sync.Once
	gone  chan struct{} // closed by Remove
	once  sync.Once
}

// Hits is how many keys, or calls for effects on calls, it has met.
func (i *Injected) Hits() int { return int(i.hits.Load()) }

// Hit is closed when the fault has met the first key or call.
func (i *Injected) Hit() <-chan struct{} { return i.hit }

// Remove ends the fault and lets go of the calls that it holds. It may be called
// again.
func (i *Injected) Remove() { i.once.Do(func() { close(i.gone) }) }

func (i *Injected) removed() bool {
	select {
	case <-i.gone:
		return true
	default:
		return false
	}
}

// take decides whether the next match is met. The caller holds the mutex.
func (i *Injected) take() bool {
	i.seen++
	if i.seen <= i.f.Skip || (i.f.Times > 0 && i.seen > i.f.Skip+i.f.Times) {
		return false
	}
	i.hits.Add(1)
	i.first.Do(func() { close(i.hit) })
	return true
}
