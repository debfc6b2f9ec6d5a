package l1

import (
	"fmt"
	"runtime"
	"sync"

	"github.com/lmcache-go/lmcache/internal/invariants"
)

// mutex is that of a Manager. Builds with invariants see to what the package
// comment promises of it: that a hold covers at most maxHold keys of a call, and
// that nothing which may take long is done within one.
type mutex struct {
	sync.Mutex
	covered int // keys in this hold
}

// Lock begins a hold.
func (m *mutex) Lock() {
	m.Mutex.Lock()
	if invariants.Enabled {
		m.covered = 0
	}
}

// coverLocked counts keys that this hold covers.
func (m *mutex) coverLocked(keys int) {
	if !invariants.Enabled {
		return
	}
	if m.covered += keys; m.covered > maxHold {
		panic(fmt.Sprintf("l1: a hold of the mutex covers %d keys", m.covered))
	}
}

// heldTries is how often mustBeFree tries to get the mutex. Whoever else has it
// lets go long before.
const heldTries = 1 << 26

// mustBeFree panics if the caller holds the mutex: what comes is nothing to do under it.
func (m *mutex) mustBeFree(what string) {
	if invariants.Enabled && m.held(heldTries) {
		panic("l1: " + what + " under the mutex")
	}
}

// held reports that the mutex did not come free in so many tries: then it is the
// caller who holds it.
func (m *mutex) held(tries int) bool {
	for range tries {
		if m.TryLock() {
			m.Unlock()
			return false
		}
		runtime.Gosched()
	}
	return true
}
