package convert

import (
	"errors"
	"fmt"

	"github.com/lmcache-go/lmcache/storage/kv"
	"github.com/lmcache-go/lmcache/trace"
)

// Defaults of Options.
const (
	DefaultBlockTokens   = 512
	DefaultChunkTokens   = 512
	DefaultBytesPerToken = 1024
	DefaultModel         = "workload"
)

// Limits of Options.
const (
	MaxTokens        = 65536   // per block or chunk
	MaxBytesPerToken = 1 << 20 // of KV cache
)

// Options configures FromRequests. The zero value has the defaults of the benchmark
// "lmcache bench workload", whose keys it makes.
type Options struct {
	BlockTokens   int          // tokens per id (512)
	ChunkTokens   int          // tokens per chunk (512)
	BytesPerToken int          // bytes of KV cache per token (1024)
	Model         string       // of the keys ("workload")
	HashAlgorithm string       // of kv.Algorithms; empty: the default
	Reads         bool         // also read what was found
	Limit         int64        // requests; 0: all
	Format        trace.Format // trace.Extended
	Args          trace.Args   // trace.ArgsDocumented
	Name          string       // name and version of the program, for the header
}

func (o Options) withDefaults() Options {
	if o.BlockTokens == 0 {
		o.BlockTokens = DefaultBlockTokens
	}
	if o.ChunkTokens == 0 {
		o.ChunkTokens = DefaultChunkTokens
	}
	if o.BytesPerToken == 0 {
		o.BytesPerToken = DefaultBytesPerToken
	}
	if o.Model == "" {
		o.Model = DefaultModel
	}
	return o
}

// errNoWarm says that the lookups of FromRequests have no form.
var errNoWarm = errors.New("convert: Format: the documented form of Plain cannot say that a lookup leases nothing; set Reads, or Args to Args056")

// Validate reports all problems of o at once; nil if there is none.
func (o Options) Validate() error {
	o = o.withDefaults()
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf("convert: "+format, args...)) }
	within := func(name string, n, limit int) {
		if n < 1 || n > limit {
			bad("%s: must be between 1 and %d, got %d", name, limit, n)
		}
	}
	within("BlockTokens", o.BlockTokens, MaxTokens)
	within("ChunkTokens", o.ChunkTokens, MaxTokens)
	within("BytesPerToken", o.BytesPerToken, MaxBytesPerToken)
	if err := kv.ValidateModel(o.Model); err != nil {
		bad("Model: %w", err)
	}
	if _, err := kv.NewHasher(o.HashAlgorithm, ""); err != nil {
		bad("HashAlgorithm: %w", err)
	}
	if o.Limit < 0 {
		bad("Limit: must not be negative, got %d", o.Limit)
	}
	if o.Format > trace.Plain || o.Args > trace.Args056 {
		bad("Format, Args: unknown")
	}
	if o.Format == trace.Plain && o.Args == trace.ArgsDocumented && !o.Reads {
		errs = append(errs, errNoWarm)
	}
	return errors.Join(errs...)
}
