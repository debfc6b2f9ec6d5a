package resp

import "sync"

// pool keeps a few buffers in which header and payload become one value. A buffer that
// was given to a connection which then failed does not come back: the client may
// still read it.
type pool struct {
	mu    sync.Mutex
	bufs  [][]byte
	bytes int
}

// maxPooled is how much is kept, in bytes.
const maxPooled = 64 << 20

func (p *pool) get(n int) []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, b := range p.bufs {
		if cap(b) < n || cap(b) > 2*n+4096 {
			continue
		}
		last := len(p.bufs) - 1
		p.bufs[i], p.bufs[last] = p.bufs[last], nil
		p.bufs = p.bufs[:last]
		p.bytes -= cap(b)
		return b[:n]
	}
	return make([]byte, n)
}

func (p *pool) put(bufs [][]byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, b := range bufs {
		for len(p.bufs) > 0 && p.bytes+cap(b) > maxPooled { // sizes that nobody asks for any more
			p.bytes -= cap(p.bufs[0])
			p.bufs[0] = nil
			p.bufs = p.bufs[1:]
		}
		if p.bytes+cap(b) <= maxPooled {
			p.bufs, p.bytes = append(p.bufs, b), p.bytes+cap(b)
		}
	}
}
