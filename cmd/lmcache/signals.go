package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"github.com/lmcache-go/lmcache/internal/cli"
)

// withSignals returns a context that the first SIGINT or SIGTERM cancels with a
// *cli.InterruptedError as its cause. The second ends the process at once with the
// exit code of its kind. stop gives the signals back and waits for the
// goroutine behind.
func withSignals(parent context.Context) (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(parent)
	signals, quit := make(chan os.Signal, 2), make(chan struct{})
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	var wg sync.WaitGroup
	wg.Go(func() { watchSignals(signals, quit, cancel, os.Exit) })
	return ctx, sync.OnceFunc(func() {
		signal.Stop(signals)
		close(quit)
		wg.Wait()
		cancel(context.Canceled)
	})
}

// interrupted is how a command ends that has shown what it did until its context ended:
// after a signal with its exit code and no further word.
func interrupted(ctx context.Context) error {
	if signal, ok := errors.AsType[*cli.InterruptedError](context.Cause(ctx)); ok {
		return &cli.ExitError{Code: signal.ExitCode()}
	}
	return ctx.Err()
}

// watchSignals cancels on the first signal and exits on the second.
func watchSignals(signals <-chan os.Signal, quit <-chan struct{}, cancel context.CancelCauseFunc, exit func(int)) {
	for first := true; ; first = false {
		select {
		case s := <-signals:
			i := &cli.InterruptedError{Signal: s}
			if !first {
				exit(i.ExitCode())
				return
			}
			cancel(i)
		case <-quit:
			return
		}
	}
}
