package tier

import (
	"log/slog"
	"time"

	"github.com/lmcache-go/lmcache/internal/runtime"
	"github.com/lmcache-go/lmcache/l2"
)

// A pause of background eviction is this long at first, and then twice as long as the
// one before. The longest ends while the failure before it still shows in the health.
const (
	restFirst = time.Second
	restMost  = failingFor / 2
)

// rest is a pause of background eviction after a round that removed nothing, of the whole
// tier, or of one tenant that is above its quota. It ends early, and for good, when
// something is removed. What could not be deleted is the newest afterwards, so the next
// round tries others.
type rest struct {
	idle  int           // evictions in a row that removed nothing
	timer runtime.Timer // nil: there is no pause now
}

// on reports whether there is a pause now. There may be no rest at all.
func (r *rest) on() bool { return r != nil && r.timer != nil }

func (r *rest) stop() {
	if r.on() {
		r.timer.Stop()
		r.timer = nil
	}
}

// evictedLocked ends an eviction. After one that removed nothing no round begins for a
// while. Stores that need room go on asking for it.
func (t *Tier) evictedLocked(d *deletion, err error) {
	if !d.evicts() || d.removed > 0 || t.mu.stopped {
		return
	}
	now, r := t.rt.Now(), &t.mu.rest
	if d.tenant != 0 {
		n := &t.mu.index.tenants[d.tenant]
		if n.objects == 0 {
			return // it is gone
		}
		r = &n.rest
	}
	t.mu.counts.lastFailure = now
	if *r == nil {
		*r = &rest{}
	}
	t.restLocked(*r, d, err, now)
}

// restLocked begins a pause, if there is none.
func (t *Tier) restLocked(r *rest, d *deletion, err error, now time.Time) {
	if r.on() {
		return
	}
	wait := restMost
	if n := r.idle; n < 10 {
		wait = min(restFirst<<n, restMost)
	}
	if r.idle++; r.idle == 1 {
		t.sayStuckLocked(d, err, wait, now)
	}
	r.timer = t.rt.At(now.Add(wait), func() { t.rested(r, d.tenant) })
	t.mu.index.settle(d.tenant)
}

// rested ends a pause that is over.
func (t *Tier) rested(r *rest, tenant uint32) {
	t.lock()
	defer t.unlock()
	if !r.on() {
		return // it has ended early
	}
	r.timer = nil
	if x := &t.mu.index; x.tenants[tenant].rest == r {
		x.settle(tenant)
	}
	t.dispatchLocked(t.rt.Now())
}

// awakeLocked ends the pauses of the tier and of a tenant one of whose objects has been
// removed. The caller settles the tenant.
func (t *Tier) awakeLocked(tenant uint32) {
	for _, r := range []**rest{&t.mu.rest, &t.mu.index.tenants[tenant].rest} {
		(*r).stop()
		*r = nil
	}
}

// endRestsLocked ends all pauses, without a round.
func (t *Tier) endRestsLocked() {
	t.mu.rest.stop()
	x := &t.mu.index
	for id := range x.tenants {
		if r := x.tenants[id].rest; r.on() {
			r.stop()
			x.settle(uint32(id))
		}
	}
}

// sayStuckLocked tells of evictions that remove nothing: once, when they begin.
func (t *Tier) sayStuckLocked(d *deletion, err error, wait time.Duration, now time.Time) {
	if said := t.mu.stuckAt; !said.IsZero() && now.Sub(said) < shortAgain {
		return
	}
	t.mu.stuckAt = now
	attrs := []any{slog.Int("keys", len(d.keys)), slog.String("example", d.keys[0].String()), slog.Duration("retry_in", wait)}
	if err != nil {
		attrs = append(attrs, slog.String("reason", string(reasonOf(err))), slog.Any("error", err))
	} else {
		attrs = append(attrs, slog.String("reason", string(l2.ReasonIO)))
	}
	t.say(func() {
		t.log.Warn("a tier of the cache cannot delete what it evicts: it tries again, with longer and longer pauses", attrs...)
	})
}
