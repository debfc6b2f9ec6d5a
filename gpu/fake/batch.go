package fake

import (
	"time"

	"github.com/lmcache-go/lmcache/gpu"
)

// item is one piece of queued work.
type item struct {
	kind   Kind
	passed bool // a Fault has held it already
	group  int
	buf    []byte
	paged  *gpu.Paged
	first  int // of its blocks in batch.blocks
	blocks int
	event  *event        // to wait for, or to finish
	err    error         // it fails with this
	kernel func()        // to run
	cost   time.Duration // of a kernel
	queued time.Duration // host time of the call; Virtual clock only

	begun      bool          // the times below are set
	start, end time.Duration // of its run, in host terms since the device's base
}

// batch is a list of items with the blocks that they name. Two of them serve a
// stream for ever: one is filled while the other is worked off.
type batch struct {
	items  []item
	blocks []gpu.BlockID
}

// add appends an item and copies its blocks.
func (b *batch) add(it item, blocks []gpu.BlockID) {
	it.first, it.blocks = len(b.blocks), len(blocks)
	b.blocks = append(b.blocks, blocks...)
	b.items = append(b.items, it)
}

// Memory that a burst has taken is kept up to these sizes.
const (
	keptItems  = 1 << 12
	keptBlocks = 1 << 16
)

// reset empties the batch and drops what its items refer to.
func (b *batch) reset() {
	clear(b.items)
	b.items = b.items[:0]
	b.blocks = b.blocks[:0]
	if cap(b.items) > keptItems {
		b.items = nil
	}
	if cap(b.blocks) > keptBlocks {
		b.blocks = nil
	}
}
