package replay

import (
	"errors"
	"iter"

	"github.com/lmcache-go/lmcache/storage"
	"github.com/lmcache-go/lmcache/trace"
)

// Tape is a recording that has been decoded, so that it can be replayed many times, by
// several goroutines at a time.
type Tape struct {
	entries []entry
	damaged int64
	gaps    int64
	lost    int64

	outcomes bool // some were recorded
	calls    int64
}

// entry is one record of a Tape.
type entry struct {
	mono     float64 // seconds; never less than that of the entry before
	name     string
	call     *trace.Call // nil: it cannot be made, for the reason of err
	err      error
	own      bool  // a call that only the extended format has
	number   int64 // of the call; of a plain recording its position
	outcomes []trace.Outcome
}

// ReadTape decodes records. Damage and gaps are counted; an error is one of reading.
func ReadTape(records iter.Seq2[trace.Record, error]) (*Tape, error) {
	t := &Tape{}
	for rec, err := range records {
		if _, damaged := errors.AsType[*trace.DamageError](err); damaged {
			t.damaged++
			continue
		}
		if err != nil {
			return nil, err
		}
		t.add(&rec)
	}
	return t, nil
}

func (t *Tape) add(rec *trace.Record) {
	e := entry{mono: rec.Mono, name: rec.Name, own: rec.Own(), number: rec.Number()}
	if !e.own {
		if e.number == storage.NoCall {
			e.number = t.calls
		}
		t.calls++
	}
	if n := len(t.entries); n > 0 {
		e.mono = max(e.mono, t.entries[n-1].mono)
	}
	if g, ok, err := rec.Gap(); ok && err == nil {
		t.gaps, t.lost = t.gaps+1, t.lost+g.Count
	}
	var err error
	if e.outcomes, err = rec.Outcomes(); err != nil {
		t.damaged++
	}
	t.outcomes = t.outcomes || len(e.outcomes) > 0
	call, err := rec.Call()
	switch {
	case err == nil:
		e.call = &call
	case !e.own:
		e.err = err
	case len(e.outcomes) == 0:
		return // a gap, the end, or what a later version adds
	}
	t.entries = append(t.entries, e)
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
