package storage

import (
	"slices"
	"time"

	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/storage/internal/tier"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// load is what one prefetch loads from one tier.
type load struct {
	f        *fetch
	tier     int
	id       int64
	pos      []int  // by object: position of the request
	at       []int  // and of the write lease
	admitted []bool // by object: it has its outcome
	gone     []bool // by object: it was loaded, and its reservation had ended; nil: none
	ended    bool
	bytes    int64
	job      tier.Job
}

// errOf is why there is nothing of an object that has its outcome. What the tier says of
// it stays as it is: the tier may be reading it.
func (l *load) errOf(n int) error {
	if l.gone != nil && l.gone[n] {
		return errLeaseGone
	}
	return l.job.Objects[n].Err
}

func (l *load) add(pos, at int) {
	l.pos, l.at = append(l.pos, pos), append(l.at, at)
}

func (l *load) keys() []kv.Key {
	keys := make([]kv.Key, len(l.pos))
	for n, i := range l.pos {
		keys[n] = l.f.p.keys[i]
	}
	return keys
}

// beginLoadLocked hands a load to its tier.
func (c *fetchControl) beginLoadLocked(l *load, at time.Time) {
	f := l.f
	layout := f.p.layout
	fp := layout.Fingerprint()
	l.admitted = make([]bool, len(l.pos))
	l.bytes = int64(len(l.pos)) * layout.Size()
	l.job.Deadline = f.deadline
	l.job.Objects = make([]tier.Object, len(l.pos))
	for n, i := range l.pos {
		l.job.Objects[n] = tier.Object{Key: f.p.keys[i], Layout: layout, Data: c.m.tierBytes(l.tier, f.write.Buffer(l.at[n]))}
		c.mu.flights[flightKey{f.p.keys[i], fp}] = &flight{load: l, keep: c.keeps(f, i)}
	}
	l.job.Done = func(*tier.Job) { c.loadDone(l) }
	l.job.Returned = func(*tier.Job) { c.loadReturned(l) }
	l.id = c.mu.nextTask[l.tier]
	c.mu.nextTask[l.tier]++
	c.mu.inflight[l.tier]++
	c.mu.planned[l.tier] += l.bytes
	c.topics.taskSubmitted.PublishAt(L2LoadTaskSubmitted{
		RequestID: f.p.id, AdapterIndex: l.tier, TaskID: l.id, L2Name: c.m.tiers[l.tier].Name(), KeyCount: len(l.pos), TotalBytes: l.bytes,
	}, at)
	c.later(func() { c.m.tiers[l.tier].Load(&l.job) })
}

// loadDone takes over what became of a load.
func (c *fetchControl) loadDone(l *load) {
	c.mu.Lock()
	defer c.unlock()
	c.endLoadLocked(l, c.m.rt.Now())
}

// endLoadLocked ends a load whose objects all have their outcomes, once.
func (c *fetchControl) endLoadLocked(l *load, at time.Time) {
	if l.ended {
		return
	}
	l.ended = true
	f := l.f
	c.mu.inflight[l.tier]--
	c.mu.planned[l.tier] -= l.bytes
	c.mu.lately = at
	succeeded := 0
	all := make([]int, len(l.pos))
	for n := range l.job.Objects {
		all[n] = n
		if l.job.Objects[n].Err == nil {
			succeeded++
		}
	}
	c.topics.taskCompleted.PublishAt(L2LoadTaskCompleted{
		RequestID: f.p.id, AdapterIndex: l.tier, TaskID: l.id, L2Name: c.m.tiers[l.tier].Name(),
		Success: succeeded == len(l.job.Objects), SucceededCount: succeeded,
		BytesKnown: true, BytesTransferred: l.job.Moved, StartedAt: l.job.Began,
	}, at)
	c.admitLocked(l, all, at)
	p := f.pins[l.tier]
	f.pins[l.tier] = nil
	c.dropLocked(p)
	c.finishLocked(f, at)
}

// takeLocked takes over what has become of a load so far, which may be all; with failed,
// only what has failed, unless the load has ended.
func (c *fetchControl) takeLocked(l *load, failed bool, at time.Time) {
	settled := c.m.tiers[l.tier].Settled(&l.job)
	if len(settled) == len(l.pos) {
		c.endLoadLocked(l, at)
		return
	}
	if failed {
		settled = slices.DeleteFunc(settled, func(n int) bool { return l.job.Objects[n].Err == nil })
	}
	c.admitLocked(l, settled, at)
}

// suppliersLocked are the loads that a prefetch waits for: its own, and those of others
// that it has joined.
func (c *fetchControl) suppliersLocked(f *fetch) []*load {
	loads := slices.Clone(f.loads)
	fp := f.p.layout.Fingerprint()
	for _, i := range f.missing {
		if f.source[i] != fromFlight || f.got[i] {
			continue
		}
		if l := c.mu.flights[flightKey{f.p.keys[i], fp}].load; !slices.Contains(loads, l) {
			loads = append(loads, l)
		}
	}
	return loads
}

// loadReturned frees the memory of calls that were given up.
func (c *fetchControl) loadReturned(l *load) {
	at := c.m.rt.Now()
	for n := range l.job.Objects {
		if l.job.Objects[n].Late > 0 {
			l.f.write.AbortRange(at, l.at[n], l.at[n]+1, l1.AbortLoadFailed)
		}
	}
}

// clearLocked ends the flights of a prefetch's keys that have failed already, of loads that
// still run: there is nothing to join.
func (c *fetchControl) clearLocked(f *fetch, at time.Time) {
	fp := f.p.layout.Fingerprint()
	var seen []*load
	for _, i := range f.missing {
		fl := c.mu.flights[flightKey{f.p.keys[i], fp}]
		if fl == nil || slices.Contains(seen, fl.load) {
			continue
		}
		seen = append(seen, fl.load)
		c.takeLocked(fl.load, true, at)
	}
}

// admitLocked makes readable what is loaded of some objects that have their outcomes, and
// gives its readers their holders; what failed is discarded. The load may still run.
func (c *fetchControl) admitLocked(l *load, settled []int, at time.Time) {
	f := l.f
	var commits []l1.Commit
	var objects, failed, late []int
	for _, n := range settled {
		switch o := &l.job.Objects[n]; {
		case l.admitted[n]:
		case o.Err == nil && c.wantedLocked(l, n):
			objects = append(objects, n)
			commits = append(commits, c.commitLocked(l, n))
		case o.Err != nil && o.Late > 0:
			late = append(late, n)
		default:
			failed = append(failed, n)
		}
	}
	f.write.FinishAndGrant(at, commits)
	for k, n := range objects {
		if !commits[k].Done { // its reservation has expired, or L1 has closed
			if l.gone == nil {
				l.gone = make([]bool, len(l.pos))
			}
			l.gone[n] = true
			failed = append(failed, n)
			continue
		}
		c.landLocked(l, n)
	}
	slices.Sort(failed)
	c.abortLocked(l, failed, at)
	if len(late) > 0 {
		c.orphanLocked(l, late, at)
	}
}

// errLeaseGone says that the reservation of a load has expired meanwhile, or that L1
// has closed before the load ended.
var errLeaseGone = l2.ErrTimeout

// wantedLocked reports whether a loaded object has a place in L1: not if its handle
// was released, nobody joined, and it would not stay.
func (c *fetchControl) wantedLocked(l *load, n int) bool {
	f := l.f
	if !f.cancelled || c.keeps(f, l.pos[n]) {
		return true
	}
	for _, j := range c.flightOf(l, n).joins {
		if !j.f.resolved {
			return true
		}
	}
	return false
}

func (c *fetchControl) flightOf(l *load, n int) *flight {
	return c.mu.flights[flightKey{l.f.p.keys[l.pos[n]], l.f.p.layout.Fingerprint()}]
}

// commitLocked says who reads a loaded object.
func (c *fetchControl) commitLocked(l *load, n int) l1.Commit {
	f := l.f
	fl := c.flightOf(l, n)
	k := l1.Commit{Pos: l.at[n], Permanent: fl.keep || f.resolved}
	if !f.resolved && !f.p.o.Warm {
		k.Grants = append(k.Grants, l1.Grant{Lease: f.p.l, Pos: l.pos[n], Readers: f.p.o.Readers})
	}
	for _, j := range fl.joins {
		if !j.f.resolved && !j.f.p.o.Warm {
			k.Grants = append(k.Grants, l1.Grant{Lease: j.f.p.l, Pos: j.pos, Readers: j.f.p.o.Readers})
		}
	}
	return k
}

// landLocked ends the flight of an object: those who wait for it hear of its
// outcome.
func (c *fetchControl) landLocked(l *load, n int) {
	f, i := l.f, l.pos[n]
	fl := c.flightOf(l, n)
	delete(c.mu.flights, flightKey{f.p.keys[i], f.p.layout.Fingerprint()})
	l.admitted[n] = true
	err := l.errOf(n)
	why := missOf(err)
	f.own--
	if err == nil {
		f.loaded++
	} else {
		f.failed++
		if reason := lostReason(err); reason != "" {
			f.lost[reason] = append(f.lost[reason], f.p.keys[i])
		}
	}
	c.suppliedLocked(f, i, err == nil, why)
	for _, j := range fl.joins {
		j.f.joins--
		if err == nil {
			j.f.shared++
		}
		c.suppliedLocked(j.f, j.pos, err == nil, why)
		c.mu.check = append(c.mu.check, j.f)
	}
}

// suppliedLocked notes the outcome of a position.
func (c *fetchControl) suppliedLocked(f *fetch, i int, ok bool, why MissReason) {
	if ok {
		f.got[i], f.why[i] = true, MissNone
		return
	}
	f.source[i], f.why[i] = fromNowhere, why
}

// abortLocked discards what could not be loaded.
func (c *fetchControl) abortLocked(l *load, failed []int, at time.Time) {
	cause := func(n int) l1.AbortCause {
		if l.errOf(n) == nil { // nobody wants it
			return l1.AbortTrimmed
		}
		return l1.AbortLoadFailed
	}
	for k := 0; k < len(failed); {
		lo := k
		why := cause(failed[lo])
		for k++; k < len(failed) && l.at[failed[k]] == l.at[failed[k-1]]+1 && cause(failed[k]) == why; k++ {
		}
		l.f.write.AbortRange(at, l.at[failed[lo]], l.at[failed[k-1]]+1, why)
	}
	for _, n := range failed {
		c.landLocked(l, n)
	}
}

// orphanLocked discards what calls that were given up still write to: the memory
// comes back when they return.
func (c *fetchControl) orphanLocked(l *load, late []int, at time.Time) {
	positions := make([]int, len(late))
	for k, n := range late {
		positions[k] = l.at[n]
	}
	l.f.write.OrphanAt(at, positions, l1.AbortLoadFailed)
	for _, n := range late {
		c.landLocked(l, n)
	}
}

// missOf is why a key is missed whose load ended with err.
func missOf(err error) MissReason {
	if err == tier.ErrOpen { //nolint:errorlint // it is returned as it is
		return MissAdapterOpen
	}
	switch l2.ReasonOf(err) {
	case l2.ReasonNone:
		return MissNone
	case l2.ReasonNotFound:
		return MissL2
	case l2.ReasonCorrupt, l2.ReasonSerde:
		return MissL2Corrupt
	case l2.ReasonTimeout:
		return MissL2Timeout
	case l2.ReasonLayout:
		return MissLayout
	case l2.ReasonClosed:
		return MissClosed
	default:
		return MissL2IO
	}
}

// lostReason is err in L2PrefetchFailed.
func lostReason(err error) string {
	if err == tier.ErrOpen { //nolint:errorlint // it is returned as it is
		return ReasonIOError
	}
	switch l2.ReasonOf(err) {
	case l2.ReasonNone:
		return ""
	case l2.ReasonNotFound:
		return ReasonNotFound
	case l2.ReasonCorrupt:
		return ReasonCorrupt
	case l2.ReasonSerde:
		return ReasonSerdeFailure
	case l2.ReasonTimeout:
		return ReasonTimeout
	case l2.ReasonLayout:
		return ReasonLayoutMismatch
	default:
		return ReasonIOError
	}
}
