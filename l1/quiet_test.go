package l1_test

import (
	"testing"
	"time"

	"github.com/lmcache-go/lmcache/internal/runtime"
	"github.com/lmcache-go/lmcache/l1"
)

// counting counts the timers that fire.
type counting struct {
	*runtime.Virtual
	fired int
}

func (c *counting) At(t time.Time, f func()) runtime.Timer {
	return c.Virtual.At(t, func() { c.fired++; f() })
}

// REQ-S81: without leases and listeners nothing wakes up.
func TestIdleCostsNothing(t *testing.T) {
	rt := &counting{Virtual: runtime.NewVirtual(runtime.VirtualOptions{})}
	m, err := l1.New(l1.Options{Bytes: 64 * unit, Runtime: rt})
	if err != nil {
		t.Fatal(err)
	}
	w, err := m.ReserveWrite(rt.Now(), chunks(1, 0, 4), layoutOf(t, unit), l1.WriteNew, l1.WriteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	w.Finish(rt.Now(), l1.OriginNew)
	rt.RunUntil(rt.Now().Add(time.Hour)) // one wake-up may be left of the lease
	if rt.fired > 1 {
		t.Errorf("%d timers fired for a lease that ended in time", rt.fired)
	}
	rt.fired = 0
	rt.RunUntil(rt.Now().Add(time.Hour))
	if rt.fired != 0 {
		t.Errorf("%d timers fired in an idle hour", rt.fired)
	}
	if err := m.Close(); err != nil {
		t.Error(err)
	}
}
