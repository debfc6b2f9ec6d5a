package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/lmcache-go/lmcache/internal/cli/flags"
	"github.com/lmcache-go/lmcache/observe"
	"github.com/lmcache-go/lmcache/observe/export"
)

// logs are the subscribers that write lines, the file of the request log, and what takes
// records to a collector. The zero value has none.
type logs struct {
	debug     *observe.Logs
	file      *observe.RotatingFile
	collected *export.Logs
	requests  *observe.RequestLog // nil: none
}

// openCollectedLogs lets the program's records go to a collector too, if the flags ask for it.
func (o *observability) openCollectedLogs(f *flags.Observability, level slog.Leveler) (err error) {
	oo := observe.Options{Disable: f.Disable, OTLPLogs: f.OTLPLogs, OTLPEndpoint: f.OTLPEndpoint}
	if id, ok := f.Instance(); ok {
		oo.InstanceID = &id
	}
	l := &o.logs
	if l.collected, err = export.OpenLogs(oo, export.Options{Logger: o.log, Sessions: o.sessions}); err != nil || l.collected == nil {
		return err
	}
	bridge, err := observe.NewLogBridge(l.collected.LoggerProvider(), observe.LogBridgeOptions{Level: level, Registry: o.sessions})
	if err != nil {
		return err
	}
	o.log = slog.New(slog.NewMultiHandler(o.log.Handler(), bridge))
	return nil
}

// openLogs subscribes what the flags ask for. A request log without a file goes to
// stdout.
func (o *observability) openLogs(f *flags.Observability, stdout io.Writer) (err error) {
	if f.Disable {
		return nil
	}
	l := &o.logs
	if !f.DisableLogging {
		if l.debug, err = observe.StartLogs(o.bus, o.log); err != nil {
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
	l.requests, err = observe.NewRequestLog(to, observe.RequestLogOptions{Queue: f.QueueSize, Logger: o.log})
	if err != nil {
		return err
	}
	_, err = o.bus.Subscribe(l.requests)
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
