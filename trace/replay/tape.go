package replay

import (
	"errors"
	"iter"
	"math"

	"github.com/lmcache-go/lmcache/storage"
	"github.com/lmcache-go/lmcache/trace"
)

// Tape is a recording that has been decoded, so that it can be replayed many times, by
// several goroutines at a time.
type Tape struct {
	entries []entry
	flaws   []flaw // in order

	outcomes bool // some were recorded
	calls    int64

	// While it is read.
	began  map[int64]float64 // when reservations were entered, by call
	early  map[int64][]int   // calls on prefetches that have not resolved, by prefetch
	mono   float64           // largest time so far
	unsure int               // flaws at the end of which it is not known until when they were
}

// entry is one record that is replayed.
type entry struct {
	mono   float64     // seconds; of a Tape never less than that of the entry before
	name   string      // qualified
	call   *trace.Call // nil: it cannot be made, for the reason of err
	err    error       // of a call of the extended format: it cannot be decoded
	own    bool        // a call that only the extended format has
	number int64       // of the call; of a plain recording its position

	// Of a Tape. early says that it was made before the prefetch that it uses had resolved.
	outcomes []trace.Outcome
	early    bool
}

// ReadTape decodes records. What is damaged is kept for the replays, which count it; an
// error is one of reading.
func ReadTape(records iter.Seq2[trace.Record, error]) (*Tape, error) {
	t := &Tape{began: make(map[int64]float64), early: make(map[int64][]int)}
	for rec, err := range records {
		if damage, ok := errors.AsType[*trace.DamageError](err); ok {
			t.flaw(damaged(damage, t.mono))
			t.unsure++
			continue
		}
		if err != nil {
			return nil, err
		}
		t.add(&rec)
	}
	t.began, t.early = nil, nil
	return t, nil
}

func (t *Tape) add(rec *trace.Record) {
	e := entry{name: rec.Name, own: rec.Own(), number: rec.Number()}
	if !e.own {
		if e.number == storage.NoCall {
			e.number = t.calls
		}
		t.calls++
	}
	t.mono = max(t.mono, rec.Mono)
	for ; t.unsure > 0; t.unsure-- {
		t.flaws[len(t.flaws)-t.unsure].until = t.mono
	}
	if f, ok := gapOf(rec, t.mono); ok {
		t.flaw(f)
	}
	var err error
	if e.outcomes, err = rec.Outcomes(); err != nil {
		t.flaw(undecoded(rec, t.mono, err))
	}
	t.outcomes = t.outcomes || len(e.outcomes) > 0
	call, err := rec.Call()
	until := math.Inf(1) // gaps and the end have the time of something else
	if err == nil {
		until = rec.Mono
	}
	e.outcomes = t.takeOutcomes(e.outcomes, until)
	e.mono = max(rec.Mono, t.last())
	switch {
	case err == nil:
		e.call = &call
	case !e.own || !errors.Is(err, trace.ErrUnknownCall):
		e.err = err
	case len(e.outcomes) == 0:
		return // a gap, the end, or what a later version adds
	}
	t.entries = append(t.entries, e)
	if c := e.call; c != nil && c.N != storage.NoCall {
		t.made(c, e.mono)
	}
}

// flaw notes what is wrong before the next entry.
func (t *Tape) flaw(f flaw) {
	f.before = len(t.entries)
	t.flaws = append(t.flaws, f)
}

// last is the time of the last entry.
func (t *Tape) last() float64 {
	if n := len(t.entries); n > 0 {
		return t.entries[n-1].mono
	}
	return 0
}

// made notes a call that is the last entry.
func (t *Tape) made(c *trace.Call, mono float64) {
	switch c.Name {
	case storage.CallReserveWrite:
		t.began[c.N] = mono
	case storage.CallSubmitPrefetch:
		t.early[c.N] = nil
	case storage.CallReadEnter, storage.CallReadExit, storage.CallFinishRead:
		if list, ok := t.early[c.Owner]; ok {
			t.early[c.Owner] = append(list, len(t.entries)-1)
		}
	}
}

// takeOutcomes makes entries of what was given up meanwhile, at its times, and marks what
// was done with prefetches before they had resolved. All of it was before until. It
// returns the other outcomes.
func (t *Tape) takeOutcomes(list []trace.Outcome, until float64) []trace.Outcome {
	rest := list[:0]
	for _, o := range list {
		began, known := t.began[o.N]
		switch {
		case o.Aborted != nil && known:
			at := max(min(began+o.Took.Seconds(), until), t.last())
			t.entries = append(t.entries, entry{mono: at, own: true, outcomes: []trace.Outcome{o}})
			continue
		case o.Resolved:
			for _, i := range t.early[o.N] {
				t.entries[i].early = true
			}
			delete(t.early, o.N)
		}
		rest = append(rest, o)
	}
	return rest
}

// Calls is how many records of the plain format there are.
func (t *Tape) Calls() int64 { return t.calls }

// Recorded is how many keys the lookups of the recording asked for and found, as far as
// their outcomes were recorded.
func (t *Tape) Recorded() (requested, hits int64) {
	keys := make(map[int64]int)
	for i := range t.entries {
		e := &t.entries[i]
		for j := range e.outcomes {
			if o := &e.outcomes[j]; o.Resolved {
				requested, hits = requested+int64(keys[o.N]), hits+o.Hits
			}
		}
		if e.call != nil && e.call.Name == storage.CallSubmitPrefetch && e.call.N != storage.NoCall {
			keys[e.call.N] = len(e.call.Keys)
		}
	}
	return requested, hits
}
