package tiertest

import (
	"context"
	"math/rand/v2"
	"syscall"
	"time"

	"github.com/lmcache-go/lmcache/internal/servertest"
	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/l2/fs/fstest"
	"github.com/lmcache-go/lmcache/l2/l2test"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// chaos lets things fail, several at a time, each for a while.
type chaos struct {
	s      *soak
	rng    *rand.Rand
	rt     *jumping
	tiers  []*tier
	most   int           // faults at a time
	every  time.Duration // longest time between two
	active []active
}

// active is a fault and when it ends.
type active struct {
	until time.Time
	undo  func()
}

// run makes faults until ctx ends, on the goroutine of the test.
func (c *chaos) run(ctx context.Context) {
	for ctx.Err() == nil {
		c.next()
		pause(ctx, time.Duration(c.rng.Int64N(int64(c.every))))
		now := time.Now()
		kept := c.active[:0]
		for _, a := range c.active {
			if now.Before(a.until) {
				kept = append(kept, a)
			} else {
				a.undo()
			}
		}
		c.active = kept
	}
}

// end takes all faults away.
func (c *chaos) end() {
	for _, a := range c.active {
		a.undo()
	}
	c.active = nil
}

// begin counts a fault that lasts for up to most.
func (c *chaos) begin(name string, most time.Duration, undo func()) {
	c.s.fault(name)
	c.active = append(c.active, active{time.Now().Add(time.Duration(c.rng.Int64N(int64(most)))), undo})
}

func (c *chaos) next() {
	if len(c.active) >= c.most {
		return
	}
	t := c.tiers[c.rng.IntN(len(c.tiers))]
	switch n := c.rng.IntN(100); {
	case n < 50:
		c.adapter(t)
	case n < 80 && t.kind == onDisk:
		c.disk(t)
	case n < 84 && (t.kind == onRedis || t.kind == onS3):
		c.server(t)
	case n >= 96:
		c.s.fault("clock jump")
		c.rt.jump(time.Duration(c.rng.IntN(4000)) * time.Millisecond)
	default:
	}
}

// adapter lets calls of a tier fail.
func (c *chaos) adapter(t *tier) {
	const ms = time.Millisecond
	op := one(c.rng, l2test.AnyOp, l2test.Store, l2test.Load, l2test.Lookup, l2test.Delete)
	f := l2test.Fault{Op: op}
	var name string
	most := 40 * ms
	if part := byte(c.rng.IntN(4)); part > 0 {
		f.Match = func(k kv.Key) bool { b, _ := k.Hash.Array(); return b[1]%4 == part }
	}
	switch c.rng.IntN(11) {
	case 0:
		f.Effect, name = l2test.FailCall, "error of a call"
		f.Err = one(c.rng, l2.ErrIO, l2.ErrConnection, l2.ErrTimeout, l2.ErrThrottled, l2.ErrClosed, error(syscall.EIO))
	case 1:
		f.Effect, name = l2test.Fail, "error of a key"
		f.Err = one(c.rng, l2.ErrIO, l2.ErrNotFound, l2.ErrCorrupt, l2.ErrTimeout, l2.ErrNoSpace, l2.ErrTooLarge, l2.ErrConnection, l2.ErrThrottled)
	case 2:
		f.Effect, name = l2test.Hang, "hang"
	case 3:
		f.Effect, name, most = l2test.Deaf, "hang that ignores its context", 400*ms
	case 4:
		f.Effect, name, f.Delay = l2test.Slow, "slow", time.Duration(c.rng.IntN(20))*ms
	case 5:
		f.Effect, name, f.Op = l2test.Short, "short read", l2test.Load
	case 6:
		f.Effect, name, f.Op = l2test.Corrupt, "corrupted read", l2test.Load
	case 7:
		f.Effect, name, f.Op = l2test.BadHead, "corrupted header", l2test.Load
	case 8:
		f.Effect, name, f.Op = l2test.Lose, "lost store", l2test.Store
	case 9:
		f.Effect, name, f.Err = l2test.Panic, "panic", l2.ErrIO
	default:
		f = l2test.Fault{Effect: l2test.FailCall, Err: l2.ErrConnection}
		name, most = "tier gone", 150*ms
	}
	c.begin(name, most, t.faulty.Inject(f).Remove)
}

// disk lets the file system fail, or damages files.
func (c *chaos) disk(t *tier) {
	const ms = time.Millisecond
	d := c.s.rig.disk
	after := c.rng.IntN(3)
	seen := 0
	fail := func(name string, f func(fstest.Call) fstest.Fault) {
		c.begin(name, 40*ms, d.fail(func(call fstest.Call) (is fstest.Fault) { // under the mutex of the disk
			if is = f(call); is.Err != nil || is.Most > 0 {
				if seen++; seen <= after {
					return fstest.Fault{}
				}
			}
			return is
		}))
	}
	switch c.rng.IntN(10) {
	case 0:
		fail("disk full", func(call fstest.Call) (f fstest.Fault) {
			if call.Op == fstest.Write {
				f = fstest.Fault{Err: syscall.ENOSPC, Most: call.Bytes / 8192 * 4096}
			}
			return f
		})
	case 1:
		fail("disk read-only", func(call fstest.Call) (f fstest.Fault) {
			switch call.Op {
			case fstest.Rename, fstest.Remove, fstest.Mkdir, fstest.SetTime, fstest.Link:
				f.Err = syscall.EROFS
			case fstest.Open:
				if call.Mode.Create {
					f.Err = syscall.EROFS
				}
			default:
			}
			return f
		})
	case 2:
		op := one(c.rng, fstest.Open, fstest.Read, fstest.Write, fstest.FStat, fstest.Sync, fstest.Close, fstest.Rename, fstest.Remove, fstest.Stat, fstest.ReadDir)
		fail("disk error", func(call fstest.Call) (f fstest.Fault) {
			if call.Op == op {
				f.Err = syscall.EIO
			}
			return f
		})
	case 3:
		op := one(c.rng, fstest.Read, fstest.Write)
		fail("short read or write of a file", func(call fstest.Call) (f fstest.Fault) {
			if call.Op == op && call.Bytes > 4096 {
				f.Most = call.Bytes / 8192 * 4096
			}
			return f
		})
	case 4:
		fail("no direct I/O", func(call fstest.Call) (f fstest.Fault) {
			if call.Mode.Direct {
				f.Err = syscall.EINVAL
			}
			return f
		})
	case 5:
		d.full(true)
		c.begin("no space", 1500*ms, func() { d.full(false) })
	case 6:
		d.foreign(t.n, c.rng)
		c.s.fault("foreign file")
	default:
		if what := d.damage(t.n, c.rng); what != "" {
			c.s.fault(what)
		}
	}
}

// server stops a real server, or ends it and starts it again.
func (c *chaos) server(t *tier) {
	var s *servertest.Server
	if s = c.s.rig.redis; t.kind == onS3 {
		s = c.s.rig.s3
	}
	if c.rng.IntN(3) > 0 {
		s.Hang()
		c.begin("server of "+t.kind+" hangs", 300*time.Millisecond, s.Resume)
		return
	}
	s.Kill()
	c.begin("server of "+t.kind+" killed", 200*time.Millisecond, s.Restart)
}
