package l1

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
)

// Pinning is one device's hold on the memory of a Manager. Its methods are safe
// for concurrent use.
type Pinning struct {
	m    *Manager
	name string
	pin  func(piece []byte) (unpin func() error, err error)
	busy sync.WaitGroup // calls of pin
	end  sync.Once

	// Guarded by Manager.mu.
	closed   bool
	running  int            // calls of pin
	asked    []bool         // by piece
	unpins   []func() error // by piece; nil: nothing to undo
	refused  []bool         // by piece
	pinned   int64
	unpinned int64
}

// Pin has the memory pinned by a device, piece by piece: before it returns, what
// is committed, and later, on a goroutine of the manager, what is committed then.
// pin gets each piece at most once, never under a lock; it may be called from
// several goroutines. It returns what undoes it, or nil. A piece that it cannot pin works
// all the same: it is used last, counted, and the first one of a device is logged
// under the device's name.
//
// The memory is not unmapped before the Pinning is closed. Without bytes there is
// nothing to pin.
func (m *Manager) Pin(name string, pin func(piece []byte) (unpin func() error, err error)) (*Pinning, error) {
	p := &Pinning{m: m, name: name, pin: pin}
	g := m.mem
	if g == nil {
		return p, nil
	}
	n := len(g.pieces)
	p.asked, p.unpins, p.refused = make([]bool, n), make([]func() error, n), make([]bool, n)
	m.mu.Lock()
	if m.mu.closed {
		m.mu.Unlock()
		return nil, ErrClosed
	}
	g.pinnings = append(slices.Clip(g.pinnings), p)
	var now []int
	for i := range g.pieces {
		if g.pieces[i].committed {
			now = append(now, i)
		}
	}
	m.mu.Unlock()
	for _, i := range now {
		p.take(i)
	}
	return p, nil
}

// take pins piece i, unless somebody has or the end has come.
func (p *Pinning) take(i int) {
	m := p.m
	m.mu.Lock()
	if p.closed || p.asked[i] || m.mu.closed {
		m.mu.Unlock()
		return
	}
	p.asked[i] = true
	p.running++
	p.busy.Add(1)
	m.mu.Unlock()
	defer p.busy.Done()
	mem := m.mem.pool.Piece(i)
	m.mu.mustBeFree("pinning memory")
	unpin, err := p.pin(mem)

	m.mu.Lock()
	p.running--
	first := err != nil && p.unpinned == 0
	if err != nil {
		p.refused[i] = true
		p.unpinned += int64(len(mem))
		m.mem.countLocked(i, 0, 1)
	} else {
		p.unpins[i] = unpin
		p.pinned += int64(len(mem))
		m.mem.countLocked(i, 1, 0)
	}
	m.mu.Unlock()
	if first {
		m.logger().Error("memory could not be pinned; it is used last, and its copies are slow",
			slog.String("device", p.name), slog.Int("bytes", len(mem)), slog.Any("error", err))
	}
}

// pinned reports whether all devices have pinned a piece, and there is one.
func (p *piece) pinned() bool { return p.pins > 0 && p.refusals == 0 }

// countLocked adds to what is known of the pins of piece i and has the allocator
// use it in its turn.
func (g *memory) countLocked(i, pins, refusals int) {
	p, n := &g.pieces[i], g.bytes(i)
	wasPinned, wasRefused := p.pinned(), p.refusals > 0
	p.pins += pins
	p.refusals += refusals
	if is := p.pinned(); is != wasPinned {
		g.pinned += signed(n, is)
	}
	is := p.refusals > 0
	if is == wasRefused {
		return
	}
	g.unpinned += signed(n, is)
	lo := int64(i) * g.pool.PieceBytes()
	if is {
		g.m.mu.arena.Postpone(lo, lo+n)
	} else {
		g.m.mu.arena.Prefer(lo)
	}
}

func signed(n int64, plus bool) int64 {
	if plus {
		return n
	}
	return -n
}

// Bytes is how much memory the device has pinned, and how much it could not pin.
func (p *Pinning) Bytes() (pinned, unpinned int64) {
	p.m.mu.Lock()
	defer p.m.mu.Unlock()
	return p.pinned, p.unpinned
}

// Close unpins all memory and waits for calls of pin that run. The device must not
// use the memory any more. Further calls wait for the first and return nil.
func (p *Pinning) Close() (err error) {
	p.end.Do(func() { err = p.close() })
	return err
}

func (p *Pinning) close() error {
	m := p.m
	m.mu.Lock()
	p.closed = true
	m.mu.Unlock()
	p.busy.Wait() // none begins any more
	g := m.mem
	if g == nil {
		return nil
	}
	m.mu.mustBeFree("unpinning memory")
	var errs []error
	for _, unpin := range p.unpins {
		if unpin != nil {
			errs = append(errs, unpin())
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range slices.Backward(p.asked) {
		switch {
		case p.refused[i]:
			g.countLocked(i, 0, -1)
		case p.asked[i]:
			g.countLocked(i, -1, 0)
		}
	}
	p.pinned, p.unpinned = 0, 0
	g.pinnings = slices.DeleteFunc(slices.Clone(g.pinnings), func(o *Pinning) bool { return o == p })
	return errors.Join(errs...)
}

// PinnedError says that Close found memory that a device still has pinned.
type PinnedError struct {
	Device string // the first one
	Bytes  int64  // that it has pinned
}

// Error names the device.
func (e *PinnedError) Error() string {
	return fmt.Sprintf("l1: close: device %s has %d bytes pinned; the memory stays mapped", e.Device, e.Bytes)
}

// pinErrorLocked is a PinnedError if a device has memory pinned, or is at it; else
// nil.
func (g *memory) pinErrorLocked() error {
	if g == nil {
		return nil
	}
	for _, p := range g.pinnings {
		if p.pinned > 0 || p.running > 0 {
			return &PinnedError{Device: p.name, Bytes: p.pinned}
		}
	}
	return nil
}
