package l1

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/lmcache-go/lmcache/eventbus"
	"github.com/lmcache-go/lmcache/internal/runtime"
	"github.com/lmcache-go/lmcache/l1/policy"
)

// Defaults of Options.
const (
	DefaultAlign    = 4096
	DefaultWriteTTL = 600 * time.Second
	DefaultReadTTL  = 300 * time.Second
	DefaultPolicy   = "LRU"

	minAlign = 64
	maxAlign = 2 << 20
)

// Options configures a Manager. Bytes is required, every other zero value means
// its default.
type Options struct {
	Bytes    int64           // capacity in bytes, rounded up to Align
	Align    int             // of objects in bytes; a power of two from 64 to 2 MiB (4096)
	WriteTTL time.Duration   // of write leases (600 s)
	ReadTTL  time.Duration   // of read leases (300 s)
	Policy   string          // eviction policy ("LRU")
	NoBytes  bool            // hand out offsets without memory; all buffers are nil
	Bus      *eventbus.Bus   // gets the events of this package; nil: nobody does
	Logger   *slog.Logger    // nil: no logs
	Runtime  runtime.Runtime // time and timers; nil: live
}

func (o Options) withDefaults() Options {
	if o.Align == 0 {
		o.Align = DefaultAlign
	}
	if o.WriteTTL == 0 {
		o.WriteTTL = DefaultWriteTTL
	}
	if o.ReadTTL == 0 {
		o.ReadTTL = DefaultReadTTL
	}
	if o.Policy == "" {
		o.Policy = DefaultPolicy
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
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf("l1: "+format, args...)) }
	if o.Bytes <= 0 {
		bad("Bytes: must be positive, got %d", o.Bytes)
	}
	if o.Align < minAlign || o.Align > maxAlign || o.Align&(o.Align-1) != 0 {
		bad("Align: must be a power of two from %d to %d, got %d", minAlign, maxAlign, o.Align)
	}
	if o.WriteTTL < 0 {
		bad("WriteTTL: must be positive, got %v", o.WriteTTL)
	}
	if o.ReadTTL < 0 {
		bad("ReadTTL: must be positive, got %v", o.ReadTTL)
	}
	if _, err := policy.New(o.Policy); err != nil {
		bad("Policy: %w", err)
	}
	return errors.Join(errs...)
}
