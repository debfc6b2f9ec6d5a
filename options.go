package lmcache

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"time"

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

	DefaultMaxSessions       = 100_000
	DefaultSessionBytes      = 1 << 30
	DefaultRegistrationGrace = 3600 * time.Second
	MinReapTimeout           = 30 * time.Second
)

// Options configures an Engine. L1.Bytes is required, every other zero value
// means its default.
type Options struct {
	ChunkTokens   int        // tokens per chunk (256); servers that share tiers must agree on it
	HashAlgorithm string     // "blake3", "sha256_cbor" or "builtin" ("blake3")
	HashSeed      string     // seed text of sha256_cbor
	L1            l1.Options // host memory

	Tiers        []storage.Tier          // outer tiers behind L1, in order of preference; the engine closes their adapters
	Store        storage.StoreOptions    // what goes to them
	Prefetch     storage.PrefetchControl // what comes from them, and how long a lookup waits for it
	DrainTimeout time.Duration           // how long Close waits for stores that are queued or run (30 s); negative: not at all

	// SeparateObjectGroups makes layers with different attention windows different
	// objects, so that a retrieve loads of each only what its window needs.
	SeparateObjectGroups bool

	Bus     *eventbus.Bus   // gets all events; nil: nobody does. Its owner closes it, after the engine
	Logger  *slog.Logger    // nil: no logs
	Runtime runtime.Runtime // time and timers; nil: live

	SessionTTL   time.Duration // idle time after which a session lets go of what it holds; 0: never
	MaxSessions  int           // the longest unused ones go beyond it (100,000)
	SessionBytes int64         // of tokens and hashes that sessions keep to hash a prompt once (1 GiB)

	ReapTimeout       time.Duration // of remote workers that have pinged and are silent; 0: never, else at least 30 s
	RegistrationGrace time.Duration // of those that have never pinged; at least ReapTimeout (3600 s, or ReapTimeout if that is longer)
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
	if o.MaxSessions == 0 {
		o.MaxSessions = DefaultMaxSessions
	}
	if o.SessionBytes == 0 {
		o.SessionBytes = DefaultSessionBytes
	}
	if o.RegistrationGrace == 0 {
		o.RegistrationGrace = max(DefaultRegistrationGrace, o.ReapTimeout)
	}
	o.L1.ReadTTL = cmp.Or(o.L1.ReadTTL, l1.DefaultReadTTL)
	o.L1.WriteTTL = cmp.Or(o.L1.WriteTTL, l1.DefaultWriteTTL)
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
	bad := func(field, format string, args ...any) {
		errs = append(errs, fmt.Errorf("lmcache: %s: %w", field, fmt.Errorf(format, args...)))
	}
	if o.SessionTTL < 0 {
		bad("SessionTTL", "must not be negative, got %v", o.SessionTTL)
	}
	if o.MaxSessions < 0 {
		bad("MaxSessions", "must be positive, got %d", o.MaxSessions)
	}
	if o.SessionBytes < 0 {
		bad("SessionBytes", "must be positive, got %d", o.SessionBytes)
	}
	if o.ReapTimeout != 0 && o.ReapTimeout < MinReapTimeout {
		bad("ReapTimeout", "must be 0 or at least %v, got %v", MinReapTimeout, o.ReapTimeout)
	}
	if o.RegistrationGrace < o.ReapTimeout {
		bad("RegistrationGrace", "must be at least ReapTimeout, %v, got %v", o.ReapTimeout, o.RegistrationGrace)
	}
	errs = append(errs, o.storage().Validate())
	return errors.Join(errs...)
}

func (o Options) storage() storage.Options {
	return storage.Options{
		L1: o.L1, Bus: o.Bus, Logger: o.Logger, Runtime: o.Runtime,
		Tiers: o.Tiers, Store: o.Store, Prefetch: o.Prefetch, DrainTimeout: o.DrainTimeout,
	}
}
