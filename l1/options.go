package l1

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/lmcache-go/lmcache/eventbus"
	"github.com/lmcache-go/lmcache/internal/runtime"
	"github.com/lmcache-go/lmcache/l1/internal/pool"
	"github.com/lmcache-go/lmcache/l1/policy"
)

// Defaults of Options.
const (
	DefaultAlign    = 4096
	DefaultWriteTTL = 600 * time.Second
	DefaultReadTTL  = 300 * time.Second
	DefaultPolicy   = "LRU"
	DefaultMode     = ModeExact

	// DefaultWatermark and DefaultEvictionRatio are those of ModeWatermark.
	DefaultWatermark     = 0.8
	DefaultEvictionRatio = 0.2

	// NoEvictionRatio as EvictionRatio lets rounds evict nothing.
	NoEvictionRatio = -1

	DefaultInitBytes = 20 << 30
	DefaultShmMode   = fs.FileMode(0o600)

	minAlign = 64
	maxAlign = 2 << 20

	maxShmName = 255 // of a file
)

// Options configures a Manager. Bytes is required, every other zero value means
// its default: private memory that is made ready in the background.
type Options struct {
	Bytes    int64           // capacity in bytes, rounded up to Align
	Align    int             // of objects in bytes; a power of two from 64 to 2 MiB (4096)
	WriteTTL time.Duration   // of write leases (600 s)
	ReadTTL  time.Duration   // of read leases (300 s)
	Policy   string          // eviction policy ("LRU"); with NewPolicy the name that is shown
	Mode     Mode            // when objects are evicted (ModeExact)
	Bus      *eventbus.Bus   // gets the events of this package; nil: nobody does
	Logger   *slog.Logger    // nil: no logs
	Runtime  runtime.Runtime // time and timers; nil: live. Only a live one has memory made ready in the background

	// Lapsed hears of reservations with a Tag whose time was over: at once if their
	// manager has nothing to do, else as soon as that lets go of its mutex, or within
	// Lapse. It may be called by several goroutines at a time; it must be short, and
	// not call the manager. nil: nobody does.
	Lapsed func(Lapse)

	// Watermark is the part of the capacity at which a round of background eviction
	// begins, above 0 and up to 1 (0.8); EvictionRatio the part of the bytes of all
	// objects that a round evicts, up to 1 (0.2). Both are of ModeWatermark only.
	Watermark     float64
	EvictionRatio float64

	// Quotas are the limits of tenants in bytes at the beginning, by salt. They need
	// a policy that tells tenants apart, as IsolatedLRU.
	Quotas map[string]int64

	// NewPolicy makes the eviction policy, if it is none of policy.Names. It keeps
	// what policytest.Run checks. One that does not is replaced by LRU when that
	// shows.
	NewPolicy func() policy.Policy

	NoBytes   bool                    // hand out offsets without memory; all buffers are nil
	InitBytes int64                   // committed at the start, in steps of 64 MiB; the rest follows in the background (20 GiB)
	Eager     bool                    // everything is committed and populated at the start
	HugePages bool                    // pages of 2 MiB that the administrator has set aside; implies Eager; not with ShmName
	ShmName   string                  // puts the memory into a segment of shared memory; see ShmNamePrefix. "auto": named by the process id
	ShmMode   fs.FileMode             // of the segment: 0600, 0660 or 0666 (0600)
	ShmDir    string                  // where segments are ("/dev/shm")
	Progress  func(done, total int64) // hears, on the goroutine of Open, how many bytes of Eager memory are ready

	machine fs.FS                 // root of /proc and /sys; nil: this machine's
	piece   int64                 // bytes in which memory is committed; 0: 64 MiB
	fault   func(pool.Step) error // fails what it returns an error for
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
	switch {
	case o.Policy != "":
	case o.NewPolicy != nil:
		o.Policy = "custom"
	default:
		o.Policy = DefaultPolicy
	}
	if o.Mode == "" {
		o.Mode = DefaultMode
	}
	if o.Mode == ModeWatermark {
		if o.Watermark == 0 {
			o.Watermark = DefaultWatermark
		}
		if o.EvictionRatio == 0 {
			o.EvictionRatio = DefaultEvictionRatio
		}
	}
	if o.InitBytes == 0 {
		o.InitBytes = DefaultInitBytes
	}
	if o.ShmMode == 0 {
		o.ShmMode = DefaultShmMode
	}
	if o.ShmDir == "" {
		o.ShmDir = pool.DefaultDir
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
	} else if most := math.MaxUint32 * int64(o.Align); o.Bytes > most {
		bad("Bytes: must be at most %d with an Align of %d, got %d", most, o.Align, o.Bytes)
	}
	if o.WriteTTL < 0 {
		bad("WriteTTL: must be positive, got %v", o.WriteTTL)
	}
	if o.ReadTTL < 0 {
		bad("ReadTTL: must be positive, got %v", o.ReadTTL)
	}
	if o.InitBytes < 0 {
		bad("InitBytes: must not be negative, got %d", o.InitBytes)
	}
	if name := SegmentName(o.ShmName); strings.ContainsAny(name, "/\x00") || len(name) > maxShmName {
		bad("ShmName: must be at most %d bytes without a slash, got %q", maxShmName-len(ShmNamePrefix), o.ShmName)
	}
	if m := o.ShmMode; m != 0o600 && m != 0o660 && m != 0o666 {
		bad("ShmMode: must be 0600, 0660 or 0666, got %#o", uint32(m))
	}
	if o.HugePages && o.ShmName != "" {
		bad("HugePages: not possible in shared memory (ShmName %q)", o.ShmName)
	}
	if o.NoBytes && (o.ShmName != "" || o.HugePages) {
		bad("NoBytes: there is no memory to share or to have in huge pages")
	}
	p, err := o.policy()
	switch {
	case err == nil:
	case o.NewPolicy == nil:
		bad("Policy: %w", err)
	default:
		bad("NewPolicy: %w", err)
	}
	o.validateEviction(bad)
	for _, salt := range slices.Sorted(maps.Keys(o.Quotas)) {
		if err := checkQuota(salt, o.Quotas[salt]); err != nil {
			bad("Quotas: %w", err)
		}
	}
	if len(o.Quotas) > MaxQuotas {
		bad("Quotas: got %d, the limit is %d", len(o.Quotas), MaxQuotas)
	}
	if _, ok := p.(policy.Isolating); p != nil && !ok && len(o.Quotas) > 0 {
		bad("Quotas: %w, got %s", ErrQuotaUnsupported, o.Policy)
	}
	return errors.Join(errs...)
}

// policy makes an empty policy.
func (o Options) policy() (policy.Policy, error) {
	if o.NewPolicy == nil {
		return policy.New(o.Policy)
	}
	if slices.Contains(policy.Names(), o.Policy) {
		return nil, fmt.Errorf("cannot be combined with the policy %s; choose another name", o.Policy)
	}
	p := o.NewPolicy()
	if p == nil {
		return nil, errors.New("it returned nil")
	}
	return p, nil
}

// validateEviction checks when objects are evicted. What could not take effect is
// refused.
func (o Options) validateEviction(bad func(string, ...any)) {
	switch o.Mode {
	case ModeExact:
		if o.Watermark != 0 {
			bad("Watermark: takes effect with the mode %s only, got %v with %s", ModeWatermark, o.Watermark, o.Mode)
		}
		if o.EvictionRatio != 0 {
			bad("EvictionRatio: takes effect with the mode %s only, got %v with %s", ModeWatermark, o.EvictionRatio, o.Mode)
		}
	case ModeWatermark:
		if o.Policy == policyNoop {
			bad("Mode: %s has no effect with the policy %s, which evicts nothing", o.Mode, o.Policy)
		}
		if !(o.Watermark > 0 && o.Watermark <= 1) { // NaN is refused too
			bad("Watermark: must be above 0 and at most 1, got %v", o.Watermark)
		}
		if r := o.EvictionRatio; r != NoEvictionRatio && !(r > 0 && r <= 1) {
			bad("EvictionRatio: must be above 0 and at most 1, or NoEvictionRatio, got %v", r)
		}
	default:
		bad("Mode: must be %s or %s, got %q", ModeExact, ModeWatermark, o.Mode)
	}
}
