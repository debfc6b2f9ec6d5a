package replay

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"time"

	"github.com/lmcache-go/lmcache/eventbus"
	"github.com/lmcache-go/lmcache/storage"
	"github.com/lmcache-go/lmcache/trace"
)

// VirtualOptions configures a replay in virtual time. Storage is required.
type VirtualOptions struct {
	// Storage is the configuration under test. Its L1 keeps no bytes; its tiers are
	// modelled. Its Bus must be nil or made with eventbus.Options.Manual.
	Storage storage.Options
	Models  []storage.Model // of the tiers, one for each
	Seed    uint64          // of all randomness

	From, To float64 // seconds of the recording; To 0: to its end

	// Diverged hears of every call whose outcome is not the recorded one, in the order in
	// which both are known; nil: they are counted alone.
	Diverged func(Divergence)

	Strict bool // that of Options

	// NoCompare leaves out the comparison with what was recorded.
	NoCompare bool

	// Line hears of every record that is a call of the plain format, when it is made.
	Line   func(Line)
	Logger *slog.Logger // nil: no logs

	// Complete is that of Options.
	Complete func(Line)
}

// Virtual replays a tape in virtual time: the same manager, controllers and policies as
// Run, on one goroutine, over a queue ordered by virtual time. Equal tapes, options and
// seeds give equal results and an equal Result.OutcomeDigest on every run and machine.
// A call that needs a prefetch that is not resolved waits for it, and later calls of
// its owner queue behind it.
func (t *Tape) Virtual(ctx context.Context, o VirtualOptions) (*Result, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.To == 0 {
		o.To = math.Inf(1)
	}
	if !(o.From >= 0) || !(o.To >= o.From) {
		return nil, fmt.Errorf("replay: From, To: must be seconds, the second not below the first, got %v and %v", o.From, o.To)
	}
	if o.Storage.Bus == nil {
		o.Storage.Bus = eventbus.New(eventbus.Options{Manual: true})
	}
	so := o.Storage
	so.L1.NoBytes = true
	r := &Result{Ops: make(map[string]*Op), Virtual: true}
	u := &virtualRun{t: t, o: &o, r: r, begin: time.Now(), before: make(before)}
	compares := t.outcomes && !o.NoCompare
	u.lines = newLines(o.Complete, compares)
	var against *comparison
	if compares {
		against = newComparison(&r.Comparison)
		against.diverged, against.compared = o.Diverged, u.lines.compared
	}
	u.verdict = newVerdict(r, against, func(at time.Time) float64 { return at.Sub(u.start).Seconds() + o.From })
	u.verdict.keep = o.Complete != nil
	sub, err := so.Bus.Subscribe(u.verdict)
	if err != nil {
		return nil, err
	}
	defer sub.Close()
	m, v, err := storage.OpenVirtual(so, storage.VirtualOptions{Seed: o.Seed, Models: o.Models})
	if err != nil {
		return nil, err
	}
	u.m, u.v, u.start = m, v, v.Now()
	u.p = newPlayer(&Options{Manager: m, Logger: o.Logger}, r)
	u.p.virtual, u.p.verdict, u.p.collect = v, u.verdict, o.Complete != nil
	u.pending = make(map[int64][]arrival)
	u.next(ctx)
	v.Run()
	u.settle()
	if !r.Interrupted {
		u.flaws(len(t.entries))
	}
	u.p.close(ctx)
	v.Run() // what letting go has started
	u.totals(m.Stats())
	so.Bus.Drain(v.Now())
	r.Duration = time.Since(u.begin)
	r.OutcomeDigest = u.verdict.digest()
	if against != nil {
		r.Unmet = against.first.without(&against.second)
	}
	u.lines.close(u.p.takeDone(), u.verdict.takeVictims())
	return r, errors.Join(m.Close(ctx), u.err)
}

// virtualRun is one replay in virtual time.
type virtualRun struct {
	t       *Tape
	o       *VirtualOptions
	r       *Result
	m       *storage.Manager
	v       *storage.Virtual
	p       *player
	verdict *verdict
	begin   time.Time
	start   time.Time // virtual
	at      int       // entries that have been taken
	index   int64
	pending map[int64][]arrival // by owner that waits for a prefetch: its calls
	late    []int64             // lookups that had resolved in the recording and have not here
	lines   *lines
	before  before
	flaw    int      // those that were taken in
	unread  heldLine // in place of each line, if nobody reads them
	err     error
}

// arrival is an entry whose time has come.
type arrival struct {
	*entry
	line *heldLine // nil: it is of the extended format
}

// next makes the next entry an input at its time. One at a time is in the queue, so
// that it stays short.
func (u *virtualRun) next(ctx context.Context) {
	for u.at < len(u.t.entries) && u.t.entries[u.at].mono < u.o.From {
		if e := &u.t.entries[u.at]; e.call != nil {
			u.before.add(e.call.N)
		}
		u.at++
	}
	if u.at < len(u.t.entries) && u.t.entries[u.at].mono <= u.o.To {
		u.v.At(u.time(u.at), func() { u.step(ctx) })
	}
}

// time is when an entry is due.
func (u *virtualRun) time(i int) time.Time {
	return u.start.Add(duration(u.t.entries[i].mono - u.o.From))
}

// step handles the entries that are due now, in one step: they were calls without a pause
// between them. What else is due now comes first, because they were made after it, or
// because of it.
func (u *virtualRun) step(ctx context.Context) {
	now := u.time(u.at)
	again := func() { u.v.At(now, func() { u.step(ctx) }) }
	if u.v.Due() {
		again()
		return
	}
	for u.at < len(u.t.entries) && u.t.entries[u.at].mono <= u.o.To && !u.time(u.at).After(now) {
		e := &u.t.entries[u.at]
		u.learn(e)
		if u.waits(e) && u.v.Due() {
			again()
			return
		}
		u.flaws(u.at)
		u.at++
		if u.at%1024 == 0 && ctx.Err() != nil {
			u.r.Interrupted = true
			return
		}
		u.arrive(e)
	}
	u.next(ctx)
}

// flaws takes in what is wrong in the range and before an entry.
func (u *virtualRun) flaws(before int) {
	for ; u.flaw < len(u.t.flaws) && u.t.flaws[u.flaw].before <= before; u.flaw++ {
		if f := &u.t.flaws[u.flaw]; f.within(u.o.From, u.o.To) {
			f.count(u.r, u.o.Logger)
			u.strict("%s", f.text)
		}
	}
}

// strict notes what VirtualOptions.Strict forbids.
func (u *virtualRun) strict(format string, args ...any) {
	if u.o.Strict && u.r.Strict == "" {
		u.r.Strict = fmt.Sprintf(format, args...)
	}
}

// waits reports whether an entry has to wait for a prefetch of its owner.
func (u *virtualRun) waits(e *entry) bool {
	if e.call == nil || e.early || e.own {
		return false
	}
	if _, blocked := u.blocker(e); blocked {
		return true
	}
	_, waits := u.pending[ownerOf(e.call)]
	return waits
}

// ownerOf is whose leases a call uses; storage.NoCall of calls that use none, and where
// none was recorded.
func ownerOf(c *trace.Call) int64 {
	switch c.Name {
	case storage.CallReserveWrite, storage.CallSubmitPrefetch:
		return number(c)
	case storage.CallFinishWrite, storage.CallReadEnter, storage.CallReadExit, storage.CallFinishRead, storage.CallRenew:
		return c.Owner
	}
	return storage.NoCall
}

// arrive handles an entry whose time has come.
func (u *virtualRun) arrive(e *entry) {
	u.verdict.recorded(u.before.without(e.outcomes))
	u.abort(e)
	if e.call != nil && u.before.drop(e.call) {
		return
	}
	if e.own {
		if e.call == nil && e.err == nil { // there are outcomes alone
			return
		}
		if e.call == nil {
			u.play(storage.NoCall, arrival{e, nil})
			return
		}
		n := ownerOf(e.call)
		if queue := u.pending[n]; e.call.Name == storage.CallRenew && len(queue) > 0 {
			u.pending[n] = append(queue, arrival{e, nil}) // of what is claimed by a call that waits, perhaps
			return
		}
		u.play(n, arrival{e, nil})
		return
	}
	u.index++
	a := arrival{e, &u.unread}
	if u.o.Line != nil || u.lines != nil {
		a.line = u.lines.begin(u.index, e)
	}
	if e.call == nil {
		u.p.skip(e.name, e.err)
		u.strict("record %d (%s) was skipped: %v", u.index, e.name, e.err)
		u.told(a)
		return
	}
	if n, blocked := u.blocker(e); blocked {
		u.park(a, n)
		return
	}
	n := ownerOf(e.call)
	if queue, waits := u.pending[n]; waits && (!e.early || len(queue) > 0) {
		u.pending[n] = append(queue, a)
		return
	}
	u.play(n, a)
}

// drain makes the victims of a call known before the next one, which may be of the same step.
func (u *virtualRun) drain() { u.o.Storage.Bus.Drain(u.v.Now()) }

// told tells of a record.
func (u *virtualRun) told(a arrival) {
	u.drain()
	if u.o.Line != nil {
		u.o.Line(a.line.Line)
	}
	u.lines.end(a.line, u.p.takeDone(), u.verdict.takeVictims())
}

// play makes a call of an owner that waits for nothing.
func (u *virtualRun) play(n int64, a arrival) {
	if a.own && a.call == nil && a.err == nil {
		u.p.abort(a.outcomes)
		return
	}
	if a.own {
		if err := u.p.makeOwn(context.Background(), a.entry); err != nil { //nolint:forbidigo // nothing waits in virtual time
			u.strict("%s was not carried out: %v", a.name, err)
		}
		u.drain()
		return
	}
	unmatched := u.r.Unmatched
	u.p.make(context.Background(), a.entry, a.line) //nolint:forbidigo // nothing waits in virtual time
	if u.r.Unmatched > unmatched {
		u.strict(unmatchedText, a.mono)
	}
	u.told(a)
	if left := len(u.p.unresolved); left > 0 {
		u.pending[n] = nil // from now on its calls wait
		if !u.t.outcomes {
			u.late = append(u.late, n)
		}
		for _, h := range u.p.unresolved {
			u.v.When(h, func() {
				if left--; left == 0 {
					u.resolved(n)
				}
			})
		}
	}
}

// resolved goes on with an owner whose prefetch has resolved.
func (u *virtualRun) resolved(n int64) {
	u.p.arrived(n)
	u.late = slices.DeleteFunc(u.late, func(late int64) bool { return late == n })
	u.flush(n)
}

// flush makes the calls of an owner that have waited.
func (u *virtualRun) flush(n int64) {
	queue := u.pending[n]
	delete(u.pending, n)
	for i, a := range queue {
		if a.reserves() && number(a.call) != n {
			u.unpark(a)
			continue
		}
		u.play(n, a)
		if _, waits := u.pending[n]; waits {
			u.pending[n] = append(u.pending[n], queue[i+1:]...)
			return
		}
	}
}

// totals reads what the manager counts.
func (u *virtualRun) totals(s storage.Stats) {
	for _, t := range s.Tiers {
		u.r.L2Written += t.WrittenBytes
		u.r.L2Read += t.ReadBytes
	}
	slices.Sort(u.r.waits)
	u.r.VirtualTime = u.v.Now().Sub(u.start)
}
