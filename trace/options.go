package trace

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/lmcache-go/lmcache/eventbus"
)

// Defaults of Options.
const (
	DefaultQueue = 65536

	// WaitLimit is how long a call waits for room in the queue.
	WaitLimit = 100 * time.Millisecond
)

// Options configures a Recorder. The zero value records to a file of its own in the
// directory for temporary files, in the extended format, without loss.
type Options struct {
	Path     string       // of the file, which is overwritten; empty: DefaultPath, which must not exist yet
	Queue    int          // calls and outcomes that may wait to be written (65536)
	Drop     bool         // lose a call at once when the queue is full, in place of after WaitLimit
	Format   Format       // Extended
	Args     Args         // ArgsDocumented
	MaxBytes int64        // begin a new file before one is larger; 0: never
	MaxFiles int          // keep so many files, the newest; 0: all. It needs MaxBytes
	Config   string       // of the storage manager, as JSON, for the header; see Config. It must not hold secrets
	Writer   string       // name and version of the program, for the header of the extended format ("lmcache-go")
	Start    time.Time    // begin of the recording by the storage manager's clock; zero: now
	Logger   *slog.Logger // nil: no logs

	files files // nil: the operating system's
}

// DefaultPath is the file of a recording that was given none.
func DefaultPath(now time.Time) string {
	return filepath.Join(os.TempDir(), fmt.Sprintf("lmcache-trace-%d-%s.lct", os.Getpid(), now.UTC().Format("20060102-150405")))
}

func (o Options) withDefaults() Options {
	if o.Queue == 0 {
		o.Queue = DefaultQueue
	}
	if o.Writer == "" {
		o.Writer = "lmcache-go"
	}
	if o.Start.IsZero() {
		o.Start = time.Now()
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.files == nil {
		o.files = systemFiles{}
	}
	return o
}

// Validate reports all problems of o at once; nil if there is none.
func (o Options) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf("trace: "+format, args...)) }
	if o.Queue < 0 {
		bad("Queue: must be positive, got %d", o.Queue)
	}
	if o.Format > Plain {
		bad("Format: must be Extended or Plain, got %d", o.Format)
	}
	if o.Args > Args056 {
		bad("Args: must be ArgsDocumented or Args056, got %d", o.Args)
	}
	if o.MaxBytes < 0 {
		bad("MaxBytes: must not be negative, got %d", o.MaxBytes)
	}
	if o.MaxFiles < 0 {
		bad("MaxFiles: must not be negative, got %d", o.MaxFiles)
	}
	if o.MaxFiles > 0 && o.MaxBytes == 0 {
		bad("MaxFiles: has no effect without MaxBytes")
	}
	return errors.Join(errs...)
}

// overflow is what the queue does when it is full.
func (o *Options) overflow() eventbus.Overflow {
	if o.Drop {
		return eventbus.Drop
	}
	return eventbus.Wait(WaitLimit)
}
