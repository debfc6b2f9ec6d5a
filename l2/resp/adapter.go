package resp

import (
	"context"
	"fmt"
	"strings"

	"github.com/redis/rueidis"

	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// Adapter keeps objects in a server.
type Adapter struct {
	o    Options
	conn *connector
	free pool
	gate l2.Gate
}

var (
	_ l2.Adapter     = (*Adapter)(nil)
	_ l2.Formatter   = (*Adapter)(nil)
	_ l2.Lister      = (*Adapter)(nil)
	_ l2.PageScanner = (*Adapter)(nil)
	_ l2.Describer   = (*Adapter)(nil)
)

// Open returns an adapter. It does not connect: the first call does.
func Open(o Options) (*Adapter, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	o = o.withDefaults()
	return &Adapter{o: o, conn: newConnector(o)}, nil
}

// Format implements [l2.Formatter].
func (a *Adapter) Format() l2.Format { return a.o.Format }

// enter begins a call, which has a time limit and ends with leave.
func (a *Adapter) enter(ctx context.Context) (_ context.Context, leave func(), err error) {
	if err := a.gate.Enter(); err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, a.o.RequestTimeout)
	leave = func() { cancel(); a.gate.Leave() }
	if err := ctx.Err(); err != nil {
		leave()
		return nil, nil, err
	}
	return ctx, leave, nil
}

// do runs f with a client for a batch of n keys. What f returns condemns the batch; if it
// says that the server could not be talked to, other addresses are tried next time.
func (a *Adapter) do(ctx context.Context, n int, f func(context.Context, *link) error) error {
	ctx, leave, err := a.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	if n == 0 {
		return nil
	}
	c, err := a.conn.get(ctx)
	if err != nil {
		return err
	}
	defer a.conn.release(c)
	if err = a.failure(ctx, c, f(ctx, c)); err != nil {
		a.conn.failed(c, err)
	}
	return err
}

// failure is the error of a command, or of an item. If the server is a replica, or one
// that has lost its master, and there are others, a master is looked for, and the command
// is to be tried again.
func (a *Adapter) failure(ctx context.Context, c *link, err error) error {
	if a.conn.choice() && said(err) && (word(err) == "READONLY" || word(err) == "MASTERDOWN") {
		text := err.Error()
		if missing := a.conn.refused(c); missing != nil {
			text += " (no master was found: " + strings.ReplaceAll(missing.Error(), "\n", "; ") + ")"
		}
		return fmt.Errorf("resp: %w: %s", l2.ErrThrottled, text)
	}
	return failure(ctx, err)
}

// name is what the object of a key is called in the server.
func (a *Adapter) name(k kv.Key) string { return a.prefix() + a.o.Format.RemoteName(k) }

func (a *Adapter) prefix() string {
	if a.o.Prefix == "" {
		return ""
	}
	return a.o.Prefix + "@"
}

// parse is the inverse of name.
func (a *Adapter) parse(name string) (kv.Key, error) {
	rest, ok := strings.CutPrefix(name, a.prefix())
	if !ok {
		return kv.Key{}, kv.ErrNotKey
	}
	return a.o.Format.ParseRemoteName(rest)
}

// Lookup implements [l2.Adapter]. An object is a string that is not empty.
func (a *Adapter) Lookup(ctx context.Context, keys []kv.Key, found []l2.Found) error {
	clear(found)
	return a.do(ctx, len(keys), func(ctx context.Context, c *link) error {
		values, err := a.sizes(ctx, c, c, keys)
		for i, v := range values {
			found[i] = l2.Found{OK: v.size > 0, Size: v.size, Err: v.err}
		}
		return err
	})
}

// value is what a server says of one key.
type value struct {
	size int64 // of the string; 0: there is none
	err  error // why the server did not say
}

// sizes asks for the length of each key's value. An error means that the server could
// not be talked to about any.
func (a *Adapter) sizes(ctx context.Context, l *link, c rueidis.Client, keys []kv.Key) ([]value, error) {
	cmds := make(rueidis.Commands, len(keys))
	for i, k := range keys {
		cmds[i] = c.B().Strlen().Key(a.name(k)).Build()
	}
	values := make([]value, len(keys))
	var lost error
	answered := false
	for i, r := range c.DoMulti(ctx, cmds...) {
		n, err := r.AsInt64()
		switch {
		case err == nil:
			values[i].size, answered = n, true
		case foreign(err):
			answered = true // another type: not ours
		default:
			if answered = answered || said(err); !said(err) {
				lost = err
			}
			values[i].err = a.failure(ctx, l, err)
		}
	}
	if answered {
		return values, nil
	}
	return values, lost
}

// Delete implements [l2.Adapter]. If the server refuses all, that is an error.
func (a *Adapter) Delete(ctx context.Context, keys []kv.Key, freed []int64) error {
	return a.do(ctx, len(keys), func(ctx context.Context, c *link) error {
		values, err := a.sizes(ctx, c, c, keys)
		if err != nil {
			return err
		}
		cmds := make(rueidis.Commands, len(keys))
		for i, k := range keys {
			cmds[i] = c.B().Unlink().Key(a.name(k)).Build()
		}
		var lost error
		removed := false
		for i, r := range c.DoMulti(ctx, cmds...) {
			n, err := r.AsInt64()
			switch {
			case err != nil:
				freed[i], lost = -1, err
				continue
			case n == 0:
				freed[i] = 0
			default:
				freed[i] = values[i].size
			}
			removed = true
		}
		if removed {
			return nil
		}
		return lost
	})
}

// Close implements [l2.Adapter]. Calls in progress end with their time limit at the
// latest.
func (a *Adapter) Close() error {
	a.gate.Close()
	a.conn.close()
	return nil
}

// Describe implements [l2.Describer].
func (a *Adapter) Describe() map[string]any {
	addr, s := a.conn.describe()
	d := map[string]any{"cluster": a.o.Cluster}
	if addr != "" {
		d["server"] = addr
	}
	if s.policy != "" {
		d["maxmemory_policy"] = s.policy
	}
	if s.refuses {
		d["replica"] = true // which stores nothing
	}
	return d
}
