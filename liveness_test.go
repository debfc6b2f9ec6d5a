package lmcache_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lmcache-go/lmcache"
	"github.com/lmcache-go/lmcache/eventbus"
	"github.com/lmcache-go/lmcache/gpu"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// TestREQ_E42_Reaping: a worker that pings lives, however idle; a silent one goes
// within a quarter of the timeout after its time: the reap timeout if it ever pinged,
// and else the grace of a registration. Operations and running transfers are signs of
// life; embedded workers need none.
func TestREQ_E42_Reaping(t *testing.T) {
	for _, timeout := range []time.Duration{30 * time.Second, 120 * time.Second} {
		r := newHostRig(t, func(o *lmcache.Options) { o.ReapTimeout = timeout })
		pinging, silent, mute, busy := r.client(1), r.client(2), r.client(3), r.client(4)
		alive := func(c *client) bool {
			for _, h := range r.eng.Stats().HostWorkers {
				if h.EngineID == c.h.ID() {
					return true
				}
			}
			return false
		}
		r.eng.Ping(2)
		r.eng.Ping(4)
		began := r.rt.Now()
		gone := make(map[*client]time.Duration)
		for since := time.Duration(0); since < 4000*time.Second; since = r.rt.Now().Sub(began) {
			r.wait(10 * time.Second)
			r.eng.Ping(1)
			busy.commit(key("x", tokens(1, chunkTokens), 0, 1))
			for _, c := range []*client{pinging, silent, mute, busy} {
				if _, known := gone[c]; !known && !alive(c) {
					gone[c] = r.rt.Now().Sub(began)
				}
			}
		}
		slack := timeout/4 + 11*time.Second
		for c, limit := range map[*client]time.Duration{silent: timeout, mute: lmcache.DefaultRegistrationGrace} {
			if at := gone[c]; at <= limit || at > limit+slack {
				t.Errorf("timeout %v: instance %d went after %v, want %v to %v", timeout, c.id, at, limit, limit+slack)
			}
		}
		if len(gone) != 2 {
			t.Errorf("%d workers are gone", len(gone))
		}
		if got := r.eng.Stats(); got.Liveness.Reaped != 2 || got.Liveness.Instances != 2 || len(got.HostWorkers) != 3 {
			t.Errorf("%+v, %d workers", got.Liveness, len(got.HostWorkers))
		}
	}
}

// TestREQ_E42_NeverReaped: with no timeout nobody is reaped, and bad limits are
// refused.
func TestREQ_E42_NeverReaped(t *testing.T) {
	r := newHostRig(t)
	r.client(1)
	r.eng.Ping(1)
	r.wait(1000 * time.Hour)
	if n := len(r.eng.Stats().HostWorkers); n != 2 {
		t.Errorf("%d workers", n)
	}
	for _, tc := range []struct {
		o    lmcache.Options
		want string
	}{
		{lmcache.Options{ReapTimeout: 29 * time.Second}, "ReapTimeout"},
		{lmcache.Options{ReapTimeout: -time.Second}, "ReapTimeout"},
		{lmcache.Options{ReapTimeout: time.Minute, RegistrationGrace: 59 * time.Second}, "RegistrationGrace"},
		{lmcache.Options{SessionTTL: -1}, "SessionTTL"},
		{lmcache.Options{MaxSessions: -1}, "MaxSessions"},
		{lmcache.Options{SessionBytes: -1}, "SessionBytes"},
	} {
		tc.o.L1.Bytes = 1 << 20
		if err := tc.o.Validate(); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%v says nothing of %s", err, tc.want)
		}
	}
	if err := (lmcache.Options{L1: r.options().L1, ReapTimeout: 2 * time.Hour}).Validate(); err != nil {
		t.Errorf("a long timeout: %v", err)
	}
}

func (r *hostRig) options() (o lmcache.Options) {
	o.L1.Bytes = 1 << 20
	return o
}

// TestREQ_E42_TransfersAreLife: a worker whose device is at work is not reaped; when
// the device is done and the client stays silent, it is. (REQ-E40: what it held goes
// back.)
func TestREQ_E42_TransfersAreLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRigNoLeak(t, setup{engine: func(o *lmcache.Options) { o.ReapTimeout = 120 * time.Second }})
		id := int64(77)
		w, err := r.eng.Attach(lmcache.WorkerOptions{Model: model, Backend: r.dev, Cache: r.cache, Instance: &id})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := r.eng.Instance(id); err != nil || got != w || w.ID() != "77" || !r.eng.Ping(id) {
			t.Errorf("%v, %v", got, err)
		}
		if _, err := r.eng.Host(id); !errors.Is(err, lmcache.ErrUnknownInstance) {
			t.Errorf("it is a host worker: %v", err)
		}
		s := r.session("a")
		r.dev.Pause()
		out, err := w.Store(t.Context(), s, tokens(1, 2*chunkTokens), table(span(0, 4)...), nil)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		if n := len(r.eng.Stats().Workers); n != 2 {
			t.Errorf("%d workers while a transfer runs", n)
		}
		r.dev.Resume()
		if err := out.Wait(t.Context()); err != nil || !out.Success() {
			t.Errorf("%v, success %v", err, out.Success())
		}
		time.Sleep(119 * time.Second)
		if n := len(r.eng.Stats().Workers); n != 2 {
			t.Errorf("%d workers before its time", n)
		}
		time.Sleep(35 * time.Second)
		synctest.Wait()
		if n := len(r.eng.Stats().Workers); n != 1 {
			t.Errorf("%d workers after its time", n)
		}
		if r.eng.Ping(id) {
			t.Error("the reaped instance is known")
		}
		if _, err := w.Store(t.Context(), s, tokens(2, 2*chunkTokens), table(span(0, 4)...), nil); !errors.Is(err, lmcache.ErrClosed) {
			t.Errorf("store: %v", err)
		}
		r.end(s)
	})
}

// TestREQ_E40_ReapHungDevice: a reaped worker whose device never reports is given up
// after 30 s; its leases stay, and nobody waits for it.
func TestREQ_E40_ReapHungDevice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRigNoLeak(t, setup{leaves: true})
		id := int64(1)
		attach := func(cache *gpu.Paged) *lmcache.Worker {
			w, err := r.eng.Attach(lmcache.WorkerOptions{NoSelfTest: true, Model: model, Backend: r.dev, Cache: cache, Instance: &id})
			if err != nil {
				t.Fatal(err)
			}
			return w
		}
		w := attach(r.cache)
		if attach(r.cache) != w {
			t.Error("equal options are another worker")
		}
		s := r.session("a")
		r.dev.Hang()
		out, err := w.Store(t.Context(), s, tokens(1, 2*chunkTokens), table(span(0, 4)...), nil)
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		second := attach(r.paged(64)) // a client that was restarted
		if took := time.Since(began); took != 0 {
			t.Errorf("the registration took %v", took)
		}
		if err := out.Wait(t.Context()); !errors.Is(err, lmcache.ErrClosed) || time.Since(began) != 30*time.Second {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
		synctest.Wait()
		if got := r.eng.Stats(); len(got.Workers) != 2 || got.Storage.L1.WritingObjects != 2 {
			t.Errorf("%d workers, %d staged", len(got.Workers), got.Storage.L1.WritingObjects)
		}
		if got, err := r.eng.Instance(id); err != nil || got != second {
			t.Errorf("the instance: %v", err)
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Second)
		defer cancel()
		_ = r.eng.Close(ctx) // names the leases of the lost device
		oneEnd(t, r.events())
	})
}

// TestREQ_E43_Replace: a known instance with equal options is the same worker; with
// others the new one replaces it: what the old one had pending is discarded, once, and
// new data has the new layout.
func TestREQ_E43_Replace(t *testing.T) {
	r := newHostRig(t)
	id := int64(5)
	prompt := tokens(1, 2*chunkTokens)
	r.keep(1, prompt)
	if err := r.host.Close(); err != nil {
		t.Fatal(err)
	}
	old := r.attach(lmcache.HostOptions{Instance: &id})
	if again := r.attach(lmcache.HostOptions{Instance: &id, Layout: old.Layout()}); again != old {
		t.Error("equal options are another worker")
	}
	s := r.session("a")
	st, err := old.PrepareStore(t.Context(), s, tokens(2, chunkTokens), 0, chunkTokens)
	if err != nil {
		t.Fatal(err)
	}
	in := r.readBy(old, s.Lookup(t.Context(), prompt), 0, 2)
	wide := &lmcache.HostGeometry{Layers: 4, Hidden: 8, DType: kv.Float16}
	h := r.attach(lmcache.HostOptions{Instance: &id, Geometry: wide})
	if h == old || h.ID() != old.ID() {
		t.Error("other options are the same worker")
	}
	r.idle()
	if err := st.Commit(); !errors.Is(err, lmcache.ErrLost) {
		t.Errorf("commit of the old worker: %v", err)
	}
	in.Done()
	if _, err := old.PrepareStore(t.Context(), s, prompt, 0, 16); !errors.Is(err, lmcache.ErrClosed) {
		t.Errorf("the old worker: %v", err)
	}
	if err := old.Close(); err != nil {
		t.Error(err)
	}
	if got, err := r.eng.Host(id); err != nil || got != h {
		t.Errorf("the instance is %v, %v", got, err)
	}
	if n := r.hits(prompt); n != 0 {
		t.Errorf("%d chunks of the old layout are found", n)
	}
	st, err = h.PrepareStore(t.Context(), s, tokens(3, chunkTokens), 0, chunkTokens)
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range st.All() {
		if len(b) != 2*objectBytes {
			t.Errorf("a buffer of %d bytes", len(b))
		}
		clear(b)
	}
	if err := st.Commit(); err != nil {
		t.Error(err)
	}
	if n := r.hits(tokens(3, chunkTokens)); n != 1 {
		t.Errorf("%d chunks of the new layout are found", n)
	}
	r.end(s)
	list := r.events()
	oneEnd(t, list)
	if n := len(of[lmcache.StoreEnded](list)); n != 3 {
		t.Errorf("%d stores ended", n)
	}
}

// TestReportBlocksUndecoded: a report is decoded only if somebody listens, and its
// error is returned.
func TestReportBlocksUndecoded(t *testing.T) {
	r := newHostRig(t)
	quiet := newHostRig(t, func(o *lmcache.Options) { o.Bus = eventbus.New(eventbus.Options{}) })
	decoded := 0
	decode := func() ([]lmcache.BlockAllocation, error) {
		decoded++
		return []lmcache.BlockAllocation{{RequestID: "a"}}, nil
	}
	if err := quiet.eng.ReportBlocksFunc(1, model, decode); err != nil || decoded != 0 {
		t.Errorf("decoded %d times for nobody: %v", decoded, err)
	}
	if err := r.eng.ReportBlocksFunc(1, model, decode); err != nil || decoded != 1 {
		t.Errorf("decoded %d times: %v", decoded, err)
	}
	bad := errors.New("bad")
	if err := r.eng.ReportBlocksFunc(1, model, func() ([]lmcache.BlockAllocation, error) { return nil, bad }); !errors.Is(err, bad) {
		t.Errorf("a bad report: %v", err)
	}
	if e := of[lmcache.BlocksAllocated](r.events()); len(e) != 1 || e[0].Records[0].RequestID != "a" {
		t.Errorf("%+v", e)
	}
}

// TestPingOfUnknown: pings of an unknown instance are a warning once per id and
// minute, and do not grow without bound.
func TestPingOfUnknown(t *testing.T) {
	var log bytes.Buffer
	r := newHostRig(t, func(o *lmcache.Options) { o.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
	warnings := func() int {
		n := strings.Count(log.String(), "ping of an unknown instance")
		log.Reset()
		return n
	}
	for range 10 {
		for id := range int64(3) {
			if r.eng.Ping(id) {
				t.Error("known")
			}
		}
		r.wait(5 * time.Second)
	}
	if n := warnings(); n != 3 {
		t.Errorf("%d warnings within a minute", n)
	}
	r.wait(10 * time.Second)
	r.eng.Ping(1)
	if n := warnings(); n != 1 {
		t.Errorf("%d warnings after a minute", n)
	}
	for id := range int64(5000) {
		r.eng.Ping(id)
	}
	if n := warnings(); n == 0 || n > 1024 {
		t.Errorf("%d warnings for 5000 ids", n)
	}
	r.wait(time.Minute)
	r.eng.Ping(4999)
	if n := warnings(); n != 1 {
		t.Errorf("%d warnings when there is room again", n)
	}
	if err := r.eng.Detach(t.Context(), 4999); err != nil || !strings.Contains(log.String(), "unknown instance") {
		t.Errorf("detach: %v, log %q", err, log.String())
	}
}
