//go:build unix

package top

import (
	"os"
	"os/signal"
	"sync"
	"syscall"
)

// notifyResize tells to that the terminal has another size, until stop.
func notifyResize(to chan<- struct{}) (stop func()) {
	signals, quit := make(chan os.Signal, 1), make(chan struct{})
	signal.Notify(signals, syscall.SIGWINCH)
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-signals:
				select {
				case to <- struct{}{}:
				default: // the last one was not seen yet
				}
			case <-quit:
				return
			}
		}
	})
	return func() {
		signal.Stop(signals)
		close(quit)
		wg.Wait()
	}
}
