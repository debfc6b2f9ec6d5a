package fake

import (
	"errors"
	"fmt"
	"sync"

	"github.com/lmcache-go/lmcache/gpu"
)

// ErrPinned says that a part of a region is pinned already.
var ErrPinned = errors.New("fake: part of the region is pinned already")

// pins are the pinned regions. The zero value is empty.
type pins struct {
	mu struct {
		sync.Mutex
		regions map[span]int // how often each is pinned
		bytes   int64
	}
}

func (p *pins) bytes() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.mu.bytes
}

func (p *pins) add(s span) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mu.regions[s] == 0 {
		for other := range p.mu.regions {
			if s.overlaps(other) {
				return ErrPinned
			}
		}
		p.mu.bytes += s.bytes()
	}
	if p.mu.regions == nil {
		p.mu.regions = map[span]int{}
	}
	p.mu.regions[s]++
	return nil
}

func (p *pins) remove(s span) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mu.regions[s]--; p.mu.regions[s] == 0 {
		delete(p.mu.regions, s)
		p.mu.bytes -= s.bytes()
	}
}

// Pin keeps count of a region as a real device keeps it page-locked. A region
// that overlaps another one that is pinned, an empty one, and one struck by a
// Fault are refused.
func (d *Device) Pin(region []byte) (unpin func() error, err error) {
	if d.closed() {
		d.violate("pin after close")
		return nil, gpu.ErrClosed
	}
	if f, ok := d.faults.strike(Pin); ok {
		if f.Sticky {
			d.fail(f.failure(Pin))
		}
		return nil, f.failure(Pin)
	}
	if err := d.broken(); err != nil {
		return nil, err
	}
	if len(region) == 0 {
		return nil, errors.New("fake: pin: empty region")
	}
	where := spanOf(region)
	if err := d.pins.add(where); err != nil {
		return nil, fmt.Errorf("fake: pin %d bytes: %w", len(region), err)
	}
	var once sync.Once
	return func() error {
		once.Do(func() { d.pins.remove(where) })
		return nil
	}, nil
}
