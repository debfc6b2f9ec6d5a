package l1bench

import (
	"errors"
	"fmt"
	"time"

	"github.com/lmcache-go/lmcache/eventbus"
	"github.com/lmcache-go/lmcache/l1"
)

// Mix says which parts are measured.
type Mix string

// Mixes.
const (
	Both  Mix = "both"
	Store Mix = "store" // publish, reserve_finish, store
	Read  Mix = "read"  // lookup, retrieve
)

// Options says what is measured.
type Options struct {
	ObjectBytes int64
	Keys        int // distinct keys that are stored in turn
	Batch       int // keys of a call
	Threads     int
	Duration    time.Duration // of each part
	Mix         Mix
	L1          l1.Options // Bytes is required; Bus, Logger and Runtime are set by Run

	// Events, if not nil, returns a bus with subscribers and a function that closes
	// both. Each part is then measured with and without it.
	Events func() (*eventbus.Bus, func() error, error)

	Progress func(done time.Duration) // of Total; called now and then; may be nil
}

// Total is how long all parts are measured.
func (o *Options) Total() time.Duration { return time.Duration(len(o.parts())) * o.Duration }

// parts are those of the mix.
func (o *Options) parts() (list []part) {
	for _, p := range parts {
		if o.Mix == Both || o.Mix == p.mix {
			list = append(list, p)
		}
	}
	return list
}

// objects is how many objects L1 holds.
func (o *Options) objects() int {
	align := int64(o.L1.Align)
	if align == 0 {
		align = l1.DefaultAlign
	}
	return int(o.L1.Bytes / ((o.ObjectBytes + align - 1) / align * align))
}

// Validate reports all problems of o at once.
func (o *Options) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf("l1bench: "+format, args...)) }
	for _, f := range []struct {
		name string
		n    int64
	}{{"ObjectBytes", o.ObjectBytes}, {"Keys", int64(o.Keys)}, {"Batch", int64(o.Batch)}, {"Threads", int64(o.Threads)}, {"Duration", int64(o.Duration)}} {
		if f.n <= 0 {
			bad("%s: must be positive, got %d", f.name, f.n)
		}
	}
	if len(errs) > 0 {
		return errors.Join(errs...)
	}
	if o.Mix != Both && o.Mix != Store && o.Mix != Read {
		bad("Mix: must be store, read or both, got %q", o.Mix)
	}
	if o.Keys < o.Batch {
		bad("Keys: must be at least one batch of %d, got %d", o.Batch, o.Keys)
	}
	if err := o.L1.Validate(); err != nil {
		errs = append(errs, err)
	} else if need, have := o.Batch*(o.Threads+1), o.objects(); need > have {
		bad("L1.Bytes: must hold a batch of %d objects for each thread and one more, %d objects, got room for %d", o.Batch, need, have)
	}
	return errors.Join(errs...)
}
