package replay

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

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

// Run replays records in order. When ctx ends it makes no further call and returns
// what was done until then as interrupted. In any case all leases are given back. An
// error is about the recording or the options; calls that fail are counted.
func Run(ctx context.Context, records iter.Seq2[trace.Record, error], o Options) (*Result, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	o = o.withDefaults()
	r := &Result{Ops: make(map[string]*Op)}
	run := &run{o: &o, r: r, p: newPlayer(&o, r), begin: time.Now()}
	err := run.all(ctx, records)
	r.Duration = time.Since(run.begin)
	run.p.close(ctx)
	slices.Sort(run.late)
	r.Late = Late{Max: rank(run.late, 100), P99: rank(run.late, 99)}
	return r, err
}

// run is one Run.
type run struct {
	o     *Options
	r     *Result
	p     *player
	begin time.Time
	mono  float64 // largest time so far
	index int64
	late  []time.Duration
}

func (u *run) all(ctx context.Context, records iter.Seq2[trace.Record, error]) error {
	for rec, err := range records {
		var damage *trace.DamageError
		switch {
		case errors.As(err, &damage):
			u.r.Malformed++
			u.o.Logger.Warn(damage.Error())
			u.strict("%v", damage)
			continue
		case err != nil:
			return err
		}
		if u.mono = max(u.mono, rec.Mono); u.mono > u.o.To {
			return nil
		}
		if u.mono < u.o.From {
			continue
		}
		if !u.due(ctx) {
			u.r.Interrupted = true
			return nil
		}
		if err := u.record(ctx, &rec); err != nil {
			return err
		}
	}
	return nil
}

// due waits until it is time for the record at u.mono; false: the context has ended.
func (u *run) due(ctx context.Context) bool {
	if ctx.Err() != nil {
		return false
	}
	if u.o.Pacing == Fast {
		return true
	}
	at := u.begin.Add(time.Duration((u.mono - u.o.From) / u.o.Speed * float64(time.Second)))
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

// strict notes what Options.Strict forbids.
func (u *run) strict(format string, args ...any) {
	if u.o.Strict && u.r.Strict == "" {
		u.r.Strict = fmt.Sprintf(format, args...)
	}
}

// record replays one record.
func (u *run) record(ctx context.Context, rec *trace.Record) error {
	if g, ok, err := rec.Gap(); ok {
		if err != nil {
			return err
		}
		u.r.Gaps++
		u.r.Lost += g.Count
		u.strict("a gap: %d calls are lost at %.3f s", g.Count, rec.Mono)
	}
	outcomes, err := rec.Outcomes()
	if err != nil {
		u.r.Malformed++
		u.o.Logger.Warn(fmt.Sprintf("trace replay: failed to decode outcomes of %s; going on without", rec.Name), "error", err)
	}
	u.p.abort(outcomes)
	if rec.Own() {
		return u.own(ctx, rec)
	}
	u.index++
	call, err := rec.Call()
	if err != nil {
		u.skip(rec, err)
		return nil
	}
	unmatched := u.r.Unmatched
	took, err := u.p.play(ctx, &call)
	u.r.count(rec.Name, took, err)
	line := Line{Index: u.index, Name: rec.Name, Latency: took, Failed: err != nil, Mono: rec.Mono, N: call.N}
	verdict := "OK"
	if err != nil {
		verdict = "FAIL"
		u.o.Logger.Warn("trace replay: handler for "+rec.Name+" raised", "error", err)
	}
	if u.r.Unmatched > unmatched {
		u.strict("an end of a read scope without a beginning at %.3f s", rec.Mono)
	}
	u.o.Logger.Info(fmt.Sprintf("[%d/%d] %s %s (%.3fms)", u.index, u.o.Total, verdict, rec.Name, ms(took)))
	u.tell(line)
	return nil
}

func (u *run) tell(l Line) {
	if u.o.Line != nil {
		u.o.Line(l)
	}
}

// skip passes over a record that is not a call that can be made.
func (u *run) skip(rec *trace.Record, err error) {
	u.p.skip(rec.Name, err)
	u.strict("record %d (%s) was skipped: %v", u.index, rec.Name, err)
	u.tell(Line{Index: u.index, Name: rec.Name, Failed: true, Skipped: true, Mono: rec.Mono, N: rec.Number()})
}

// own replays a record that only the extended format has.
func (u *run) own(ctx context.Context, rec *trace.Record) error {
	call, err := rec.Call()
	switch {
	case errors.Is(err, trace.ErrUnknownCall): // a gap, the end, or what a later version adds
		return nil
	case err == nil:
		err = u.p.playOwn(ctx, &call)
	}
	if err != nil {
		u.r.Malformed++
		u.o.Logger.Warn("trace replay: "+rec.Name+" was not carried out", "error", err)
		u.strict("%s was not carried out: %v", rec.Name, err)
		return nil
	}
	u.r.Own++
	return nil
}
