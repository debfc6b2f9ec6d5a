package tiertest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/storage"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// client is a user of a manager: it looks prompts up, reads what is found and stores
// the rest, and does what else a manager is asked for.
type client struct {
	s         *soak
	m         *storage.Manager
	ttl       time.Duration
	rng       *rand.Rand
	tidy      bool     // it forgets nothing
	forgotten []func() // ends of what was leased and not given back
	scratch   []byte
}

// chunks is the longest prompt.
const chunks = 14

// prompt is the chunks of a random conversation: some begin as others do. They go on
// changing with time, so that there is always something new.
func (c *client) prompt() ([]kv.Key, kv.Layout) {
	n := uint64(c.rng.IntN(48))
	if c.rng.IntN(4) == 0 {
		n += 1000 + c.s.turns.Load()>>9 // one that nobody comes back to after a while
	}
	shared, layout := n%6, c.s.layouts[n%uint64(len(c.s.layouts))]
	if c.rng.IntN(40) == 0 {
		layout = one(c.rng, c.s.layouts...)
	}
	salt := ""
	switch n % 3 {
	case 1:
		salt = "t"
	case 2:
		salt = fmt.Sprintf("user-%d", n%7)
	}
	keys := make([]kv.Key, 1+c.rng.IntN(chunks))
	for i := range keys {
		id := 1_000_000 + n*1000 + uint64(i)
		if uint64(i) < shared {
			id = shared*1000 + uint64(i)
		}
		keys[i] = numbered("m", salt, id)
	}
	return keys, layout
}

// run takes turns until ctx ends, and gives everything back.
func (c *client) run(ctx context.Context) {
	for ctx.Err() == nil {
		c.s.turns.Add(1)
		c.turn(ctx)
		pause(ctx, time.Duration(c.rng.IntN(600))*time.Microsecond)
	}
	for _, end := range c.forgotten {
		end()
	}
}

// pause waits for d or the end of ctx.
func pause(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

func (c *client) turn(ctx context.Context) {
	keys, layout := c.prompt()
	switch n := c.rng.IntN(100); {
	case n < 70:
		c.request(ctx, keys, layout)
	case n < 80:
		c.store(ctx, keys, layout, kv.Key{})
	case n < 84:
		c.abandon(ctx, keys, layout)
	default:
		c.manage(ctx, n, keys)
	}
}

// manage does what operators do.
func (c *client) manage(ctx context.Context, n int, keys []kv.Key) {
	short, cancel := context.WithTimeout(ctx, time.Duration(c.rng.IntN(40))*time.Millisecond)
	defer cancel()
	c.s.count("administration")
	switch n - 84 {
	case 0, 1:
		_ = c.m.Flush(short) // it may take longer than that
	case 2, 3:
		tier := c.rng.IntN(c.s.tiers)
		q := l2.ListQuery{PageSize: 1 + c.rng.IntN(50), Model: one(c.rng, "", "m")}
		for range 3 {
			page, err := c.m.ListL2(short, tier, q)
			if err != nil || page.Next == "" {
				break
			}
			q.Cursor = page.Next
		}
	case 4, 5:
		c.m.Touch(keys)
	case 6, 7:
		c.m.Delete(keys, c.rng.IntN(2) == 0)
	case 8, 9:
		_, _ = c.m.DeleteL2(short, keys, c.rng.IntN(c.s.tiers+1)-1)
	case 10, 11:
		salt := one(c.rng, "", "t", "user-2", "user-5")
		if c.rng.IntN(3) == 0 {
			c.m.DeleteQuota(salt)
		} else if err := c.m.SetQuota(salt, c.rng.Int64N(2_000_000)); err != nil && !errors.Is(err, l1.ErrQuotaUnsupported) && !errors.Is(err, storage.ErrClosed) {
			c.s.t.Errorf("a quota: %v", err)
		}
	case 12:
		c.m.Clear(c.rng.IntN(2) == 0)
	default:
		st := c.m.Stats()
		if st.L1.UsedBytes > st.L1.CapacityBytes {
			c.s.t.Errorf("%d bytes of %d are used", st.L1.UsedBytes, st.L1.CapacityBytes)
		}
	}
}

// request is what an engine does with a prompt.
func (c *client) request(ctx context.Context, keys []kv.Key, layout kv.Layout) {
	c.s.count("requests")
	o := storage.PrefetchOptions{Owner: "client", Readers: 1 + c.rng.IntN(2), SkipL2: c.rng.IntN(10) == 0, Warm: c.rng.IntN(12) == 0}
	if c.rng.IntN(4) == 0 {
		o.Policy = storage.Sparse
	}
	if c.rng.IntN(4) == 0 {
		o.Deadline = time.Duration(1+c.rng.IntN(50)) * time.Millisecond
	}
	repeats := c.rng.IntN(16) == 0
	if repeats {
		keys = append(keys, keys[c.rng.IntN(len(keys))])
	}
	began := c.m.Now()
	p, err := c.m.SubmitPrefetch(ctx, keys, layout, o)
	if err != nil {
		c.refused(err)
		return
	}
	defer p.Release()
	if c.rng.IntN(20) == 0 {
		return // its user has gone
	}
	if c.rng.IntN(4) == 0 {
		_, _ = p.WaitPlan(ctx)
	}
	r, err := p.Wait(ctx)
	if err != nil {
		return
	}
	for i := range keys {
		if r.Found.Has(i) && !r.InL1.Has(i) {
			c.s.count("objects from tiers")
		}
	}
	if !o.Warm {
		c.read(ctx, p, &r, o, layout, began, repeats)
	}
	if r.Prefix < len(keys) && !repeats {
		after := kv.Key{}
		if r.Prefix > 0 {
			after = keys[r.Prefix-1]
		}
		c.store(ctx, keys[r.Prefix:], layout, after)
	}
}

func (c *client) refused(err error) {
	if !errors.Is(err, storage.ErrClosed) {
		c.s.t.Errorf("refused: %v", err)
	}
}

// read claims what was found, in parts, and compares it. What the result names must
// be there as long as its lease lasts.
func (c *client) read(ctx context.Context, p *storage.Prefetch, r *storage.PrefetchResult, o storage.PrefetchOptions, layout kv.Layout, began time.Time, repeats bool) {
	n := len(p.Keys())
	for range o.Readers {
		for lo := 0; lo < n; {
			if !r.Found.Has(lo) {
				lo++
				continue
			}
			hi := lo + 1
			for hi < n && r.Found.Has(hi) && c.rng.IntN(5) > 0 {
				hi++
			}
			l, err := p.Read(context.WithoutCancel(ctx), storage.Select{Lo: lo, Hi: hi})
			if err != nil {
				if late := c.m.Now().Sub(began) >= c.ttl; !late && !repeats {
					c.s.t.Errorf("what was found cannot be read after %v of %v: %v", c.m.Now().Sub(began), c.ttl, err)
				}
				c.s.count("leases that expired")
				lo = hi
				continue
			}
			c.compare(&l, layout)
			if c.rng.IntN(8) == 0 {
				pause(ctx, time.Duration(c.rng.IntN(3000))*time.Microsecond)
				c.compare(&l, layout) // nobody has changed it
			}
			switch c.rng.IntN(12) {
			case 0:
				l.FinishRange(0, 1)
				l.Abort()
			case 1:
				c.forget(l.Abort)
			default:
				l.Finish()
			}
			lo = hi
		}
	}
}

// compare compares every byte of a lease.
func (c *client) compare(l *storage.ReadLease, layout kv.Layout) {
	keys := l.Keys()
	for i, b := range l.All() {
		if d := differs(b, keys[i], layout, &c.scratch); d != "" {
			c.s.t.Errorf("wrong bytes: %s", d)
		}
		c.s.verified.Add(1)
		c.s.bytes.Add(int64(len(b)))
	}
}

// forget keeps a lease until later, or for ever: until its time is over.
func (c *client) forget(end func()) {
	if c.tidy {
		end()
		return
	}
	c.forgotten = append(c.forgotten, end)
	if len(c.forgotten) > 6 {
		c.forgotten[0]()
		c.forgotten = c.forgotten[1:]
	}
}

// store writes objects, not all of which are finished.
func (c *client) store(ctx context.Context, keys []kv.Key, layout kv.Layout, after kv.Key) {
	c.s.count("stores")
	o := storage.WriteOptions{Owner: "client", After: after}
	if c.rng.IntN(8) == 0 {
		o.Wait = time.Duration(c.rng.IntN(5000)) * time.Microsecond
	}
	w, err := c.m.ReserveWrite(ctx, keys, layout, one(c.rng, storage.New, storage.New, storage.New, storage.All, storage.Update), o)
	if err != nil {
		c.refused(err)
		return
	}
	for i, b := range w.All() {
		fill(b, keys[i], layout)
	}
	if c.rng.IntN(8) == 0 {
		pause(ctx, time.Duration(c.rng.IntN(3000))*time.Microsecond)
	}
	n := len(keys)
	switch c.rng.IntN(16) {
	case 0:
		w.Abort()
	case 1:
		w.Drop(c.rng.IntN(n))
		w.Finish()
	case 2:
		k := 1 + c.rng.IntN(n)
		w.FinishRange(0, k)
		w.AbortRange(k, n)
	case 3:
		c.forget(w.Abort)
	default:
		r := w.Finish()
		c.s.stored.Add(int64(len(r.Finished)))
	}
}

// abandon looks up and does not come back for a while.
func (c *client) abandon(ctx context.Context, keys []kv.Key, layout kv.Layout) {
	p, err := c.m.SubmitPrefetch(ctx, keys, layout, storage.PrefetchOptions{Owner: "forgets", Readers: 1 + c.rng.IntN(3)})
	if err != nil {
		c.refused(err)
		return
	}
	c.s.count("abandoned lookups")
	c.forget(p.Release)
}
