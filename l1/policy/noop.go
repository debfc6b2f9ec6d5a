package policy

import (
	"iter"
	"time"
)

// Noop tracks nothing and evicts nothing: memory comes back only when objects
// are removed for other reasons.
type Noop struct{}

// Insert does nothing.
func (Noop) Insert(ID, int64, uint32, time.Time) {}

// Touch does nothing.
func (Noop) Touch(ID, time.Time) {}

// Remove does nothing.
func (Noop) Remove(ID) {}

// Pin does nothing.
func (Noop) Pin(ID) {}

// Unpin does nothing.
func (Noop) Unpin(ID, bool, time.Time) {}

// Block does nothing.
func (Noop) Block(ID) {}

// Unblock does nothing.
func (Noop) Unblock(ID) {}

// Victims yields nothing.
func (Noop) Victims(Need) iter.Seq[ID] { return nobody }

func nobody(func(ID) bool) {}
