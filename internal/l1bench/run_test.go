package l1bench_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lmcache-go/lmcache/eventbus"
	"github.com/lmcache-go/lmcache/internal/l1bench"
	"github.com/lmcache-go/lmcache/internal/leak"
	"github.com/lmcache-go/lmcache/l1"
)

func small() l1bench.Options {
	return l1bench.Options{
		ObjectBytes: 4096, Keys: 256, Batch: 8, Threads: 2, Duration: 50 * time.Millisecond, Mix: l1bench.Both,
		L1: l1.Options{Bytes: 64 * 4096},
	}
}

func names(rs []l1bench.Result) (out []string) {
	for _, r := range rs {
		out = append(out, r.Name)
	}
	return out
}

// Every part has a figure and a baseline that were measured, and nothing is left
// running.
func TestRun(t *testing.T) {
	leak.Check(t)
	for mix, want := range map[l1bench.Mix]string{
		l1bench.Both: "publish reserve_finish lookup store retrieve", l1bench.Store: "publish reserve_finish store", l1bench.Read: "lookup retrieve",
	} {
		o := small()
		o.Mix = mix
		var last time.Duration
		o.Progress = func(done time.Duration) { last = max(last, done) }
		rs, err := l1bench.Run(t.Context(), o)
		if err != nil || !slices.Equal(names(rs), strings.Fields(want)) {
			t.Errorf("%s: %v, %v", mix, names(rs), err)
		}
		for _, r := range rs {
			if r.Value <= 0 || r.Baseline <= 0 || r.Ratio != r.Value/r.Baseline || r.P99 <= 0 || r.Max < r.P99 || r.Calls == 0 {
				t.Errorf("%s: %+v", mix, r)
			}
		}
		if last == 0 || last > o.Total() {
			t.Errorf("%s: progress ended at %v of %v", mix, last, o.Total())
		}
	}
}

// With events each part is measured once more, against itself without them.
func TestRunWithEvents(t *testing.T) {
	leak.Check(t)
	o := small()
	heard, closed := 0, 0
	o.Events = func() (*eventbus.Bus, func() error, error) {
		bus := eventbus.New(eventbus.Options{})
		_, err := bus.Subscribe(counter{&heard})
		return bus, func() error { closed++; return bus.Close(context.WithoutCancel(t.Context())) }, err
	}
	rs, err := l1bench.Run(t.Context(), o)
	if err != nil || len(rs) != 10 || rs[1].Name != "publish_events" || rs[1].Baseline != rs[0].Value {
		t.Errorf("%v, %v", names(rs), err)
	}
	if heard == 0 || closed != 5 {
		t.Errorf("%d events heard, %d buses closed", heard, closed)
	}
}

type counter struct{ n *int }

func (counter) Name() string { return "counter" }

func (c counter) Subscribe(s *eventbus.Subscription) {
	eventbus.On(s, func(l1.WriteFinished, time.Time) { *c.n++ })
}

func TestRunEnds(t *testing.T) {
	leak.Check(t)
	ctx, cancel := context.WithCancel(t.Context())
	o := small()
	o.Duration = time.Hour
	o.Progress = func(time.Duration) { cancel() }
	if rs, err := l1bench.Run(ctx, o); !errors.Is(err, context.Canceled) || len(rs) != 0 {
		t.Errorf("%v, %v", rs, err)
	}
}

func TestValidate(t *testing.T) {
	for _, c := range []struct {
		do   func(*l1bench.Options)
		want string
	}{
		{func(o *l1bench.Options) { o.Batch, o.Threads = 0, -1 }, "Batch: must be positive, got 0\nl1bench: Threads: must be positive, got -1"},
		{func(o *l1bench.Options) { o.Keys = 7 }, "Keys: must be at least one batch of 8, got 7"},
		{func(o *l1bench.Options) { o.L1.Bytes = 4096 }, "L1.Bytes: must hold a batch of 8 objects for each thread and one more, 24 objects, got room for 1"},
		{func(o *l1bench.Options) { o.Mix = "write" }, `Mix: must be store, read or both, got "write"`},
	} {
		o := small()
		c.do(&o)
		if err := o.Validate(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want %q", err, c.want)
		}
		if _, err := l1bench.Run(t.Context(), o); err == nil {
			t.Errorf("%q: it ran", c.want)
		}
	}
}
