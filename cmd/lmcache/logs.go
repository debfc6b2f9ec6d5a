package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/lmcache-go/lmcache/internal/cli/flags"
	"github.com/lmcache-go/lmcache/observe"
)

// logs are the subscribers that write lines, and the file of the request log. The zero
// value has none.
type logs struct {
	debug *observe.Logs
	file  *observe.RotatingFile
}

// openLogs subscribes what the flags ask for. A request log without a file goes to
// stdout.
func (o *observability) openLogs(f *flags.Observability, log *slog.Logger, stdout io.Writer) (err error) {
	if f.Disable {
		return nil
	}
	l := &o.logs
	if !f.DisableLogging {
		if l.debug, err = observe.StartLogs(o.bus, log); err != nil {
			return err
		}
	}
	to := stdout
	switch f.RequestLog {
	case "":
		return nil
	case "-":
	default:
		l.file, err = observe.OpenRotatingFile(f.RequestLog, observe.RotatingFileOptions{
			MaxSize: f.RequestLogMaxSize, MaxFiles: f.RequestLogMaxFiles,
		})
		if err != nil {
			return fmt.Errorf("--request-log: %w", err)
		}
		to = l.file
	}
	requests, err := observe.NewRequestLog(to, observe.RequestLogOptions{Queue: f.QueueSize, Logger: log})
	if err != nil {
		return err
	}
	_, err = o.bus.Subscribe(requests)
	return err
}

// close ends what is open, given how the bus was closed: if something still runs on
// it, the file is left to the end of the process.
func (l *logs) close(busErr error) error {
	err := errors.Join(busErr, l.debug.Close())
	if l.file != nil && busErr == nil {
		err = errors.Join(err, l.file.Close())
	}
	return err
}
