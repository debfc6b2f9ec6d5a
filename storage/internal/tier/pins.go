package tier

import (
	"slices"
	"time"

	"github.com/lmcache-go/lmcache/storage/kv"
)

// Pins keeps objects of a tier from being evicted and deleted by this process. It
// ends with Release, or by itself after the tier's PinTTL.
type Pins struct {
	t       *Tier
	ids     []pinned
	expires time.Time
}

// pinned is an entry and how often it has been used before, so that a pin that has
// outlived its object does not touch the next one.
type pinned struct {
	id  uint32
	gen uint32
}

// pinLocked pins entries.
func (t *Tier) pinLocked(ids []uint32, now time.Time) *Pins {
	if len(ids) == 0 {
		return nil
	}
	p := &Pins{t: t, expires: now.Add(t.o.PinTTL), ids: make([]pinned, len(ids))}
	for n, id := range ids {
		p.ids[n] = pinned{id, t.mu.index.at(id).gen}
		t.mu.index.pin(id)
	}
	t.expireLocked(now)
	t.mu.pins = append(t.mu.pins, p) // all have one TTL
	return p
}

// Pin pins those of the keys that are known.
func (t *Tier) Pin(keys []kv.Key) *Pins {
	t.lock()
	defer t.unlock()
	ids := make([]uint32, 0, len(keys))
	for _, k := range keys {
		if id := t.mu.index.find(k); id != 0 && !t.leavingLocked(k, id) {
			ids = append(ids, id)
		}
	}
	return t.pinLocked(ids, t.rt.Now())
}

// Unpin ends the pins. It calls nothing back, so that its caller may hold locks of its
// own; what has waited for them goes on with Release, which comes after it.
func (p *Pins) Unpin() {
	t := p.t
	t.mu.Lock()
	defer t.mu.Unlock()
	t.unpinLocked(p)
}

func (t *Tier) unpinLocked(p *Pins) {
	if at := slices.Index(t.mu.pins, p); at >= 0 {
		t.mu.pins = slices.Delete(t.mu.pins, at, at+1)
		t.endPinsLocked(p)
	}
}

// Release ends the pins, and what has waited for them goes on. It is idempotent.
func (p *Pins) Release() {
	if p == nil {
		return
	}
	p.Unpin()
	p.t.lock()
	defer p.t.unlock()
	p.t.dispatchLocked(p.t.rt.Now())
}

// expireLocked ends pins that somebody has forgotten. It is looked at before victims
// are chosen and before pins are taken.
func (t *Tier) expireLocked(now time.Time) {
	for len(t.mu.pins) > 0 && !now.Before(t.mu.pins[0].expires) {
		p := t.mu.pins[0]
		t.mu.pins = t.mu.pins[1:]
		t.endPinsLocked(p)
	}
}

func (t *Tier) endPinsLocked(p *Pins) {
	for _, k := range p.ids {
		if e := t.mu.index.at(k.id); e.gen == k.gen && e.pins > 0 {
			t.mu.index.unpin(k.id)
		}
	}
	p.ids = nil
}
