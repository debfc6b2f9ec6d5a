package replay

import (
	"context"
	"slices"
	"time"

	"github.com/lmcache-go/lmcache/storage"
	"github.com/lmcache-go/lmcache/storage/kv"
	"github.com/lmcache-go/lmcache/trace"
)

// Who looks a prompt up stores what is missing once he knows what that is. Where tiers are
// slower than those of the recording, the lookup may not have resolved when the store comes,
// and would find what was stored because of it. So a reservation waits for lookups of its
// keys that had resolved before it in the recording; of one without outcomes, for all. A
// recorder hears of a result after its owner does: a store that follows within microseconds
// may be recorded first, and does not wait.

// shares reports whether a list has one of the keys of a set.
func shares(set map[kv.Key]struct{}, keys []kv.Key) bool {
	return slices.ContainsFunc(keys, func(k kv.Key) bool {
		_, ok := set[k]
		return ok
	})
}

func setOf(keys []kv.Key) map[kv.Key]struct{} {
	set := make(map[kv.Key]struct{}, len(keys))
	for _, k := range keys {
		set[k] = struct{}{}
	}
	return set
}

// reserves reports whether an entry is a reservation that may have to wait.
func (e *entry) reserves() bool {
	return e.call != nil && e.call.Name == storage.CallReserveWrite
}

// learn notes which lookups that have not resolved here had resolved before an entry.
func (u *virtualRun) learn(e *entry) {
	for i := range e.outcomes {
		if o := &e.outcomes[i]; o.Resolved && !slices.Contains(u.late, o.N) {
			if _, waits := u.pending[o.N]; waits {
				u.late = append(u.late, o.N)
			}
		}
	}
}

// blocker is a lookup that a reservation has to wait for.
func (u *virtualRun) blocker(e *entry) (n int64, blocked bool) {
	if len(u.late) == 0 || !e.reserves() || e.call.N == storage.NoCall { // of a plain recording it waits with everything
		return 0, false
	}
	set := setOf(e.call.Keys)
	for _, n := range u.late {
		if slices.ContainsFunc(u.p.waiting[n], func(x waiting) bool { return shares(set, x.of.keys) }) {
			return n, true
		}
	}
	return 0, false
}

// park has a reservation wait for a lookup. It is the first of the calls of its own number,
// which wait with it.
func (u *virtualRun) park(a arrival, n int64) {
	u.pending[a.call.N] = []arrival{a}
	u.pending[n] = append(u.pending[n], a)
}

// unpark makes a reservation that has waited for a lookup, and what came on it since.
func (u *virtualRun) unpark(a arrival) {
	if n, blocked := u.blocker(a.entry); blocked {
		u.pending[n] = append(u.pending[n], a)
		return
	}
	u.flush(a.call.N)
}

// settle lets time go by until no call waits for a lookup: some resolve at their deadline
// only, for which a queue without anything else does not wait.
func (u *virtualRun) settle() {
	for range 10_000 { // far more than any deadline has seconds, if there is one
		if len(u.pending) == 0 {
			return
		}
		u.v.RunUntil(u.v.Now().Add(time.Second))
		u.v.Run()
	}
}

// abort carries out what was given up, or has it wait with its reservation.
func (u *virtualRun) abort(e *entry) {
	for i := range e.outcomes {
		o := e.outcomes[i : i+1]
		if o[0].Aborted == nil {
			continue
		}
		if queue, waits := u.pending[o[0].N]; waits {
			u.pending[o[0].N] = append(queue, arrival{&entry{mono: e.mono, own: true, outcomes: o}, nil})
			continue
		}
		u.p.abort(o)
	}
}

// lookups are those of a run on tiers that have not resolved, as far as it is known.
type lookups struct {
	outcomes bool           // some were recorded
	open     map[int64]*job // that had not resolved in the recording either, by number
	late     []*job         // that had
	sweepAt  int            // size of late at which those that have resolved are forgotten
}

// firstLateSweep is how many lookups are late before those are forgotten that have resolved.
const firstLateSweep = 64

// add adds a lookup that had resolved in the recording.
func (l *lookups) add(j *job) {
	if len(l.late) >= max(l.sweepAt, firstLateSweep) {
		l.sweep()
		l.sweepAt = 2 * len(l.late)
	}
	l.late = append(l.late, j)
}

func (l *lookups) sweep() { l.late = slices.DeleteFunc(l.late, (*job).settled) }

// resolved takes what the recording says until now.
func (l *lookups) resolved(outcomes []trace.Outcome) {
	for i := range outcomes {
		l.outcomes = true
		if o := &outcomes[i]; o.Resolved {
			if j := l.open[o.N]; j != nil {
				delete(l.open, o.N)
				l.add(j)
			}
		}
	}
}

// take takes a job before it is made: a lookup, or a reservation that waits for some.
func (l *lookups) take(j *job) {
	switch {
	case j.call == nil:
	case j.call.Name == storage.CallSubmitPrefetch && l.outcomes:
		l.open[j.number] = j
	case j.call.Name == storage.CallSubmitPrefetch:
		l.add(j)
	case j.reserves() && len(l.late) > 0:
		l.sweep()
		set := setOf(j.call.Keys)
		for _, lookup := range l.late {
			if shares(set, lookup.call.Keys) {
				j.after = append(j.after, lookup)
			}
		}
	}
}

// settled reports whether a lookup was made and has resolved.
func (j *job) settled() bool {
	if j.over != nil && !j.isOver() {
		return false
	}
	return !slices.ContainsFunc(j.handles, func(h *storage.Prefetch) bool {
		_, known := h.Status()
		return !known
	})
}

// await waits for the lookups that a job comes after. They have been made, as they share
// keys with it.
func (j *job) await(ctx context.Context) {
	for _, lookup := range j.after {
		for _, h := range lookup.handles {
			_, _ = h.Wait(ctx) // what is known then is known
		}
	}
	j.after = nil
}
