package fake

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
)

// ErrInjected is the error of a Fault that names none.
var ErrInjected = errors.New("fake: injected fault")

// ErrLost is the error of all work of a device that Lose was called for.
var ErrLost = errors.New("fake: device lost")

// Effect is what a Fault does to the operation that it strikes.
type Effect uint8

const (
	// Refuse fails the operation before it has done anything.
	Refuse Effect = iota
	// Tear fails a copy in its middle: a part of the bytes has been moved.
	Tear
	// Flip lets a copy succeed with one wrong bit in its destination.
	Flip
	// Swap lets a copy succeed with K and V exchanged.
	Swap
	// Stick holds a copy and its stream until Release, then lets it succeed.
	Stick
)

// Fault is something that goes wrong once, or a few times.
type Fault struct {
	Kind   Kind   // what it strikes; the zero value is a copy of either kind
	After  int    // operations of the kind that pass before it strikes
	Count  int    // operations that it strikes; 0 is one
	Effect Effect // Tear and the effects after it are for copies
	Sticky bool   // with Refuse and Tear: all later work of the device fails too
	Err    error  // nil is ErrInjected
}

// failure is the error that the fault gives an operation.
func (f *Fault) failure(op Kind) error {
	err := f.Err
	if err == nil {
		err = ErrInjected
	}
	return fmt.Errorf("fake: %s: %w", op, err)
}

// faults are those that wait to strike. The zero value is empty.
type faults struct {
	armed atomic.Bool // a look without the lock
	mu    struct {
		sync.Mutex
		list []Fault
	}
}

// Fail arms a fault. Operations are counted when they run, from now on.
func (d *Device) Fail(f Fault) {
	if f.Count < 1 {
		f.Count = 1
	}
	d.faults.mu.Lock()
	defer d.faults.mu.Unlock()
	d.faults.mu.list = append(d.faults.mu.list, f)
	d.faults.armed.Store(true)
}

// strike counts an operation and returns the fault that hits it, if one does.
// Each armed fault of the kind counts it; the one armed first wins.
func (fs *faults) strike(op Kind) (Fault, bool) {
	if !fs.armed.Load() {
		return Fault{}, false
	}
	fs.mu.Lock()
	defer fs.mu.Unlock()
	var hit Fault
	struck := false
	keep := fs.mu.list[:0]
	for _, f := range fs.mu.list {
		if f.Kind.covers(op) {
			switch {
			case f.After > 0:
				f.After--
			case !struck:
				hit, struck = f, true
				f.Count--
			}
		}
		if f.Count > 0 {
			keep = append(keep, f)
		}
	}
	fs.mu.list = keep
	fs.armed.Store(len(keep) > 0)
	return hit, struck
}
