package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/lmcache-go/lmcache"
	"github.com/lmcache-go/lmcache/eventbus"
	"github.com/lmcache-go/lmcache/gpu"
	"github.com/lmcache-go/lmcache/gpu/fake"
	"github.com/lmcache-go/lmcache/l1"
)

func main() {
	slow := filepath.Join(os.TempDir(), "slow-requests.log")
	if len(os.Args) > 1 {
		slow = os.Args[1]
	}
	if err := run(context.Background(), os.Stdout, slow, 10*time.Millisecond); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run serves two tenants, one that repeats itself and one that does not, and prints
// their hit ratios after each round. Requests that take longer than limit are written
// to the file named slow.
func run(ctx context.Context, out io.Writer, slow string, limit time.Duration) (err error) {
	file, err := os.OpenFile(slow, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600) //nolint:gosec // the user names it
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }() // after the bus
	bus := eventbus.New(eventbus.Options{})
	defer func() { err = errors.Join(err, bus.Close(ctx)) }() // after the engine
	ratio := &HitRatio{}
	for _, s := range []eventbus.Subscriber{ratio, &SlowRequests{To: file, Limit: limit}} {
		if _, err := bus.Subscribe(s); err != nil {
			return err
		}
	}
	device := fake.New(fake.Options{})
	defer func() { err = errors.Join(err, device.Close()) }()
	paged, err := device.NewPaged(gpu.Shape{Layers: 1, Blocks: 8, BlockTokens: 16, Heads: 1, HeadSize: 8, DType: "float16"})
	if err != nil {
		return err
	}
	engine, err := lmcache.Open(ctx, lmcache.Options{ChunkTokens: 32, L1: l1.Options{Bytes: 1 << 20}, Bus: bus})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, engine.Close(ctx)) }()
	worker, err := engine.Attach(lmcache.WorkerOptions{Model: "m", Backend: device, Cache: paged})
	if err != nil {
		return err
	}
	for round := range 5 {
		for tenant, seed := range map[string]int{"faithful": 0, "restless": round} {
			if err := serve(ctx, engine, worker, tenant, seed); err != nil {
				return err
			}
		}
		if err := bus.Flush(ctx); err != nil { // a real program prints every few seconds instead
			return err
		}
		if err := ratio.Print(out); err != nil {
			return err
		}
	}
	return nil
}

// serve runs one request.
func serve(ctx context.Context, engine *lmcache.Engine, worker *lmcache.Worker, tenant string, seed int) (err error) {
	prompt := make([]int32, 128)
	for i := range prompt {
		prompt[i] = int32(i)
	}
	prompt[40] += int32(seed) // what comes before is the same in each round
	table := [][]gpu.BlockID{{0, 1, 2, 3, 4, 5, 6, 7}}
	session := engine.Session(lmcache.Request{ID: tenant, Model: "m", Salt: tenant})
	defer func() { err = errors.Join(err, session.Close()) }()
	in, err := worker.Retrieve(ctx, session.Lookup(ctx, prompt), table, nil)
	if err != nil {
		return err
	}
	out, err := worker.Store(ctx, session, prompt, table, in)
	if err != nil {
		return err
	}
	return errors.Join(in.Wait(ctx), out.Wait(ctx))
}
