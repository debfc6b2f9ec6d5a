package lmcache

import (
	"errors"
	"fmt"
	"log/slog"

	"github.com/lmcache-go/lmcache/eventbus"
	"github.com/lmcache-go/lmcache/internal/runtime"
	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/storage"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// Defaults and limits of Options.
const (
	DefaultChunkTokens = 256
	MaxChunkTokens     = 65536
)

// Options configures an Engine. L1.Bytes is required, every other zero value
// means its default.
type Options struct {
	ChunkTokens   int        // tokens per chunk (256); servers that share tiers must agree on it
	HashAlgorithm string     // "blake3", "sha256_cbor" or "builtin" ("blake3")
	HashSeed      string     // seed text of sha256_cbor
	L1            l1.Options // host memory

	// SeparateObjectGroups makes layers with different attention windows different
	// objects, so that a retrieve loads of each only what its window needs.
	SeparateObjectGroups bool

	Bus     *eventbus.Bus   // gets all events; nil: nobody does. Its owner closes it, after the engine
	Logger  *slog.Logger    // nil: no logs
	Runtime runtime.Runtime // time and timers; nil: live
}

func (o Options) withDefaults() Options {
	if o.ChunkTokens == 0 {
		o.ChunkTokens = DefaultChunkTokens
	}
	if o.HashAlgorithm == "" {
		o.HashAlgorithm = kv.BLAKE3
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// Validate reports all problems of o at once; nil if there is none.
func (o Options) Validate() error {
	o = o.withDefaults()
	var errs []error
	if o.ChunkTokens < 1 || o.ChunkTokens > MaxChunkTokens {
		errs = append(errs, fmt.Errorf("lmcache: ChunkTokens: must be between 1 and %d, got %d", MaxChunkTokens, o.ChunkTokens))
	}
	if _, err := kv.NewHasher(o.HashAlgorithm, o.HashSeed); err != nil {
		errs = append(errs, fmt.Errorf("lmcache: HashAlgorithm: %w", err))
	}
	errs = append(errs, o.storage().Validate())
	return errors.Join(errs...)
}

func (o Options) storage() storage.Options {
	return storage.Options{L1: o.L1, Bus: o.Bus, Logger: o.Logger, Runtime: o.Runtime}
}
