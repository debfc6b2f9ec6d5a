package fs

import (
	"sync"
	"time"
)

// How old the free space may be, and how long Limit waits for a newer one.
const (
	spaceAge  = time.Second
	spaceWait = 5 * time.Millisecond
)

// space is what is known about the free space of the file system.
type space struct {
	mu struct {
		sync.Mutex
		known   bool
		usage   Usage
		at      time.Time
		since   int64         // bytes that this store has added since usage was asked for
		flying  int64         // bytes of stores that are being written
		running chan struct{} // closed when a question that is being asked is answered
	}
}

// refresh asks the file system. If it fails, what was known before stays.
func (p *space) refresh(sys System, path string) error {
	p.mu.Lock()
	before := p.mu.since
	p.mu.Unlock()
	u, err := sys.Usage(path)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.at = time.Now()
	if err == nil {
		p.mu.known, p.mu.usage = true, u
		p.mu.since -= before
	}
	return err
}

// begin and end enclose the writing of n bytes, wrote tells that n more are there.
func (p *space) begin(n int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.flying += n
}

func (p *space) end(n int64) { p.begin(-n) }

func (p *space) wrote(n int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.since += n
}

func (p *space) size() int64 {
	u, _ := p.last()
	return u.Size
}

// last is the usage with what this store has added or is about to add; false if it
// is not known.
func (p *space) last() (Usage, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	u, added := p.mu.usage, p.mu.since+p.mu.flying
	if p.mu.known {
		u.Free -= added
		u.Avail -= added
	}
	return u, p.mu.known
}

// fresh makes sure that the usage is not old, or that somebody is asking for it, and
// waits a little for the answer. A file system that hangs costs that once.
func (s *Store) fresh() {
	p := &s.space
	p.mu.Lock()
	if p.mu.running != nil || time.Since(p.mu.at) < spaceAge {
		p.mu.Unlock()
		return
	}
	answered := make(chan struct{})
	p.mu.running = answered
	p.mu.Unlock()
	s.background.Go(func() {
		// An old figure is better than none, and Describe shows it.
		_ = p.refresh(s.sys, s.base)
		p.mu.Lock()
		p.mu.running = nil
		p.mu.Unlock()
		close(answered)
	})
	wait := time.NewTimer(spaceWait)
	defer wait.Stop()
	select {
	case <-answered:
	case <-wait.C:
	}
}

// Limit is the least of MaxBytes without what is in quarantine, of what leaves
// MinFree to others, and of what HighWatermark allows. The free space is asked for
// once a second at most. After Close there is no limit: nothing is stored any more.
func (s *Store) Limit(held int64) int64 {
	if s.gate.Enter() != nil {
		return -1
	}
	defer s.gate.Leave()
	limit := int64(-1)
	least := func(n int64) {
		if n = max(n, 0); limit < 0 || n < limit {
			limit = n
		}
	}
	if s.o.MaxBytes > 0 {
		least(s.o.MaxBytes - s.quarantine.bytes.Load())
	}
	s.fresh()
	if u, ok := s.space.last(); ok {
		if s.floor > 0 || s.o.MinFree < 0 {
			least(held + u.Avail - s.floor)
		}
		if w := s.o.HighWatermark; w > 0 && u.Size > 0 {
			least(held + int64(w*float64(u.Size)) - (u.Size - u.Free))
		}
	}
	return limit
}
