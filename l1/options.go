package l1

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
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
	Policy   string          // eviction policy ("LRU")
	Bus      *eventbus.Bus   // gets the events of this package; nil: nobody does
	Logger   *slog.Logger    // nil: no logs
	Runtime  runtime.Runtime // time and timers; nil: live. Only a live one has memory made ready in the background

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
	if o.Policy == "" {
		o.Policy = DefaultPolicy
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
	if _, err := policy.New(o.Policy); err != nil {
		bad("Policy: %w", err)
	}
	return errors.Join(errs...)
}
