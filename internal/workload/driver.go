package workload

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/lmcache-go/lmcache"
	"github.com/lmcache-go/lmcache/eventbus"
	"github.com/lmcache-go/lmcache/gpu"
	"github.com/lmcache-go/lmcache/gpu/fake"
)

// model is the name of the model in keys, events and metrics, for the seed 1.
const model = "workload"

// modelOf is the name of the model for a seed. Objects of other bytes have other keys: a
// store that outlives the run may hold those of an earlier one.
func modelOf(seed uint64) string {
	if seed == 1 {
		return model
	}
	return fmt.Sprintf("%s-seed-%d", model, seed)
}

// Driver is an engine with one worker on a fake device, ready to run a trace. Its
// owner must Close it.
type Driver struct {
	o      Options
	bus    *eventbus.Bus
	ownBus bool
	tally  tally
	heard  *eventbus.Subscription
	engine *lmcache.Engine
	dev    *fake.Device
	cache  *cache
	worker *lmcache.Worker
	ran    atomic.Bool
}

// Run opens a driver, runs its trace and closes it.
func Run(ctx context.Context, o Options) (_ Result, err error) {
	d, err := Open(ctx, o)
	if err != nil {
		return Result{}, err
	}
	defer func() { err = errors.Join(err, d.Close(context.WithoutCancel(ctx))) }()
	return d.Run(ctx)
}

// Open makes all that a run needs. It reports all problems of the options at once
// and leaves nothing behind when it fails.
func Open(ctx context.Context, o Options) (_ *Driver, err error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	o = o.withDefaults()
	d := &Driver{o: o, bus: o.Engine.Bus}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("workload: %w", err), d.Close(context.WithoutCancel(ctx)))
		}
	}()
	if d.bus == nil {
		d.bus, d.ownBus = eventbus.New(eventbus.Options{Logger: o.Engine.Logger}), true
		d.o.Engine.Bus = d.bus
	}
	if d.heard, err = d.bus.Subscribe(&d.tally); err != nil {
		return nil, err
	}
	if d.engine, err = lmcache.Open(ctx, d.o.Engine); err != nil {
		return nil, err
	}
	d.dev = fake.New(fake.Options{MemoryBytes: o.DeviceBytes})
	s := shape(o.BytesPerToken, o.Engine.ChunkTokens)
	s.Blocks = o.deviceBlocks(s)
	if d.cache, err = newCache(d.dev, s); err != nil {
		return nil, err
	}
	var backend gpu.Backend = d.dev
	if o.wrap != nil {
		backend = o.wrap(backend)
	}
	d.worker, err = d.engine.Attach(lmcache.WorkerOptions{Model: modelOf(d.o.Seed), Backend: backend, Cache: d.cache.paged})
	if err != nil {
		return nil, err
	}
	return d, nil
}

// poolBytes is the size that the paged cache does not exceed for the sake of
// concurrency alone.
const poolBytes = 256 << 20

// deviceBlocks is how many blocks the paged cache needs: enough for the longest
// prompt, and for as many as are in flight while that does not take too much.
func (o Options) deviceBlocks(s gpu.Shape) int {
	longest := 1
	for i := range o.Requests {
		longest = max(longest, o.Requests[i].InputLength/o.Engine.ChunkTokens)
	}
	perChunk := o.Engine.ChunkTokens / s.BlockTokens
	room := int64(poolBytes)
	if o.DeviceBytes > 0 {
		room = min(room, o.DeviceBytes)
	}
	room /= o.chunkBytes()
	return perChunk * max(longest, min(longest*o.Concurrency, int(room)))
}

// Engine is the engine that runs the trace. It works until Close.
func (d *Driver) Engine() *lmcache.Engine { return d.engine }

// Close frees everything. It is idempotent and works on a driver that Open could
// not complete. The error says what was still in use.
func (d *Driver) Close(ctx context.Context) error {
	var errs []error
	if d.engine != nil {
		errs = append(errs, d.engine.Close(ctx))
	}
	if d.dev != nil {
		errs = append(errs, d.dev.Close())
		for _, v := range d.dev.Violations() {
			errs = append(errs, fmt.Errorf("workload: misuse of the device: %s", v))
		}
	}
	if d.heard != nil {
		d.heard.Close()
	}
	if d.ownBus {
		errs = append(errs, d.bus.Close(ctx))
	}
	return errors.Join(errs...)
}
