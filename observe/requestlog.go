package observe

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/lmcache-go/lmcache"
	"github.com/lmcache-go/lmcache/eventbus"
	"github.com/lmcache-go/lmcache/l1"
)

// Bounds of a request log.
const (
	DefaultRequestLogQueue    = 10_000
	DefaultRequestLogSessions = 10_000

	requestLogBuffer = 64 << 10    // bytes that are collected before they are written
	requestLogSteady = time.Minute // without a failure, after which an outage is over
)

// RequestLogOptions are the settings of a request log; the zero value is the default.
type RequestLogOptions struct {
	Queue    int          // events that may wait to be written; 0: DefaultRequestLogQueue
	Sessions int          // open sessions of which a trace id or evictions are remembered; 0: DefaultRequestLogSessions
	Logger   *slog.Logger // told of failed writes, once per outage and of its end; nil: nobody
}

// Validate returns everything that is wrong with o, or nil.
func (o RequestLogOptions) Validate() error {
	var errs []error
	if o.Queue < 0 {
		errs = append(errs, fmt.Errorf("queue %d: must be at least 1", o.Queue))
	}
	if o.Sessions < 0 {
		errs = append(errs, fmt.Errorf("sessions %d: must be at least 1", o.Sessions))
	}
	if len(errs) == 0 {
		return nil
	}
	return fmt.Errorf("observe: request log: %w", errors.Join(errs...))
}

// RequestLog is a subscriber that writes one JSON object per line for each session
// that has ended: lmcache.RequestReceipt with its time, the trace id of the request
// and the keys that were evicted on its behalf. It never writes tokens or KV bytes.
//
// It is isolated: the writer may be slow, and what finds no room in its queue meanwhile
// is dropped and counted by the bus. A failed write costs the lines that it was to
// write. Close it, or the bus, before the writer.
type RequestLog struct {
	w    io.Writer
	o    RequestLogOptions
	open sessionMemory
	buf  bytes.Buffer
	torn bool // the writer has the beginning of a line
	down outage

	lines, lost, failures, forgotten atomic.Uint64
}

// RequestLogStats is what became of the lines so far. Events that were dropped before
// they were lines are in eventbus.Stats.
type RequestLogStats struct {
	Lines     uint64 // written
	Lost      uint64 // not written, because the writer failed
	Failures  uint64 // of the writer
	Forgotten uint64 // sessions whose trace id and evictions were forgotten for lack of room
}

// NewRequestLog makes one that writes whole lines to w, several at once if they come
// fast, from one goroutine. It does not close w.
func NewRequestLog(w io.Writer, o RequestLogOptions) (*RequestLog, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if w == nil {
		return nil, errors.New("observe: request log: nil writer")
	}
	if o.Queue == 0 {
		o.Queue = DefaultRequestLogQueue
	}
	if o.Sessions == 0 {
		o.Sessions = DefaultRequestLogSessions
	}
	return &RequestLog{w: w, o: o, open: newSessionMemory(o.Sessions)}, nil
}

// Name is the name of the type.
func (*RequestLog) Name() string { return "RequestLog" }

// Subscribe asks for the events.
func (r *RequestLog) Subscribe(s *eventbus.Subscription) {
	s.Isolated(r.o.Queue, eventbus.Drop)
	eventbus.On(s, func(e lmcache.RequestStarted, _ time.Time) {
		if id := traceIDOf(e.TraceParent); id != "" {
			r.remember(e.SessionID).traceID = id
		}
	})
	eventbus.On(s, func(e l1.KeysEvicted, _ time.Time) {
		if e.Owner != "" {
			r.remember(e.Owner).evicted += len(e.Keys)
		}
	})
	eventbus.On(s, r.ended)
	s.AfterBatch(func() { _ = r.flush() }) // it has complained
}

// Stats may be called from any goroutine.
func (r *RequestLog) Stats() RequestLogStats {
	return RequestLogStats{
		Lines: r.lines.Load(), Lost: r.lost.Load(),
		Failures: r.failures.Load(), Forgotten: r.forgotten.Load(),
	}
}

// Close writes what is left. The bus calls it after the last event; call it yourself
// only after the subscription was closed.
func (r *RequestLog) Close() error { return r.flush() }

func (r *RequestLog) remember(session string) *remembered {
	s, forgotten := r.open.get(session)
	if forgotten > 0 {
		r.forgotten.Add(uint64(forgotten))
	}
	return s
}

func (r *RequestLog) ended(e lmcache.RequestReceipt, at time.Time) {
	writeLine(&r.buf, &e, at, r.open.take(e.SessionID))
	if r.buf.Len() >= requestLogBuffer {
		_ = r.flush() // it has complained
	}
}

// flush writes what was collected and forgets it, whatever becomes of it.
func (r *RequestLog) flush() error {
	if r.buf.Len() == 0 {
		return nil
	}
	defer r.buf.Reset()
	if r.torn { // keep the next line apart from the torn one
		if n, err := r.w.Write(newline); n < 1 {
			return r.fail(r.buf.Bytes(), err)
		}
		r.torn = false
	}
	n, err := r.w.Write(r.buf.Bytes())
	written, rest := r.buf.Bytes()[:n], r.buf.Bytes()[n:]
	r.lines.Add(uint64(bytes.Count(written, newline)))
	if len(rest) == 0 {
		r.works()
		return nil
	}
	r.torn = n > 0 && written[n-1] != '\n'
	return r.fail(rest, err)
}

var newline = []byte{'\n'}

// outage is a time in which writes fail. One write that gets through does not end it: on
// a disk that is nearly full short lines find room and long ones do not.
type outage struct {
	since, last time.Time // since: zero: there is none; last: of the last failure
	lost        uint64    // lines before it
}

// fail counts the lines that rest holds, also in part, as lost. The first of an outage
// is told.
func (r *RequestLog) fail(rest []byte, err error) error {
	if err == nil {
		err = io.ErrShortWrite
	}
	r.failures.Add(1)
	n := uint64(bytes.Count(rest, newline))
	lost := r.lost.Add(n)
	r.down.last = time.Now()
	if r.down.since.IsZero() {
		r.down.since, r.down.lost = r.down.last, lost-n
		if r.o.Logger != nil {
			r.o.Logger.Error("the request log cannot be written; requests go on, their lines are lost until it can", slog.Any("error", err))
		}
	}
	return err
}

// works tells the end of an outage.
func (r *RequestLog) works() {
	if r.down.since.IsZero() {
		return
	}
	now := time.Now()
	if now.Sub(r.down.last) < requestLogSteady {
		return
	}
	if r.o.Logger != nil {
		r.o.Logger.Warn("the request log is written again", slog.Uint64("lost_lines", r.lost.Load()-r.down.lost),
			slog.Duration("outage", r.down.last.Sub(r.down.since)))
	}
	r.down = outage{}
}
