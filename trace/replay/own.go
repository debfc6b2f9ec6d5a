package replay

import (
	"context"

	"github.com/lmcache-go/lmcache/storage"
	"github.com/lmcache-go/lmcache/storage/kv"
	"github.com/lmcache-go/lmcache/trace"
)

// makeOwn makes a call that only the extended format has. An error says why it was not
// carried out; it is counted.
func (p *player) makeOwn(ctx context.Context, e *entry) error {
	var o trace.Outcome
	err := e.err
	if err == nil {
		p.calling(e)
		o, err = p.playOwn(ctx, e.call)
	}
	if err != nil {
		p.r.Malformed++
		p.o.Logger.Warn("trace replay: "+e.name+" was not carried out", "error", err)
		return err
	}
	p.r.Own++
	p.decided(o)
	return nil
}

// playOwn is the call of makeOwn.
func (p *player) playOwn(ctx context.Context, c *trace.Call) (o trace.Outcome, err error) {
	m := p.o.Manager
	switch c.Name {
	case storage.CallClear:
		m.Clear(c.Force)
	case storage.CallDelete:
		if c.Outer {
			return o, p.deleteOuter(ctx, c)
		}
		m.Delete(c.Keys, c.Force)
	case storage.CallTouch:
		m.Touch(c.Keys)
	case storage.CallRenew:
		o.Entered = p.renew(c)
	case storage.CallQuota:
		if c.Bytes == storage.NoQuota {
			m.DeleteQuota(c.Salt)
			return o, nil
		}
		return o, m.SetQuota(c.Salt, c.Bytes)
	}
	return o, nil
}

// renew starts the time of a lease anew: of what was claimed in a scope, or else of what
// its owner has reserved or found. What the replay does not have is not live.
func (p *player) renew(c *trace.Call) (live bool) {
	w := p.owners[c.Owner]
	switch {
	case w == nil:
	case c.Scope > 0:
		for _, l := range w.scopes[c.Scope] {
			live = l.Renew() || live
		}
	case w.keys != nil:
		live = w.reserved.Renew()
	default:
		for _, h := range w.found {
			live = h.Renew() || live
		}
	}
	return live
}

// deleteOuter deletes from tiers. In one that the replay does not have there is
// nothing. In virtual time it does not wait for the end.
func (p *player) deleteOuter(ctx context.Context, c *trace.Call) error {
	tiers := len(p.o.Manager.Stats().Tiers)
	switch {
	case tiers == 0 || c.Tier >= tiers:
		return nil
	case p.virtual != nil:
		return p.o.Manager.StartDeleteL2(c.Keys, c.Tier, nil)
	}
	_, err := p.o.Manager.DeleteL2(ctx, c.Keys, c.Tier)
	return err
}

// abort carries out what outcomes say was given up.
func (p *player) abort(outcomes []trace.Outcome) {
	for i := range outcomes {
		o := &outcomes[i]
		w := p.owners[o.N]
		if o.Aborted == nil || w == nil {
			continue
		}
		var keys []kv.Key
		for j, k := range w.keys {
			if hasBit(o.Aborted, j) {
				keys = append(keys, k)
			}
		}
		if o.Expired {
			w.ExpireWrite(keys)
		} else {
			w.AbortWrite(keys)
		}
		p.r.Aborts++
		p.now = about{n: o.N, recorded: true, name: storage.CallReserveWrite}
		p.decided(trace.Outcome{Aborted: o.Aborted, Expired: o.Expired})
		p.settle(o.N)
	}
}
