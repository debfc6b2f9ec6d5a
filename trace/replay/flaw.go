package replay

import (
	"fmt"
	"log/slog"
	"math"

	"github.com/lmcache-go/lmcache/trace"
)

// flaw is what is wrong with a recording at one place: calls that were lost, or something
// that cannot be decoded.
type flaw struct {
	// from and until are when it was, in seconds of the recording. What is in a damaged
	// frame was at some time between those of the records around it.
	from, until float64

	before int   // of a Tape: the entry that comes next
	gap    bool  // a mark of losses, of so many calls; else something malformed
	lost   int64 //
	text   string
	told   bool // who reads the recording has heard of it
}

// damaged is the flaw of a damaged frame behind a time.
func damaged(d *trace.DamageError, mono float64) flaw {
	return flaw{from: mono, until: math.Inf(1), text: d.Error(), told: true}
}

// gapOf is the flaw that a mark of losses tells of, or is; false: a record is none.
func gapOf(rec *trace.Record, mono float64) (f flaw, ok bool) {
	g, ok, err := rec.Gap()
	if !ok {
		return f, false
	}
	if err != nil {
		return flaw{from: mono, until: mono, text: fmt.Sprintf("failed to decode the mark of a gap at %.3f s: %v", rec.Mono, err)}, true
	}
	return flaw{
		from: mono, until: mono, gap: true, lost: g.Count, text: fmt.Sprintf("a gap: %d calls are lost at %.3f s", g.Count, rec.Mono), told: true,
	}, true
}

// undecoded is the flaw of outcomes that cannot be decoded.
func undecoded(rec *trace.Record, mono float64, err error) flaw {
	return flaw{from: mono, until: mono, text: fmt.Sprintf("failed to decode the outcomes with %s at %.3f s: %v", rec.Name, rec.Mono, err)}
}

// within reports whether it may have been in a range.
func (f *flaw) within(from, to float64) bool { return f.until >= from && f.from <= to }

// count takes it into a result, and warns of it.
func (f *flaw) count(r *Result, log *slog.Logger) {
	if f.gap {
		r.Gaps++
		r.Lost += f.lost
	} else {
		r.Malformed++
	}
	if !f.told {
		log.Warn("trace replay: " + f.text + "; going on")
	}
}
