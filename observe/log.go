package observe

import (
	"log/slog"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/lmcache-go/lmcache/eventbus"
)

// logQueue is how many events may wait for each logging subscriber.
const logQueue = 10_000

// Logs keeps the logging subscribers on a bus while their logger logs DEBUG, and
// only then: at other levels the events that nobody else wants are not even built.
// Its methods are safe for concurrent use; a nil Logs logs nothing.
type Logs struct {
	bus *eventbus.Bus
	log *slog.Logger
	mu  struct {
		sync.Mutex
		closed bool
		subs   []*eventbus.Subscription
	}
}

// StartLogs subscribes what LogSubscribers returns to bus, if log logs DEBUG now. Call
// Refresh when the level has changed, and Close after the bus, or before it to stop.
func StartLogs(bus *eventbus.Bus, log *slog.Logger) (*Logs, error) {
	l := &Logs{bus: bus, log: log}
	if err := l.Refresh(); err != nil {
		return nil, err
	}
	return l, nil
}

// LogSubscribers makes the logging subscribers, in the order in which they are
// registered. Each of them also works alone.
func LogSubscribers(log *slog.Logger) []eventbus.Subscriber {
	return []eventbus.Subscriber{
		NewMPServerLoggingSubscriber(log), NewL1LoggingSubscriber(log), NewL2LoggingSubscriber(log), NewSMLoggingSubscriber(log), NewBlendLoggingSubscriber(log),
	}
}

// Refresh subscribes or ends the subscriptions, as the level of the logger now asks.
// Events that still wait to be logged when the level rises are discarded.
func (l *Logs) Refresh() error {
	if l == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch on := !l.mu.closed && (debugLog{l.log}).enabled(); {
	case !on:
		l.endLocked()
	case l.mu.subs == nil:
		for _, s := range LogSubscribers(l.log) {
			sub, err := l.bus.Subscribe(s)
			if err != nil {
				l.endLocked()
				return err
			}
			l.mu.subs = append(l.mu.subs, sub)
		}
	}
	return nil
}

// Close ends the subscriptions. When it returns, nothing is logged any more. It is
// idempotent and never fails.
func (l *Logs) Close() error {
	if l == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.closed = true
	l.endLocked()
	return nil
}

func (l *Logs) endLocked() {
	for _, s := range slices.Backward(l.mu.subs) {
		s.Close()
	}
	l.mu.subs = nil
}

// debugLog is where a logging subscriber writes. A nil logger is never enabled.
type debugLog struct{ log *slog.Logger }

// enabled is asked before anything is formatted.
func (l debugLog) enabled() bool {
	return l.log != nil && l.log.Enabled(background(), slog.LevelDebug)
}

// subscribe gives the subscriber a goroutine of its own: a terminal or a pipe may be
// slow, which must not keep other subscribers waiting.
func (l debugLog) subscribe(s *eventbus.Subscription) { s.Isolated(logQueue, eventbus.Drop) }

// write logs a message under the time of its event and the place of its caller. That
// the handler fails is nothing that could be logged.
func (l debugLog) write(at time.Time, msg string, attrs ...slog.Attr) {
	var pc [1]uintptr
	runtime.Callers(2, pc[:])
	r := slog.NewRecord(at, slog.LevelDebug, msg, pc[0])
	r.AddAttrs(attrs...)
	_ = l.log.Handler().Handle(background(), r)
}
