package fake

import (
	"sync"

	"github.com/lmcache-go/lmcache/gpu"
)

// vector is a vector clock: how many copies of each stream, by number, are known
// to be done.
type vector []uint64

// at is the count for one stream.
func (v vector) at(stream int) uint64 {
	if stream < len(v) {
		return v[stream]
	}
	return 0
}

// merge raises v to what o knows too.
func (v vector) merge(o vector) vector {
	for len(v) < len(o) {
		v = append(v, 0)
	}
	for i, n := range o {
		v[i] = max(v[i], n)
	}
	return v
}

// access is one copy's use of some memory.
type access struct {
	stream int
	seq    uint64 // number of the copy in its stream, from 1
	write  bool
	where  span   // of host memory
	buf    []byte // keeps the memory from being used for something else
}

// place is a block in all layers and planes of a group, named by the first tensor.
type place struct {
	tensor gpu.Tensor
	block  gpu.BlockID
}

// detector finds copies on the same memory that no event orders. It judges by
// the order in which work must run, not by the order in which it happens to, and
// does so when the work is queued. The host is taken for one thread: what it has
// seen to be done comes before whatever it queues from then on. So it misses
// some races but reports none that cannot happen.
type detector struct {
	dev *Device
	mu  struct {
		sync.Mutex
		host    vector
		streams []vector // by number
		buffers []access
		blocks  map[place][]access
	}
}

func newDetector(d *Device) *detector {
	det := &detector{dev: d}
	det.mu.blocks = map[place][]access{}
	return det
}

// clockLocked is the stream's vector, raised to what the host knows.
func (det *detector) clockLocked(s *Stream) vector {
	m := &det.mu
	for len(m.streams) <= s.id {
		m.streams = append(m.streams, nil)
	}
	m.streams[s.id] = m.streams[s.id].merge(m.host)
	for len(m.streams[s.id]) <= s.id {
		m.streams[s.id] = append(m.streams[s.id], 0)
	}
	return m.streams[s.id]
}

// observe notes that the host has seen what v stands for.
func (det *detector) observe(v vector) {
	det.mu.Lock()
	defer det.mu.Unlock()
	det.mu.host = det.mu.host.merge(v)
}

// closed notes that all work of the stream is done.
func (det *detector) closed(s *Stream) {
	det.mu.Lock()
	defer det.mu.Unlock()
	det.mu.host = det.mu.host.merge(det.clockLocked(s))
}

// wait orders the stream's later work behind the event.
func (det *detector) wait(s *Stream, e *event) {
	det.mu.Lock()
	defer det.mu.Unlock()
	det.mu.streams[s.id] = det.clockLocked(s).merge(e.vector)
}

// record gives the event what is ordered before it.
func (det *detector) record(s *Stream, e *event) {
	det.mu.Lock()
	defer det.mu.Unlock()
	e.vector = append(vector(nil), det.clockLocked(s)...)
}

// copies notes a copy and reports those that race with it.
func (det *detector) copies(s *Stream, kind Kind, buf []byte, p *gpu.Paged, group int, blocks []gpu.BlockID) {
	if p == nil || group < 0 || group >= len(p.Groups) || len(p.Groups[group].Layers) == 0 {
		return // fails when it runs
	}
	var races []access
	what := ""
	det.mu.Lock()
	now := det.clockLocked(s)
	now[s.id]++
	a := access{stream: s.id, seq: now[s.id], write: kind == Gather, where: spanOf(buf), buf: buf}
	det.mu.buffers, races = det.meetLocked(det.mu.buffers, a, now)
	if len(races) > 0 {
		what = "host memory"
	}
	for _, b := range blocks {
		if b == gpu.NoBlock {
			continue
		}
		at := place{p.Groups[group].Layers[0], b}
		a := access{stream: s.id, seq: now[s.id], write: kind == Scatter}
		var found []access
		det.mu.blocks[at], found = det.meetLocked(det.mu.blocks[at], a, now)
		if len(found) > 0 && what == "" {
			races, what = found, "blocks"
		}
	}
	det.mu.Unlock()
	if what != "" {
		det.dev.violate("%s on stream %d races with a copy on stream %d for the same %s",
			kind, s.id, races[0].stream, what)
	}
}

// meetLocked adds an access to those of the same memory and returns the list and
// the accesses that race with it. Those that the host has seen to be done are
// dropped: nothing can race with them any more.
func (det *detector) meetLocked(list []access, a access, now vector) (_, races []access) {
	keep := list[:0]
	for _, o := range list {
		if o.seq <= det.mu.host.at(o.stream) {
			continue
		}
		keep = append(keep, o)
		apart := a.buf != nil && !a.where.overlaps(o.where)
		if !apart && (a.write || o.write) && o.seq > now.at(o.stream) {
			races = append(races, o)
		}
	}
	clear(list[len(keep):])
	return append(keep, a), races
}
