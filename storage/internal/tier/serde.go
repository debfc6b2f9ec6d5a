package tier

import (
	"errors"
	"fmt"

	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// serde stands before a serde of the host. Whatever that does wrong, a panic included, is
// an error of one object.
type serde struct {
	s    l2.Serde
	name string
	err  error // it has no name: nothing is converted
}

// errBound says that a serde did not say, in earnest, how large an object may become.
var errBound = errors.New("no bound")

// maxBound is the most that a bound may be: memory of that size is asked for, and a process
// that has too little of it ends.
func maxBound(layout kv.Layout) int64 { return 8*layout.Size() + 1<<20 }

func newSerde(s l2.Serde) *serde {
	g := &serde{s: s}
	g.err = guarded(func() error {
		g.name = s.Name()
		return nil
	})
	return g
}

// bound is what an object may take, at most.
func (g *serde) bound(layout kv.Layout) (n int64, err error) {
	err = g.err
	if err == nil {
		err = guarded(func() error {
			n = g.s.Bound(layout)
			return nil
		})
	}
	if limit := maxBound(layout); err == nil && (n < 0 || n > limit || int64(int(n)) != n) {
		err = fmt.Errorf("it is said to be %d bytes of an object of %d, must be at most %d", n, layout.Size(), limit)
	}
	if err != nil {
		return 0, g.failed(fmt.Errorf("%w: %w", errBound, err))
	}
	return n, nil
}

// serialize writes the stored form of an object into buf.
func (g *serde) serialize(buf []byte, o *Object) (n int, err error) {
	err = guarded(func() (err error) {
		n, err = g.s.Serialize(buf, o.Data, o.Layout, o.Key)
		return err
	})
	if err == nil && (n < 0 || n > len(buf)) {
		err = fmt.Errorf("it wrote %d bytes into %d", n, len(buf))
	}
	return n, g.failed(err)
}

// deserialize fills an object from its stored form.
func (g *serde) deserialize(form []byte, o *Object) error {
	return g.failed(guarded(func() error { return g.s.Deserialize(o.Data, form, o.Layout, o.Key) }))
}

// failed gives an error its cause; nil stays nil.
func (g *serde) failed(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %s: %w", l2.ErrSerde, g.name, err)
}

// guarded makes an error of a panic.
func guarded(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return f()
}
