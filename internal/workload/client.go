package workload

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"github.com/lmcache-go/lmcache"
	"github.com/lmcache-go/lmcache/gpu"
	"github.com/lmcache-go/lmcache/internal/mooncake"
)

// report is what became of one request.
type report struct {
	ran            bool
	chunks         int // full ones
	hits           int // chunks that were found and retrieved
	stored         int // chunks
	wrong          int // chunks with wrong bytes
	errors         int // operations
	retrievedBytes int64
	storedBytes    int64
	lookup         time.Duration // each 0 if there was none
	retrieve       time.Duration
	store          time.Duration
	prefixes       []uint64 // a number for each full chunk and all before it; nil: nobody needs them
}

// client serves requests, one at a time.
type client struct {
	d        *Driver
	computer computer
	checker  checker
	tokens   []int32
	blocks   []gpu.BlockID
}

func newClient(d *Driver) *client {
	return &client{
		d:        d,
		computer: computer{cache: d.cache, seed: d.o.Seed},
		checker:  checker{cache: d.cache, seed: d.o.Seed},
	}
}

// serve runs request i. Once begun it is carried through, whatever becomes of ctx.
func (c *client) serve(ctx context.Context, i int, request *mooncake.Request) report {
	ctx = context.WithoutCancel(ctx)
	size := c.d.o.Engine.ChunkTokens
	c.tokens = mooncake.Tokens(c.tokens[:0], *request, c.d.o.BlockTokens)
	r := report{ran: true, chunks: request.InputLength / size}
	session := c.d.engine.Session(lmcache.Request{ID: strconv.Itoa(i), Model: modelOf(c.d.o.Seed)})
	defer func() { c.failed(&r, i, "end", session.Close()) }()

	begin := time.Now()
	match := session.Lookup(ctx, c.tokens)
	found, err := match.Chunks(ctx)
	r.lookup = time.Since(begin)
	c.failed(&r, i, "lookup", err)

	if r.chunks == 0 {
		return r
	}
	c.blocks = c.d.cache.pool.take(c.blocks[:0], r.chunks*size/c.d.cache.group().BlockTokens)
	defer c.d.cache.pool.give(c.blocks)
	if found > 0 {
		c.retrieve(ctx, &r, i, match, found)
	}
	if r.hits < r.chunks || !c.d.o.NoOptimal {
		c.computer.run(c.tokens[:r.chunks*size])
	}
	if r.hits < r.chunks {
		c.store(ctx, &r, i, session)
	}
	if !c.d.o.NoOptimal {
		r.prefixes = make([]uint64, r.chunks)
		for chunk := range r.prefixes {
			r.prefixes[chunk] = c.computer.states[(chunk+1)*size-1]
		}
	}
	return r
}

// retrieve gets the chunks that were found, all or none, and checks them.
func (c *client) retrieve(ctx context.Context, r *report, i int, match *lmcache.Match, found int) {
	d := c.d
	size := d.o.Engine.ChunkTokens
	d.cache.wipe(c.blocks[:found*size/d.cache.group().BlockTokens])
	begin := time.Now()
	t, err := d.worker.Retrieve(ctx, match, [][]gpu.BlockID{c.blocks}, nil)
	if err == nil {
		err = t.Wait(ctx)
	}
	r.retrieve = time.Since(begin)
	if err == nil && t.Chunks() != found {
		err = fmt.Errorf("got %d of %d chunks", t.Chunks(), found)
	}
	if c.failed(r, i, "retrieve", err) {
		return
	}
	r.hits, r.retrievedBytes = found, t.Bytes()
	if d.o.NoVerify {
		return
	}
	c.checker.check(c.tokens, found, size, c.blocks, func(w difference) {
		r.wrong++
		d.o.Engine.Logger.Error("wrong bytes", slog.Int("request", i), slog.Int("chunk", w.chunk),
			slog.Int("offset", w.offset), slog.Int("got", int(w.got)), slog.Int("want", int(w.want)))
	})
}

// store computes the chunks that were not retrieved and stores them.
func (c *client) store(ctx context.Context, r *report, i int, session *lmcache.Session) {
	size := c.d.o.Engine.ChunkTokens
	c.computer.fill(r.hits*size, r.chunks*size, c.blocks)
	begin := time.Now()
	t, err := c.d.worker.Store(ctx, session, c.tokens, [][]gpu.BlockID{c.blocks}, nil)
	if err == nil {
		err = t.Wait(ctx)
	}
	r.store = time.Since(begin)
	if !c.failed(r, i, "store", err) {
		r.stored, r.storedBytes = t.Chunks(), t.Bytes()
	}
}

// failed counts and logs the error of an operation.
func (c *client) failed(r *report, i int, operation string, err error) bool {
	if err == nil {
		return false
	}
	r.errors++
	c.d.o.Engine.Logger.Error(operation+" failed", slog.Int("request", i), slog.Any("error", err))
	return true
}
