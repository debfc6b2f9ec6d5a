package l2test

import (
	"testing"
	"time"

	"github.com/lmcache-go/lmcache/internal/leak"
	"github.com/lmcache-go/lmcache/l2"
)

// Opener opens an adapter. Each call has a store of its own, which is empty, and
// cleans it up with the test. The suite closes the adapter.
type Opener func(tb testing.TB) l2.Adapter

// Option changes what the suite does.
type Option func(*options)

type options struct {
	store func(tb testing.TB) Opener
	calls int
	large int
	picky bool
}

// Persistent is for stores that outlive the process: newStore makes an empty one and
// returns what opens it, again and again, one after the other.
func Persistent(newStore func(tb testing.TB) Opener) Option {
	return func(o *options) { o.store = newStore }
}

// Calls sets how many calls the suite makes to see that nothing grows (3,000).
func Calls(n int) Option { return func(o *options) { o.calls = n } }

// LargeObject sets the size of the largest object in bytes (2 MiB).
func LargeObject(n int) Option { return func(o *options) { o.large = n } }

// MayRefuse is for stores that have no name for some keys and say so when they are
// stored: too long, or what the store would take for a path. Without it, only the format
// raw may.
func MayRefuse() Option { return func(o *options) { o.picky = true } }

func gather(opts []Option) options {
	o := options{calls: 3000, large: 2 << 20}
	for _, f := range opts {
		f(&o)
	}
	return o
}

// patience bounds what should not take time: a call that is cancelled, a Close.
const patience = 20 * time.Second

// Run runs the contract, each part on a store of its own.
func Run(t *testing.T, open Opener, opts ...Option) {
	t.Helper()
	o := gather(opts)
	for _, part := range parts() {
		t.Run(part.name, func(t *testing.T) {
			leak.Check(t)
			part.run(newSuite(t, open(t), o))
		})
	}
	if o.store == nil {
		return
	}
	t.Run("Reopen", func(t *testing.T) {
		leak.Check(t)
		reopen(t, o.store(t), o)
	})
	t.Run("ReopenAfterRaces", func(t *testing.T) {
		leak.Check(t)
		reopenAfterRaces(t, o.store(t), o)
	})
}

// part is one promise of the contract.
type part struct {
	name string
	run  func(s *suite)
}

func parts() []part {
	return []part{
		{"StoreLoad", storeLoad},
		{"EmptyBatches", emptyBatches},
		{"LargeBatch", largeBatch},
		{"Lookup", lookup},
		{"Delete", deletes},
		{"NotFound", notFound},
		{"ExistingKey", existingKey},
		{"ExistingKeyOfAnotherSize", otherSize},
		{"SameKeyTwiceInOneBatch", twiceInOneBatch},
		{"TooLong", tooLong},
		{"Shorter", shorter},
		{"OneFailingKey", oneFailingKey},
		{"HostileKeys", hostileKeys},
		{"NearKeys", nearKeys},
		{"BuffersAreNotKept", buffersAreNotKept},
		{"SameKeyRace", sameKeyRace},
		{"StoreLoadDeleteRace", mixedRace},
		{"CancelledBefore", cancelledBefore},
		{"CancelledDuring", cancelledDuring},
		{"DeadlinePassed", deadlinePassed},
		{"CloseDuringCalls", closeDuringCalls},
		{"CallsAfterClose", callsAfterClose},
		{"List", list},
		{"Scan", scan},
		{"Touch", touch},
		{"Limit", limit},
		{"Quarantine", quarantine},
		{"Describe", describe},
		{"NothingGrows", nothingGrows},
	}
}
