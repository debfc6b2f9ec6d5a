package trace

import (
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lmcache-go/lmcache/eventbus"
	"github.com/lmcache-go/lmcache/storage"
)

// subscriberName is the recorder's on the bus.
const subscriberName = "trace_recorder"

// ErrRecording is returned by Open on a bus that has a recorder already.
var ErrRecording = errors.New("trace: the calls of this bus are being recorded already")

// ErrNoBus is returned by Open on a nil, disabled or closed bus, on which there is nothing to record.
var ErrNoBus = errors.New("trace: there is no event bus to record from")

// Recorder writes the calls of the storage managers of a bus to a file; there
// should be one. It is closed by Close or with the bus. All methods are safe for
// concurrent use.
type Recorder struct {
	bus    *eventbus.Bus
	o      Options
	sub    *eventbus.Subscription
	w      *writer // of the subscription's goroutine, and of finish behind it
	losses *losses
	done   sync.Once
	err    error // of finish
}

// Open begins a recording: the file is there, with its header, when it returns, and
// the next call is in it.
func Open(bus *eventbus.Bus, o Options) (*Recorder, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	for _, s := range bus.Stats().Isolated {
		if s.Subscriber == subscriberName {
			return nil, ErrRecording
		}
	}
	if !bus.Open() { // before there is a file, or none of the name any more
		return nil, ErrNoBus
	}
	o = o.withDefaults()
	given := o.Path != ""
	if !given {
		o.Path = DefaultPath(time.Now())
		o.Logger.Info("trace recording enabled (level=" + LevelStorage + "); no --trace-output given, writing to " + o.Path)
	}
	r := &Recorder{bus: bus, o: o, losses: newLosses()}
	r.w = newWriter(&r.o, r.losses)
	if err := r.w.out.open(!given); err != nil {
		return nil, fmt.Errorf("trace: %w", err)
	}
	sub, err := bus.Subscribe((*subscriber)(r))
	if err != nil {
		return nil, errors.Join(err, r.w.out.f.Close(), o.files.remove(o.Path))
	}
	if r.sub = sub; !eventbus.TopicOf[storage.Call](bus).Active() {
		return nil, errors.Join(ErrNoBus, r.w.out.f.Close(), o.files.remove(o.Path))
	}
	o.Logger.Info(fmt.Sprintf("trace recorder writing to %s (level=%s)", o.Path, LevelStorage))
	return r, nil
}

// Path is that of the first file.
func (r *Recorder) Path() string { return r.o.Path }

// Close ends the recording: no call is taken any more, what waits is written, then
// the end record, and the file is durable when it returns. It is idempotent. Stop the
// storage manager first; a call that is made meanwhile is lost.
func (r *Recorder) Close() error {
	r.sub.Finish()
	return r.finish()
}

// finish ends the file, when nothing more is coming.
func (r *Recorder) finish() error {
	r.done.Do(func() { r.err = r.w.finish() })
	return r.err
}

// subscriber is the recorder as the bus sees it.
type subscriber Recorder

// Name implements eventbus.Subscriber.
func (*subscriber) Name() string { return subscriberName }

// Subscribe implements eventbus.Subscriber.
func (s *subscriber) Subscribe(sub *eventbus.Subscription) {
	sub.Isolated(s.o.Queue, s.o.overflow())
	eventbus.OnLost(sub, func(c storage.Call, at time.Time) {
		if s.w.has(&c) {
			s.losses.add(lostQueue, &c, at)
		}
	})
	eventbus.On(sub, func(c storage.Call, at time.Time) { s.w.call(&c, at) })
	eventbus.On(sub, func(d storage.CallDone, _ time.Time) { s.w.outcome(&d) })
	sub.Every(flushEvery, s.w.tick)
}

// Close is called by the bus after the last event.
func (s *subscriber) Close() error { return (*Recorder)(s).finish() }

// Stats is the state of a Recorder at one moment.
type Stats struct {
	Path    string // of the first file
	Written int64  // calls in the file, or on the way to it
	Lost    Lost   // calls that are not
	Bytes   int64  // in all files, those deleted included
	Files   int    // that were begun
	Failing bool   // the last write failed
	Beat    time.Time

	Queue, QueueLimit int // calls and outcomes that wait
}

// Lost counts calls by the reason for which they were lost.
type Lost struct {
	Queue  int64 // the queue stayed full
	Encode int64 // they have no form in the file
	Write  int64 // the file took nothing
}

// Sum is the number of all of them.
func (l Lost) Sum() int64 { return l.Queue + l.Encode + l.Write }

// Stats returns the current state in bounded time. Beat is when the recorder last
// looked around; while it lives, that is never long ago.
func (r *Recorder) Stats() Stats {
	s := Stats{
		Path: r.o.Path, Written: r.w.written.Load(), Bytes: r.w.bytes.Load(), Files: int(r.w.files.Load()), Failing: r.w.failing.Load(),
		Lost:       Lost{Queue: r.losses.total[lostQueue].Load(), Encode: r.losses.total[lostEncode].Load(), Write: r.losses.total[lostWrite].Load()},
		QueueLimit: r.o.Queue,
	}
	if at := r.w.beat.Load(); at != 0 {
		s.Beat = time.Unix(0, at)
	}
	for _, i := range r.bus.Stats().Isolated {
		if i.Subscriber == subscriberName {
			s.Queue = i.Waiting.Events
		}
	}
	return s
}

// Times of a writer.
const (
	flushEvery = 50 * time.Millisecond // what waits longer than this is written
	retryEvery = 5 * time.Second       // between attempts after a failed write
	warnEvery  = time.Second           // between equal warnings
)

// writer turns calls into frames. It belongs to one goroutine; the atomics may be
// read by any.
type writer struct {
	o      *Options
	enc    encoder
	out    output
	losses *losses
	frame  []byte // being built

	pending  []byte // outcomes since the last frame
	pendingN int

	now      time.Time // of the last tick
	latest   time.Time // of the calls
	retryAt  time.Time // of the next attempt, while failing
	warnedAt [reasons]time.Time

	written, bytes, files, beat atomic.Int64
	failing                     atomic.Bool
}

// maxOutcomes is how many bytes of outcomes wait for a frame; more are lost.
const maxOutcomes = 1 << 20

func newWriter(o *Options, l *losses) *writer {
	w := &writer{o: o, losses: l, now: o.Start, enc: encoder{format: o.Format, args: o.Args}}
	w.out = output{
		files: o.files, path: o.Path, maxBytes: o.MaxBytes, maxFiles: o.MaxFiles,
		header: Header{
			Level: LevelStorage, FormatVersion: FormatVersion, SchemaVersion: SchemaVersion,
			MonoStart: monotonic(), WallStart: seconds(o.Start), Config: o.Config, Digest: Digest(o.Config),
			Extended: o.Format == Extended, Writer: o.Writer,
		},
	}
	w.files.Store(1)
	return w
}

// seconds is a time as Unix seconds.
func seconds(t time.Time) float64 { return float64(t.UnixNano()) / 1e9 }

// has reports whether a call belongs into the file: of the plain format, no other ones
// than LMCache knows.
func (w *writer) has(c *storage.Call) bool {
	return w.o.Format == Extended || !strings.HasPrefix(c.Name, OwnPrefix) && (!c.Cancelled || len(c.Keys) > 0)
}

// call writes a call that was entered at a time.
func (w *writer) call(c *storage.Call, at time.Time) {
	if !w.has(c) {
		return
	}
	if at.After(w.latest) {
		w.latest = at
	}
	if w.failing.Load() {
		w.lose(lostWrite, c, at, nil)
		return
	}
	if c.N > w.losses.first.Load() && !w.gap() {
		w.lose(lostWrite, c, at, nil)
		return
	}
	frame, err := w.enc.appendCall(w.frame[:0], w.mono(at), seconds(at), c, nil, w.pending, w.pendingN)
	w.frame = frame[:0]
	if err != nil {
		w.lose(lostEncode, c, at, err)
		return
	}
	w.forget()
	w.written.Add(1)
	w.add(frame)
}

// mono is a time since the start in seconds.
func (w *writer) mono(at time.Time) float64 { return max(at.Sub(w.o.Start).Seconds(), 0) }

// forget drops the outcomes that were written.
func (w *writer) forget() { w.pending, w.pendingN = w.pending[:0], 0 }

// lose counts a call that is not written.
func (w *writer) lose(why reason, c *storage.Call, at time.Time, err error) {
	w.losses.add(why, c, at)
	w.warn(why, c.Name, err)
}

// warn says why calls are lost, once a second.
func (w *writer) warn(why reason, name string, err error) {
	if last := w.warnedAt[why]; !last.IsZero() && w.now.Sub(last) < warnEvery {
		return
	}
	w.warnedAt[why] = w.now
	if why == lostEncode {
		w.o.Logger.Warn(fmt.Sprintf("trace recorder: failed to encode record (qualname=%s); dropping", Qualname(name)), "error", err)
		return
	}
	if err != nil {
		w.o.Logger.Warn("trace recorder: write failed; dropping record", "error", err)
		return
	}
	w.o.Logger.Warn("trace recorder: write failed; dropping record")
}

// outcome keeps an outcome for the next frame.
func (w *writer) outcome(d *storage.CallDone) {
	if w.o.Format != Extended || w.failing.Load() || len(w.pending) > maxOutcomes {
		return
	}
	w.pending = appendOutcome(w.pending, d)
	w.pendingN++
}

// gap writes a gap record of what is lost, if anything is and the format has such
// records.
func (w *writer) gap() bool {
	first := w.losses.first.Load()
	if w.o.Format != Extended || first == math.MaxInt64 {
		return true
	}
	g, at := w.losses.take()
	frame, err := w.enc.appendGap(w.frame[:0], w.mono(at), seconds(at), &g, w.pending, w.pendingN)
	w.frame = frame[:0]
	if err == nil {
		w.forget()
		w.add(frame) // which gives it back if it fails
		return !w.failing.Load()
	}
	w.losses.give(g, at, first)
	return false
}

// add hands a frame to the file.
func (w *writer) add(frame []byte) {
	err := w.out.add(frame)
	if err != nil {
		w.out.buf = append(w.out.buf, frame...) // lost with the rest
		w.fail(err)
	}
	w.account()
}

// account shows the state of the file to others.
func (w *writer) account() {
	w.bytes.Store(w.out.bytes)
	w.files.Store(int64(w.out.header.Part) + 1)
}

// fail gives up what is in the buffer, after a write that failed, until the next
// attempt.
func (w *writer) fail(err error) {
	w.failing.Store(true)
	w.retryAt = w.now.Add(retryEvery)
	w.forget()
	w.giveUp()
	w.warn(lostWrite, "", err)
}

// giveUp counts the calls in the buffer as lost.
func (w *writer) giveUp() {
	d := newDecoder()
	for b := w.out.buf; len(b) > 0; {
		size := frameSize(b)
		if size == 0 {
			break
		}
		r, err := d.record(b[prefixBytes:size])
		b = b[size:]
		if err != nil {
			continue // a frame that was made here is whole
		}
		at := w.o.Start.Add(time.Duration(r.Mono * float64(time.Second)))
		if g, ok, _ := r.Gap(); ok {
			w.losses.give(g, at, 0)
			continue
		}
		if _, ok, _ := r.End(); ok {
			continue
		}
		w.written.Add(-1)
		w.losses.total[lostWrite].Add(1)
		w.losses.note(callName(r.Name), max(r.Number(), 0), at)
	}
	w.out.buf = w.out.buf[:0]
}

// tick is called every flushEvery: what waits is written, and a file that failed
// is tried again.
func (w *writer) tick(now time.Time) {
	w.now = now
	w.beat.Store(now.UnixNano())
	if w.failing.Load() && now.Before(w.retryAt) {
		return
	}
	w.try()
}

// try writes what is in the buffer. After a failure that is the gap record, whose
// success ends the failure.
func (w *writer) try() {
	wasFailing := w.failing.Swap(false)
	if wasFailing && !w.gap() {
		return
	}
	if err := w.out.flush(); err != nil {
		w.fail(err)
	}
	w.account()
}

// finish writes what is left, and the end record, and closes the file.
func (w *writer) finish() error {
	w.try()
	if w.o.Format == Extended && w.gap() && !w.failing.Load() {
		end := End{Records: w.written.Load(), Dropped: w.losses.sum()}
		at := w.latest // by the manager's clock, as all times of records
		if w.now.After(at) {
			at = w.now
		}
		frame, err := w.enc.appendEnd(w.frame[:0], w.mono(at), seconds(at), end, w.pending, w.pendingN)
		if err == nil {
			w.forget()
			w.add(frame)
		}
	}
	unsynced, err := w.out.close()
	if err != nil {
		w.giveUp()
		err = fmt.Errorf("trace: %w", err)
	}
	w.account()
	if unsynced != nil {
		w.o.Logger.Warn("trace recorder: fsync failed", "error", unsynced)
	}
	if n := w.losses.sum(); n > 0 {
		w.o.Logger.Warn(fmt.Sprintf("trace recorder closed; %d record(s) dropped", n), "file", filepath.Base(w.o.Path))
	} else {
		w.o.Logger.Info("trace recorder closed cleanly: " + w.o.Path)
	}
	return err
}
