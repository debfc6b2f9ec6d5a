package workload

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"

	"github.com/lmcache-go/lmcache"
	"github.com/lmcache-go/lmcache/gpu"
	"github.com/lmcache-go/lmcache/gpu/fake"
	"github.com/lmcache-go/lmcache/internal/leak"
	"github.com/lmcache-go/lmcache/internal/mooncake"
)

// repeats is a trace of a prompt of four chunks three times, and one of one chunk.
func repeats() []mooncake.Request {
	long := mooncake.Request{InputLength: 2048, HashIDs: []uint64{1, 2, 3, 4}}
	return []mooncake.Request{long, long, long, {InputLength: 512, HashIDs: []uint64{9}}}
}

// runFaulty runs the repeats with faults and checks that nothing stays behind.
func runFaulty(t *testing.T, o Options, faults ...fake.Fault) (Result, string) {
	t.Helper()
	var log bytes.Buffer
	o.Requests, o.CapacityChunks = repeats(), 100
	if o.BytesPerToken == 0 {
		o.BytesPerToken = 64
	}
	o.Engine.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelError}))
	d, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range faults {
		d.dev.Fail(f)
	}
	r, err := d.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s := d.engine.Stats()
	if l := s.Storage.L1; l.Leases != 0 || l.LeasedBytes != 0 || l.StagedBytes != 0 || l.OrphanedBytes != 0 || s.Sessions != 0 {
		t.Errorf("left behind: %+v", s)
	}
	if free := len(d.cache.pool.mu.free); free != d.cache.group().Blocks {
		t.Errorf("%d of %d blocks given back", free, d.cache.group().Blocks)
	}
	if err := d.Close(t.Context()); err != nil {
		t.Error(err)
	}
	return r, log.String()
}

// TestFlippedByte: one wrong byte in one retrieved chunk is one verify failure,
// whether it went wrong on the way out of the cache or on the way in.
func TestFlippedByte(t *testing.T) {
	leak.Check(t)
	for _, tc := range []struct {
		name  string
		fault fake.Fault
		wrong int64
		log   string
	}{
		{"on the way out", fake.Fault{Kind: fake.Scatter, After: 2, Effect: fake.Flip}, 1, "request=1 chunk=2"},
		{"on the way out, last chunk", fake.Fault{Kind: fake.Scatter, After: 7, Effect: fake.Flip}, 1, "request=2 chunk=3"},
		{"in the cache, never read", fake.Fault{Kind: fake.Gather, After: 4, Effect: fake.Flip}, 0, ""},
		{"in the cache, read twice", fake.Fault{Kind: fake.Gather, After: 1, Effect: fake.Flip}, 2, "request=2 chunk=1"},
		{"K and V exchanged", fake.Fault{Kind: fake.Scatter, After: 5, Effect: fake.Swap}, 1, "request=2 chunk=1"},
	} {
		r, log := runFaulty(t, Options{}, tc.fault)
		if r.VerifyFailures != tc.wrong || r.Errors != 0 || r.HitChunks != 8 || r.OK() != (tc.wrong == 0) {
			t.Errorf("%s: %d verify failures, %d errors, %d hits", tc.name, r.VerifyFailures, r.Errors, r.HitChunks)
		}
		if !strings.Contains(log, tc.log) || strings.Count(log, "wrong bytes") != int(tc.wrong) {
			t.Errorf("%s: log without %q:\n%s", tc.name, tc.log, log)
		}
		if tc.wrong == 0 {
			continue
		}
		if r, _ := runFaulty(t, Options{NoVerify: true}, tc.fault); r.VerifyFailures != 0 || !r.OK() {
			t.Errorf("%s: %d verify failures without verification", tc.name, r.VerifyFailures)
		}
	}
}

// pinned is a device that keeps the memory that it was asked to pin.
type pinned struct {
	gpu.Backend
	region []byte
}

func (p *pinned) Pin(region []byte) (unpin func() error, err error) {
	p.region = region
	return p.Backend.Pin(region)
}

// TestFlippedByteInL1: the same for a byte that goes wrong while it lies in L1.
func TestFlippedByteInL1(t *testing.T) {
	o := Options{Requests: repeats()[:2], BytesPerToken: 64, CapacityChunks: 100, Seed: 7}
	var d *Driver
	memory := &pinned{}
	o.wrap = func(b gpu.Backend) gpu.Backend {
		memory.Backend = b
		return memory
	}
	spoiled := false
	o.Progress = func(int) {
		if spoiled {
			return
		}
		spoiled = true
		// The object of chunk 2 is the one of these bytes, wherever it lies.
		c := checker{cache: d.cache, seed: o.Seed}
		tokens := mooncake.Tokens(nil, o.Requests[0], 512)
		before := c.seed*patternP + patternQ
		for chunk := range 3 {
			before = c.expect(tokens[chunk*512:(chunk+1)*512], before)
		}
		at := bytes.Index(memory.region, c.object)
		if at < 0 {
			t.Error("the object is not in L1")
			return
		}
		memory.region[at+12345] ^= 0x10
	}
	d, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := d.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}()
	r, err := d.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !spoiled || r.VerifyFailures != 1 || r.Errors != 0 || r.HitChunks != 4 {
		t.Errorf("%+v", r)
	}
}

// TestDeviceErrors: a device error in the middle of a transfer is counted, and
// nothing wrong is served afterwards.
func TestDeviceErrors(t *testing.T) {
	leak.Check(t)
	for _, tc := range []struct {
		name               string
		fault              fake.Fault
		errors, hit, least int64
		log                string
	}{
		{"retrieve refused", fake.Fault{Kind: fake.Scatter, After: 2}, 1, 4, 5, "retrieve failed"},
		{"retrieve torn", fake.Fault{Kind: fake.Scatter, After: 5, Effect: fake.Tear}, 1, 4, 5, "retrieve failed"},
		{"store refused", fake.Fault{Kind: fake.Gather, After: 1}, 1, 4, 5, "store failed"},
		{"store torn", fake.Fault{Kind: fake.Gather, After: 3, Effect: fake.Tear}, 1, 4, 5, "store failed"},
	} {
		r, log := runFaulty(t, Options{}, tc.fault)
		if r.Errors != tc.errors || r.VerifyFailures != 0 || r.OK() || r.HitChunks < tc.hit || r.StoredChunks < tc.least {
			t.Errorf("%s: %+v", tc.name, r)
		}
		if !strings.Contains(log, tc.log) {
			t.Errorf("%s: log without %q:\n%s", tc.name, tc.log, log)
		}
	}
	// A device that is gone for good: every operation fails, none hangs.
	r, _ := runFaulty(t, Options{}, fake.Fault{Kind: fake.Gather, After: 2, Sticky: true})
	if r.Errors != 4 || r.Requests != 4 || r.HitChunks != 0 || r.OK() {
		t.Errorf("device lost: %+v", r)
	}
}

// TestNothingCopied: a retrieve that reports success but copies nothing is found,
// although the blocks are the ones that held the right bytes before.
func TestNothingCopied(t *testing.T) {
	d, err := Open(t.Context(), Options{Requests: repeats(), BytesPerToken: 64, CapacityChunks: 100})
	if err != nil {
		t.Fatal(err)
	}
	c := newClient(d)
	ctx := context.WithoutCancel(t.Context())
	if r := c.serve(ctx, 0, &d.o.Requests[0]); r.stored != 4 || r.errors != 0 {
		t.Fatalf("%+v", r)
	}
	if r := c.serve(ctx, 1, &d.o.Requests[1]); r.hits != 4 || r.wrong != 0 {
		t.Fatalf("%+v", r)
	}
	session := d.engine.Session(lmcache.Request{Model: modelOf(d.o.Seed)})
	match := session.Lookup(ctx, c.tokens)
	c.blocks = d.cache.pool.take(nil, 4*512/d.cache.group().BlockTokens)
	d.cache.wipe(c.blocks) // all that retrieve does before it copies
	wrong := 0
	c.checker.check(c.tokens, 4, 512, c.blocks, func(difference) { wrong++ })
	if wrong != 4 {
		t.Errorf("%d chunks are wrong, want 4", wrong)
	}
	var r report
	if c.retrieve(ctx, &r, 2, match, 4); r.hits != 4 || r.wrong != 0 || r.errors != 0 {
		t.Errorf("%+v", r)
	}
	d.cache.pool.give(c.blocks)
	if err := session.Close(); err != nil {
		t.Error(err)
	}
	if err := d.Close(ctx); err != nil {
		t.Error(err)
	}
}

// Each seed has keys of its own, also 0: objects of another seed are other bytes.
func TestSeedsShareNoKeys(t *testing.T) {
	seen := map[string]uint64{}
	for _, seed := range []uint64{0, 1, 2, 10} {
		name := modelOf(seed)
		if other, ok := seen[name]; ok {
			t.Errorf("the seeds %d and %d share the model %s", other, seed, name)
		}
		seen[name] = seed
	}
	if modelOf(1) != model {
		t.Errorf("the model of the default seed is %s, want %s", modelOf(1), model)
	}
}
