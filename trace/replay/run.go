package replay

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/lmcache-go/lmcache/storage"
	"github.com/lmcache-go/lmcache/trace"
)

// CheckHeader says why a recording cannot be replayed; nil if it can.
func CheckHeader(h *trace.Header, name string) error {
	if h.Level != trace.LevelStorage {
		return fmt.Errorf("trace '%s' is level '%s'; only 'storage' traces can be replayed", name, h.Level)
	}
	if h.Draft != "" {
		return fmt.Errorf("trace '%s' is an early draft of LMCache %s, which can only be summarised", name, h.Draft)
	}
	return nil
}

// run is one Run.
type run struct {
	o        *Options
	r        *Result
	crew     *crew
	verdict  *verdict // nil: none
	lines    *lines
	begin    time.Time
	mono     float64 // largest time so far
	position int64   // of the next record of the plain format
	index    int64
	late     []time.Duration
	before   before
	unsure   []flaw // which are in the range if the next record is

	mu sync.Mutex // of what workers tell: Options.Line, Result.Strict
}

// Run replays records in order. When ctx ends it makes no further call and returns
// what was done until then as interrupted. In any case all leases are given back. An
// error is about the recording or the options; calls that fail are counted.
func Run(ctx context.Context, records iter.Seq2[trace.Record, error], o Options) (*Result, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	o = o.withDefaults()
	r := &Result{Ops: make(map[string]*Op)}
	u := &run{o: &o, r: r, begin: time.Now(), before: make(before)}
	compares := o.Bus != nil && !o.NoCompare
	u.lines = newLines(o.Complete, compares)
	if o.Bus != nil {
		var against *comparison
		if compares {
			against = newComparison(&r.Comparison)
			against.diverged, against.compared = o.Diverged, u.lines.compared
		}
		u.verdict = newVerdict(r, against, nil)
		u.verdict.keep, u.verdict.live = o.Complete != nil, true
		sub, err := o.Bus.Subscribe(u.verdict)
		if err != nil {
			return nil, err
		}
		defer sub.Close()
	}
	u.crew = newCrew(ctx, u)
	err := u.all(ctx, records)
	u.crew.end()
	r.Duration = time.Since(u.begin)
	u.finish(context.WithoutCancel(ctx))
	return r, err
}

// finish gives back what is left and adds up.
func (u *run) finish(ctx context.Context) {
	var outcomes []CallOutcome
	for _, w := range u.crew.workers {
		w.p.close(ctx)
		outcomes = append(outcomes, w.p.takeDone()...)
		u.r.add(w.p.r)
	}
	slices.Sort(u.late)
	u.r.Late = Late{Max: rank(u.late, 100), P99: rank(u.late, 99)}
	u.settle(ctx)
	if v := u.verdict; v != nil {
		if u.crew.single() {
			u.r.OutcomeDigest = v.digest()
		}
		if v.against != nil {
			u.r.Unmet = v.against.first.without(&v.against.second)
		}
	}
	u.lines.close(outcomes, u.verdict.takeVictims())
}

func (u *run) all(ctx context.Context, records iter.Seq2[trace.Record, error]) error {
	defer u.sure(math.Inf(1))
	for rec, err := range records {
		if damage, ok := errors.AsType[*trace.DamageError](err); ok {
			u.o.Logger.Warn(damage.Error())
			u.unsure = append(u.unsure, damaged(damage, u.mono))
			if u.mono >= u.o.From {
				u.sure(u.mono)
			}
			continue
		}
		if err != nil {
			return err
		}
		u.mono = max(u.mono, rec.Mono)
		u.sure(u.mono)
		if u.mono > u.o.To {
			return nil
		}
		if u.mono < u.o.From {
			if !rec.Own() {
				u.position++
			}
			u.before.add(rec.Number())
			continue
		}
		if !u.due(ctx) {
			u.r.Interrupted = true
			return nil
		}
		u.record(ctx, &rec)
	}
	return nil
}

// sure takes in what is damaged, when the next record's time is known.
func (u *run) sure(until float64) {
	for i := range u.unsure {
		f := &u.unsure[i]
		if f.until = until; f.within(u.o.From, u.o.To) {
			u.flaw(f)
		}
	}
	u.unsure = u.unsure[:0]
}

// flaw takes in what is wrong with the recording.
func (u *run) flaw(f *flaw) {
	f.count(u.r, u.o.Logger)
	u.strict("%s", f.text)
}

// due waits until it is time for the record at u.mono; false: the context has ended.
func (u *run) due(ctx context.Context) bool {
	if ctx.Err() != nil {
		return false
	}
	if u.o.Pacing == Fast {
		return true
	}
	at := u.begin.Add(duration((u.mono - u.o.From) / u.o.Speed))
	for wait := time.Until(at); wait > 0; wait = time.Until(at) {
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return false
		}
	}
	u.late = append(u.late, time.Since(at))
	return true
}

// duration is a time in seconds; the longest one if it is longer.
func duration(seconds float64) time.Duration {
	ns := math.Round(seconds * float64(time.Second))
	if ns >= math.MaxInt64 {
		return math.MaxInt64
	}
	return time.Duration(ns)
}

// unmatchedText is what Options.Strict says of a scope.
const unmatchedText = "an end of a read scope without a beginning at %.3f s"

// strict notes what Options.Strict forbids.
func (u *run) strict(format string, args ...any) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.o.Strict && u.r.Strict == "" {
		u.r.Strict = fmt.Sprintf(format, args...)
	}
}

// record has one record replayed.
func (u *run) record(ctx context.Context, rec *trace.Record) {
	if f, ok := gapOf(rec, u.mono); ok {
		u.flaw(&f)
	}
	outcomes, err := rec.Outcomes()
	if err != nil {
		f := undecoded(rec, u.mono, err)
		u.flaw(&f)
	}
	outcomes = u.before.without(outcomes)
	if u.verdict != nil {
		u.verdict.recorded(outcomes)
	}
	u.crew.recorded(outcomes)
	j := &job{entry: entry{name: rec.Name, mono: rec.Mono, own: rec.Own(), number: rec.Number()}}
	if call, err := rec.Call(); err != nil {
		j.err = err
	} else {
		j.call = &call
	}
	if j.own && errors.Is(j.err, trace.ErrUnknownCall) { // a gap, the end, or what a later version adds
		return
	}
	if j.call != nil && u.before.drop(j.call) {
		return
	}
	if !j.own {
		if j.number == storage.NoCall {
			j.number = u.position
		}
		u.position++
		u.index++
		j.line = u.lines.begin(u.index, &j.entry)
	}
	u.crew.take(ctx, j)
}

// make makes the call of a job with the player of a worker.
func (u *run) make(ctx context.Context, p *player, j *job) {
	switch {
	case j.own:
		if err := p.makeOwn(ctx, &j.entry); err != nil {
			u.strict("%s was not carried out: %v", j.name, err)
			return
		}
		u.settle(ctx)
		return
	case j.err != nil:
		p.skip(j.name, j.err)
		u.strict("record %d (%s) was skipped: %v", j.line.Index, j.name, j.err)
		u.told(p, j)
		return
	}
	unmatched := p.r.Unmatched
	p.make(ctx, &j.entry, j.line)
	verdict := "OK"
	if j.line.Failed {
		verdict = "FAIL"
	}
	if p.r.Unmatched > unmatched {
		u.strict(unmatchedText, j.mono)
	}
	u.o.Logger.Info(fmt.Sprintf("[%d/%d] %s %s (%.3fms)", j.line.Index, u.o.Total, verdict, j.name, ms(j.line.Latency)))
	u.settle(ctx)
	u.told(p, j)
}

// told tells of a record.
func (u *run) told(p *player, j *job) {
	if u.o.Line != nil {
		u.mu.Lock()
		u.o.Line(j.line.Line)
		u.mu.Unlock()
	}
	u.lines.end(j.line, p.takeDone(), u.verdict.takeVictims())
}

// settle waits until the victims of a call are known.
func (u *run) settle(ctx context.Context) {
	if u.verdict != nil {
		_ = u.o.Bus.Flush(ctx) // if the context ends, so does the run
		u.verdict.settle()
	}
}
