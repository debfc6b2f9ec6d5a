package export

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// warnInterval is how often one destination may complain.
const warnInterval = time.Minute

// errCut ends exports that are in flight when a shutdown has reached its deadline.
var errCut = errors.New("shut down")

// delivery stands between the SDK and one exporter. What the exporter fails to do
// is counted and logged at most once a minute, and never becomes an error of the
// SDK, which would give it to a global handler. It is safe for concurrent use.
type delivery struct {
	what, to  string // "metrics" to "http://host:4317"
	log       *slog.Logger
	cut       context.CancelCauseFunc
	gone      func() error                      // errCut after cut
	onCut     func(f func()) (stop func() bool) // context.AfterFunc of what cut ends
	delivered atomic.Uint64                     // batches
	failed    atomic.Uint64
	items     atomic.Uint64 // in batches that were delivered or failed
	lost      atomic.Uint64 // in batches that failed
	mu        struct {
		sync.Mutex
		warned     time.Time
		unreported uint64
		last       error
	}
}

func newDelivery(what, to string, log *slog.Logger) *delivery {
	ctx, cut := context.WithCancelCause(context.Background()) //nolint:forbidigo // it lives as long as the exporter
	return &delivery{
		what: what, to: to, log: log, cut: cut,
		gone:  func() error { return context.Cause(ctx) },
		onCut: func(f func()) func() bool { return context.AfterFunc(ctx, f) },
	}
}

// do exports n items.
func (d *delivery) do(ctx context.Context, n int, export func(context.Context) error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer d.onCut(func() { cancel(errCut) })()
	if err := d.gone(); err != nil { // onCut takes a moment
		cancel(err)
	}
	d.count(n, guarded(ctx, export))
}

// guarded calls export; its panic is an error.
func guarded(ctx context.Context, export func(context.Context) error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("panic: %v", v)
		}
	}()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return export(ctx)
}

func (d *delivery) count(n int, err error) {
	d.items.Add(uint64(n))
	if err == nil {
		d.delivered.Add(1)
		return
	}
	d.failed.Add(1)
	d.lost.Add(uint64(n))
	now := time.Now()
	d.mu.Lock()
	d.mu.unreported++
	d.mu.last = err
	unreported := d.mu.unreported
	quiet := !d.mu.warned.IsZero() && now.Sub(d.mu.warned) < warnInterval
	if !quiet {
		d.mu.warned, d.mu.unreported = now, 0
	}
	d.mu.Unlock()
	if !quiet {
		d.warn(unreported, err)
	}
}

// report logs what failed since the last warning.
func (d *delivery) report() {
	d.mu.Lock()
	unreported, err := d.mu.unreported, d.mu.last
	d.mu.unreported = 0
	d.mu.Unlock()
	if unreported > 0 {
		d.warn(unreported, err)
	}
}

func (d *delivery) warn(unreported uint64, err error) {
	d.log.Warn(fmt.Sprintf("export: %d export(s) of %s to %s failed since the last message, %d in total: %v", unreported, d.what, d.to, d.failed.Load(), err),
		slog.String("to", d.to), slog.Uint64("failed", d.failed.Load()))
}

// Delivery is what has become of what was to be sent to one destination.
type Delivery struct {
	To        string // URL or file
	Delivered uint64 // batches
	Failed    uint64 // batches
	Lost      uint64 // spans or data points in batches that failed
}

func (d *delivery) stats() Delivery {
	return Delivery{To: d.to, Delivered: d.delivered.Load(), Failed: d.failed.Load(), Lost: d.lost.Load()}
}

// Limits of a shutdown.
const (
	shutdownLimit = 5 * time.Second
	cutGrace      = time.Second // for exports that were cut to notice
)

// shutdown ends a provider within shutdownLimit, or sooner if ctx ends. Exports
// still in flight then are cut, so that nothing is left running.
func shutdown(ctx context.Context, provider func(context.Context) error, all []*delivery) error {
	ctx, cancel := context.WithTimeout(ctx, shutdownLimit)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- provider(context.WithoutCancel(ctx)) }()
	err := wait(ctx, done, all)
	for _, d := range all {
		d.cut(errCut)
		d.report()
	}
	if err != nil {
		return fmt.Errorf("export: %w", err)
	}
	return nil
}

func wait(ctx context.Context, done <-chan error, all []*delivery) error {
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	for _, d := range all {
		d.cut(errCut)
	}
	grace := time.NewTimer(cutGrace)
	defer grace.Stop()
	select {
	case err := <-done:
		return err
	case <-grace.C: // a destination that cannot be interrupted, such as a pipe that nobody reads
		return errors.New("a destination does not let go; what it holds is lost")
	}
}
