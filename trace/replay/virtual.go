package replay

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"time"

	"github.com/lmcache-go/lmcache/eventbus"
	"github.com/lmcache-go/lmcache/storage"
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

	// NoCompare leaves out the comparison with what was recorded.
	NoCompare bool

	// Line hears of every record that is a call of the plain format, when it is made.
	Line   func(Line)
	Logger *slog.Logger // nil: no logs
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
	so := o.Storage
	so.L1.NoBytes = true
	if so.Bus == nil {
		so.Bus = eventbus.New(eventbus.Options{Manual: true})
	}
	r := &Result{Ops: make(map[string]*Op), Malformed: t.damaged, Gaps: t.gaps, Lost: t.lost, Virtual: true}
	u := &virtualRun{t: t, o: &o, r: r, begin: time.Now()}
	u.verdict = newVerdict(r, o.Diverged, t.outcomes && !o.NoCompare)
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
	u.verdict.start = u.start
	u.p = newPlayer(&Options{Manager: m, Logger: o.Logger}, r)
	u.p.virtual, u.p.verdict = v, u.verdict
	u.pending = make(map[int64][]*entry)
	u.next(ctx)
	v.Run()
	u.p.close(ctx)
	v.Run() // what letting go has started
	u.totals(m.Stats())
	so.Bus.Drain(v.Now())
	r.Duration = time.Since(u.begin)
	r.OutcomeDigest = hex.EncodeToString(u.verdict.sum())
	r.Unmet = u.verdict.unmet()
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
	pending map[int64][]*entry // by owner that waits for a prefetch: its calls
	err     error
}

// next makes the next entry an input at its time. One at a time is in the queue, so
// that it stays short.
func (u *virtualRun) next(ctx context.Context) {
	for u.at < len(u.t.entries) {
		e := &u.t.entries[u.at]
		if e.mono > u.o.To {
			return
		}
		u.at++
		if e.mono < u.o.From {
			continue
		}
		if u.at%1024 == 0 && ctx.Err() != nil {
			u.r.Interrupted = true
			return
		}
		u.v.At(u.start.Add(time.Duration(math.Round((e.mono-u.o.From)*float64(time.Second)))), func() {
			u.arrive(e)
			u.next(ctx)
		})
		return
	}
}

// ownerOf is whose leases an entry uses; ok is false for calls that use none.
func (e *entry) ownerOf() (n int64, ok bool) {
	switch e.call.Name {
	case storage.CallReserveWrite, storage.CallSubmitPrefetch:
		return number(e.call), true
	case storage.CallFinishWrite, storage.CallReadEnter, storage.CallReadExit, storage.CallFinishRead:
		return e.call.Owner, true
	}
	return 0, false
}

// arrive handles an entry whose time has come.
func (u *virtualRun) arrive(e *entry) {
	u.verdict.recorded(e.outcomes)
	u.p.abort(e.outcomes)
	if e.call == nil {
		u.skip(e)
		return
	}
	n, ok := e.ownerOf()
	if !ok {
		if err := u.p.playOwn(context.Background(), e.call); err != nil { //nolint:forbidigo // nothing waits in virtual time
			u.r.Malformed++
			u.o.Logger.Warn("trace replay: "+e.name+" was not carried out", "error", err)
			return
		}
		u.r.Own++
		return
	}
	if queue, waits := u.pending[n]; waits {
		u.pending[n] = append(queue, e)
		return
	}
	u.play(n, e)
}

func (u *virtualRun) skip(e *entry) {
	if e.own {
		return // outcomes alone
	}
	u.index++
	u.p.skip(e.name, e.err)
	u.tell(Line{Index: u.index, Name: e.name, Failed: true, Skipped: true, Mono: e.mono, N: storage.NoCall})
}

func (u *virtualRun) tell(l Line) {
	if u.o.Line != nil {
		u.o.Line(l)
	}
}

// play makes a call of an owner that waits for nothing.
func (u *virtualRun) play(n int64, e *entry) {
	u.index++
	u.verdict.calling(e.call, e.mono)
	took, err := u.p.play(context.Background(), e.call) //nolint:forbidigo // nothing waits in virtual time
	u.r.count(e.name, took, err)
	if err != nil {
		u.o.Logger.Warn("trace replay: handler for "+e.name+" raised", "error", err)
	}
	u.tell(Line{Index: u.index, Name: e.name, Latency: took, Failed: err != nil, Mono: e.mono, N: e.call.N})
	if left := len(u.p.unresolved); left > 0 {
		u.pending[n] = nil // from now on its calls wait
		for _, h := range u.p.unresolved {
			u.v.When(h, func() {
				if left--; left == 0 {
					u.resolved(n)
				}
			})
		}
		u.p.unresolved = nil
	}
}

// resolved goes on with an owner whose prefetch has resolved.
func (u *virtualRun) resolved(n int64) {
	u.p.arrived(n)
	queue := u.pending[n]
	delete(u.pending, n)
	for i, e := range queue {
		u.play(n, e)
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
