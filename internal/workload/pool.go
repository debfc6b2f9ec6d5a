package workload

import (
	"math/rand/v2"
	"sync"

	"github.com/lmcache-go/lmcache/gpu"
)

// pool hands out the blocks of the device's paged cache. They come in no order, as
// they do in a server that has run for a while.
type pool struct {
	mu struct {
		sync.Mutex
		free []gpu.BlockID
	}
	room *sync.Cond
}

func newPool(blocks int) *pool {
	p := &pool{}
	p.room = sync.NewCond(&p.mu)
	p.mu.free = make([]gpu.BlockID, blocks)
	for i := range p.mu.free {
		p.mu.free[i] = gpu.BlockID(i)
	}
	rng := rand.New(rand.NewPCG(uint64(blocks), 0))
	rng.Shuffle(blocks, func(i, j int) { p.mu.free[i], p.mu.free[j] = p.mu.free[j], p.mu.free[i] })
	return p
}

// take waits until n blocks are free and takes all of them at once, so that
// requests that wait cannot keep blocks from each other. It appends them to dst.
// There are at least n blocks.
func (p *pool) take(dst []gpu.BlockID, n int) []gpu.BlockID {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.mu.free) < n {
		p.room.Wait()
	}
	rest := len(p.mu.free) - n
	dst = append(dst, p.mu.free[rest:]...)
	p.mu.free = p.mu.free[:rest]
	return dst
}

// give returns blocks.
func (p *pool) give(blocks []gpu.BlockID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.free = append(p.mu.free, blocks...)
	p.room.Broadcast()
}
