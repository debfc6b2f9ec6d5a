package l2bench

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// bench is one run: buffers for the keys of a round, and the slots that a tier
// would have.
type bench struct {
	o      *Options
	s      l2.Settings // with defaults
	format l2.Format
	print  kv.Fingerprint
	run    uint64 // makes the keys of this run its own
	mem    []byte
	items  []l2.Item
	check  []byte // room for the bytes of one object
	jobs   chan func()
	raw    beside // nil: there is none

	rawDirect, rawClient bool // of raw
}

// key is that of an object of a round. Rounds of lookups ask for keys of negative
// rounds, which nobody has stored.
func (b *bench) key(round, i int) kv.Key {
	var h [kv.MaxHashLen]byte
	binary.BigEndian.PutUint64(h[:], b.run)
	binary.BigEndian.PutUint64(h[8:], uint64(int64(round)))
	binary.BigEndian.PutUint64(h[16:], uint64(i))
	return kv.Key{Hash: kv.Hash32(h), Model: "lmcache-bench", Rank: 0x01000100}
}

// pattern writes the bytes of a key. The race detector sees them on their way into the
// buffer; to look at every word would take it many times as long.
func pattern(dst []byte, k kv.Key) {
	h, _ := k.Hash.Array()
	rng := rand.New(rand.NewPCG(binary.BigEndian.Uint64(h[:])^binary.BigEndian.Uint64(h[8:]), binary.BigEndian.Uint64(h[16:])))
	var b [4096]byte
	for len(dst) > 0 {
		words(&b, rng)
		dst = dst[copy(dst, b[:]):]
	}
}

//go:norace
func words(b *[4096]byte, rng *rand.Rand) {
	for i := 0; i < len(b); i += 8 {
		binary.LittleEndian.PutUint64(b[i:], rng.Uint64())
	}
}

// prepare gives the buffers the keys of a round, and, to store them, their bytes.
func (b *bench) prepare(round int, fill bool) {
	for i := range b.items {
		it := &b.items[i]
		it.Key = b.key(round, i)
		it.Head = it.Head[:b.format.HeadLen(it.Key, "")]
		if fill {
			pattern(it.Data, it.Key)
		} else {
			clear(it.Data)
		}
	}
}

// submissions are the items of a round, cut into those of each submission.
func (b *bench) submissions() [][]l2.Item {
	var all [][]l2.Item
	for i := 0; i < len(b.items); i += b.o.Keys {
		all = append(all, b.items[i:i+b.o.Keys])
	}
	return all
}

// pieces spreads the items of one submission evenly over the slots, with at most as
// many in a call as a call may have.
func (b *bench) pieces(items []l2.Item) [][]l2.Item {
	calls := max(min(b.s.Workers, len(items)), (len(items)+b.s.PerOpWorkers-1)/b.s.PerOpWorkers)
	all := make([][]l2.Item, 0, calls)
	for n := calls; n > 0; n-- {
		size := (len(items) + n - 1) / n
		all = append(all, items[:size])
		items = items[size:]
	}
	return all
}

// each runs one call per piece of all submissions in the slots, and returns how long
// that took and whether one took longer than it may.
func (b *bench) each(ctx context.Context, limit time.Duration, call func(context.Context, []l2.Item) error) (took time.Duration, late bool) {
	var wg sync.WaitGroup
	var mu sync.Mutex
	begin := time.Now()
	for _, submission := range b.submissions() {
		for _, piece := range b.pieces(submission) {
			wg.Add(1)
			b.jobs <- func() {
				defer wg.Done()
				ctx, cancel := context.WithTimeout(ctx, limit)
				defer cancel()
				err := call(ctx, piece)
				for i := range piece {
					if err != nil {
						piece[i].Err = err
					}
				}
				if errors.Is(ctx.Err(), context.DeadlineExceeded) {
					mu.Lock()
					late = true
					mu.Unlock()
				}
			}
		}
	}
	wg.Wait()
	return time.Since(begin), late
}

// storeCall makes the headers of items, with their checksums, and stores them.
func (b *bench) storeCall(ctx context.Context, items []l2.Item) error {
	if !b.format.Raw {
		for i := range items {
			it := &items[i]
			h := l2.Header{
				Key: it.Key, Fingerprint: b.print, Checksum: b.format.Checksum, Sum: b.format.Checksum.Sum(it.Data),
				Payload: int64(len(it.Data)), Created: time.Now(),
			}
			if err := h.Put(it.Head); err != nil {
				return err
			}
		}
	}
	return b.o.Adapter.Store(ctx, items)
}

// loadCall loads items and verifies their headers, as a tier does.
func (b *bench) loadCall(ctx context.Context, items []l2.Item) error {
	if err := b.o.Adapter.Load(ctx, items); err != nil {
		return err
	}
	for i := range items {
		it := &items[i]
		switch {
		case it.Err != nil:
		case it.N > int64(len(it.Data)) || it.N < 0:
			it.Err = fmt.Errorf("%w: %d bytes of %d", l2.ErrCorrupt, it.N, len(it.Data))
		case b.format.Raw && it.N != int64(len(it.Data)):
			it.Err = fmt.Errorf("%w: %d bytes of %d", l2.ErrCorrupt, it.N, len(it.Data))
		case !b.format.Raw:
			h, err := l2.ParseHeader(it.Head)
			if err == nil {
				err = h.Verify(l2.Want{Key: it.Key, Fingerprint: b.print, Size: b.o.Bytes}, it.Data[:it.N])
			}
			it.Err = err
		}
	}
	return nil
}

// compare counts the items that were loaded and are not what was stored.
func (b *bench) compare() (wrong int) {
	if b.o.SkipVerify {
		return 0
	}
	for i := range b.items {
		it := &b.items[i]
		if it.Err != nil {
			continue
		}
		pattern(b.check, it.Key)
		if !bytes.Equal(b.check, it.Data) {
			wrong++
		}
	}
	return wrong
}

// remove deletes the objects of a round.
func (b *bench) remove(ctx context.Context, round int) error {
	keys := make([]kv.Key, len(b.items))
	for i := range keys {
		keys[i] = b.key(round, i)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), b.s.Timeouts.Delete)
	defer cancel()
	return b.o.Adapter.Delete(ctx, keys, make([]int64, len(keys)))
}
