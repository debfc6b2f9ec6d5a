package workload

import (
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/lmcache-go/lmcache"
	"github.com/lmcache-go/lmcache/gpu"
	"github.com/lmcache-go/lmcache/internal/mooncake"
	"github.com/lmcache-go/lmcache/l1"
)

// Defaults of Options.
const (
	DefaultChunkTokens   = 512
	DefaultBlockTokens   = 512
	DefaultBytesPerToken = 1024
	DefaultL1Bytes       = 1 << 30
)

const (
	maxBytesPerToken = 1 << 20
	maxConcurrency   = 1024
)

// Options says what to run. Every zero value means its default.
type Options struct {
	Name           string             // of the trace, in the result (mooncake.BuiltinName)
	Requests       []mooncake.Request // to run, in order; see Load
	BlockTokens    int                // per hash id of the requests; multiple or divisor of the chunk size (512)
	BytesPerToken  int                // of KV cache; even (1024)
	CapacityChunks int64              // size of L1 in chunks, in place of Engine.L1.Bytes
	Concurrency    int                // requests in flight, up to 1024; with 1 the counts depend on the options alone (1)
	Speed          float64            // start requests at their times divided by this; 0: as soon as the one before is done
	Seed           uint64             // of the bytes
	NoVerify       bool               // do not check retrieved bytes
	NoOptimal      bool               // do not compute the bound
	DeviceBytes    int64              // memory that the device may take; 0: no limit

	// Engine configures the engine, with chunks of 512 tokens and 1 GiB of memory
	// by default. If it has no bus, the driver makes one.
	Engine lmcache.Options

	// Progress is called after each request with how many are done, one call at a
	// time. Nil: nobody asks.
	Progress func(done int)

	wrap func(gpu.Backend) gpu.Backend // for tests: what the worker gets in place of the device
}

// Load reads the first limit requests of a trace, all if limit is 0, whose hash
// ids stand for blockTokens tokens each. The error names the line.
func Load(r io.Reader, blockTokens, limit int) ([]mooncake.Request, error) {
	var list []mooncake.Request
	for request, err := range mooncake.Read(r, blockTokens) {
		if err != nil {
			return nil, err
		}
		if list = append(list, request); len(list) == limit {
			break
		}
	}
	return list, nil
}

func (o Options) withDefaults() Options {
	if o.Name == "" {
		o.Name = mooncake.BuiltinName
	}
	if o.BlockTokens == 0 {
		o.BlockTokens = DefaultBlockTokens
	}
	if o.BytesPerToken == 0 {
		o.BytesPerToken = DefaultBytesPerToken
	}
	if o.Concurrency == 0 {
		o.Concurrency = 1
	}
	if o.Engine.ChunkTokens == 0 {
		o.Engine.ChunkTokens = DefaultChunkTokens
	}
	if o.Engine.Logger == nil {
		o.Engine.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Engine.L1.Policy == "" {
		o.Engine.L1.Policy = l1.DefaultPolicy
	}
	if len(o.Engine.Tiers) > 0 {
		o.NoOptimal = true // the bound is one of L1 alone
	}
	if o.Engine.L1.Align == 0 {
		o.Engine.L1.Align = l1.DefaultAlign
	}
	switch {
	case o.CapacityChunks > 0:
		o.Engine.L1.Bytes = o.CapacityChunks * o.physicalBytes()
	case o.Engine.L1.Bytes == 0:
		o.Engine.L1.Bytes = DefaultL1Bytes
	}
	return o
}

// Validate reports all problems of o at once; nil if there is none.
func (o Options) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf("workload: "+format, args...)) }
	if o.CapacityChunks < 0 {
		bad("CapacityChunks: must be positive, got %d", o.CapacityChunks)
	}
	if o.CapacityChunks > 0 && o.Engine.L1.Bytes > 0 {
		bad("CapacityChunks: excludes Engine.L1.Bytes")
	}
	if o.BlockTokens < 0 || o.BlockTokens > mooncake.MaxTokens {
		bad("BlockTokens: must be between 1 and %d, got %d", mooncake.MaxTokens, o.BlockTokens)
	}
	if o.BytesPerToken < 0 || o.BytesPerToken > maxBytesPerToken || o.BytesPerToken%2 != 0 {
		bad("BytesPerToken: must be even and between 2 and %d, got %d", maxBytesPerToken, o.BytesPerToken)
	}
	if o.Concurrency < 0 || o.Concurrency > maxConcurrency {
		bad("Concurrency: must be between 1 and %d, got %d", maxConcurrency, o.Concurrency)
	}
	if o.Speed < 0 {
		bad("Speed: must be positive, got %v", o.Speed)
	}
	if o.DeviceBytes < 0 {
		bad("DeviceBytes: must be positive, got %d", o.DeviceBytes)
	}
	if len(errs) > 0 {
		return errors.Join(errs...)
	}
	limit := int64(1<<63-1) / (maxBytesPerToken * lmcache.MaxChunkTokens * 2)
	if o.CapacityChunks > limit {
		bad("CapacityChunks: must be at most %d, got %d", limit, o.CapacityChunks)
		o.CapacityChunks = 0
	}
	o = o.withDefaults()
	if err := o.Engine.Validate(); err != nil {
		errs = append(errs, err)
	} else if block, chunk := o.BlockTokens, o.Engine.ChunkTokens; block%chunk != 0 && chunk%block != 0 {
		bad("BlockTokens: must be a multiple or a divisor of the chunk size %d, got %d", chunk, block)
	}
	return errors.Join(errs...)
}

// L1Bytes is the size of L1 that follows from the options.
func (o Options) L1Bytes() int64 { return o.withDefaults().Engine.L1.Bytes }

// chunkBytes is the size of an object.
func (o Options) chunkBytes() int64 { return int64(o.BytesPerToken) * int64(o.Engine.ChunkTokens) }

// physicalBytes is what an object takes in L1.
func (o Options) physicalBytes() int64 {
	align := int64(o.Engine.L1.Align)
	return (o.chunkBytes() + align - 1) / align * align
}
