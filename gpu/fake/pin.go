package fake

import (
	"errors"
	"fmt"
	"sync"

	"github.com/lmcache-go/lmcache/gpu"
)

// ErrPinned says that a region or a part of it is pinned already.
var ErrPinned = errors.New("fake: region is pinned already")

// pins are the pinned regions. The zero value is empty.
type pins struct {
	mu struct {
		sync.Mutex
		regions map[*byte]span // by the region's first byte
		bytes   int64
	}
}

func (p *pins) bytes() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.mu.bytes
}

func (p *pins) add(region []byte) error {
	s := spanOf(region)
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, other := range p.mu.regions {
		if s.overlaps(other) {
			return ErrPinned
		}
	}
	if p.mu.regions == nil {
		p.mu.regions = map[*byte]span{}
	}
	p.mu.regions[&region[0]] = s
	p.mu.bytes += int64(len(region))
	return nil
}

func (p *pins) remove(region []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, ok := p.mu.regions[&region[0]]; ok {
		delete(p.mu.regions, &region[0])
		p.mu.bytes -= int64(len(region))
	}
}

// Pin keeps count of a region as a real device keeps it page-locked. A region
// that overlaps one that is pinned, an empty one, and one struck by a Fault are
// refused.
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
	if err := d.pins.add(region); err != nil {
		return nil, fmt.Errorf("fake: pin %d bytes: %w", len(region), err)
	}
	var once sync.Once
	return func() error {
		once.Do(func() { d.pins.remove(region) })
		return nil
	}, nil
}
