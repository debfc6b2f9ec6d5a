package policy

import (
	"errors"
	"fmt"
	"iter"
	"strings"
	"time"
)

// ID names an entry. Ids are small, dense and not 0: policies keep arrays over them.
// The manager may use an id again after Remove.
type ID = uint32

// Need says what victims are wanted for.
type Need struct {
	Bytes  int64  // how much is missing; a hint, the caller stops when it has enough
	Salt   uint32 // tenant, if BySalt
	BySalt bool   // victims of one tenant only
}

// Entries is how a policy learns what there is and what is used.
type Entries interface {
	// Insert tracks a new entry of size bytes as the newest, neither pinned nor
	// blocked. An id that is tracked is removed first.
	Insert(id ID, size int64, salt uint32, at time.Time)
	// Touch makes an entry the newest.
	Touch(id ID, at time.Time)
	// Remove forgets an entry.
	Remove(id ID)
}

// Holds is how a policy learns what may not leave now. Neither of the two states
// is counted: the caller tells of the first reason and of the last one gone.
type Holds interface {
	// Pin says that an entry has a reader: it is no victim until Unpin.
	Pin(id ID)
	// Unpin says that the last reader left. With read, the bytes were used and
	// the entry becomes the newest; otherwise it stands where it stood before.
	Unpin(id ID, read bool, at time.Time)
	// Block says that an entry should stay while others can leave: it is a victim
	// only when no entry is left that is neither pinned nor blocked.
	Block(id ID)
	// Unblock ends that. The entry stands where it stood before.
	Unblock(id ID)
}

// Policy orders entries for eviction.
//
// All calls come from one goroutine at a time and return at once. A call with an
// id that is not tracked does nothing, and neither does one that repeats the
// state an entry has (Pin of a pinned entry, Unblock of one that is not blocked).
type Policy interface {
	Entries
	Holds

	// Victims yields the entries that should leave, best first. It is lazy: an
	// entry is chosen when it is asked for, by the state at that moment, and the
	// policy removes nothing itself. Between two victims the caller may call any
	// method but Victims. It calls Remove for a victim that it evicts, and
	// Unblock for a neighbour that thereby becomes a leaf: that neighbour may be
	// the next victim. A victim that it does not remove is passed over: it is not
	// yielded again in this iteration, whatever else happens to it, and remains
	// tracked, standing where it stood.
	//
	// The sequence is good for one iteration, which begins before the next call of
	// Victims. A policy that is not Isolating yields nothing if need.BySalt is set.
	Victims(need Need) iter.Seq[ID]
}

// Visitor is implemented by policies that keep records of their own, so that the
// manager can have many of them read at a time before it needs one after the other.
type Visitor interface {
	// Visit reads the records of entries, which need not be tracked. It changes
	// nothing.
	Visit(ids []ID)
}

// Recognizer is implemented by policies that remember entries after they left.
type Recognizer interface {
	// Recognize says who the entry is that Insert has just tracked: a number that is
	// the same whenever the object comes back, spread over all 64 bits.
	Recognize(id ID, fingerprint uint64)
}

// Isolating is a policy that can name victims of one tenant, for those tenants
// that it was told of. It decides by salts, which the manager may use again for
// another tenant once no entry carries them and Share was called.
type Isolating interface {
	Policy
	// Isolate lets Victims with need.BySalt find this tenant's entries: those that
	// are inserted from now on, and those that Assign names. It reports whether it
	// can; false: too many tenants are isolated.
	Isolate(salt uint32) bool
	// Assign says that an entry was inserted before its tenant was isolated. It
	// stands where it stood.
	Assign(id ID)
	// Share ends Isolate; the entries stay where they stand.
	Share(salt uint32)
}

// Errors of New, to be tested with errors.Is.
var (
	// ErrUnknown says that there is no policy of that name.
	ErrUnknown = errors.New("unknown eviction policy")
	// ErrUnavailable says that a policy is known but not part of this version.
	ErrUnavailable = errors.New("eviction policy is not available in this version")
)

// Names lists the names that New accepts.
func Names() []string { return []string{"LRU", "IsolatedLRU", "RecencyFrequency", "noop"} }

// New makes an empty policy by its name, which is case-sensitive.
func New(name string) (Policy, error) {
	switch name {
	case "LRU":
		return NewLRU(), nil
	case "IsolatedLRU":
		return NewIsolatedLRU(), nil
	case "RecencyFrequency":
		return NewRecencyFrequency(), nil
	case "noop":
		return Noop{}, nil
	case "S3FIFO":
		return nil, fmt.Errorf("%w: %q (available: %s)", ErrUnavailable, name, strings.Join(Names(), ", "))
	default:
		return nil, fmt.Errorf("%w: %q (known, in this case of letters: %s)", ErrUnknown, name, strings.Join(Names(), ", "))
	}
}
