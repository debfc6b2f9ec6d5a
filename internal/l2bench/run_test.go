package l2bench

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lmcache-go/lmcache/internal/leak"
	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/l2/fault"
	"github.com/lmcache-go/lmcache/l2/fs"
	"github.com/lmcache-go/lmcache/l2/mem"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// counted is an adapter that counts what it is asked.
type counted struct {
	l2.Adapter

	mu                   sync.Mutex
	calls                []int // items of each call
	running, most        int
	stores, loads, looks int
}

func (c *counted) Unwrap() l2.Adapter { return c.Adapter }

func (c *counted) call(n int, counter *int, do func() error) error {
	c.mu.Lock()
	c.calls = append(c.calls, n)
	*counter++
	c.running++
	c.most = max(c.most, c.running)
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		c.running--
		c.mu.Unlock()
	}()
	return do()
}

func (c *counted) Store(ctx context.Context, items []l2.Item) error {
	return c.call(len(items), &c.stores, func() error { return c.Adapter.Store(ctx, items) })
}

func (c *counted) Load(ctx context.Context, items []l2.Item) error {
	return c.call(len(items), &c.loads, func() error { return c.Adapter.Load(ctx, items) })
}

func (c *counted) Lookup(ctx context.Context, keys []kv.Key, found []l2.Found) error {
	return c.call(len(keys), &c.looks, func() error { return c.Adapter.Lookup(ctx, keys, found) })
}

func memory64(t *testing.T, o mem.Options) *mem.Adapter {
	t.Helper()
	if o.Capacity == 0 {
		o.Capacity = 64 << 20
	}
	s, err := mem.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func small(a l2.Adapter) Options {
	return Options{Adapter: a, Keys: 8, InFlight: 2, Bytes: 5000, Align: 1, Rounds: 3, Warmup: 1}
}

func run(t *testing.T, o Options) []Result {
	t.Helper()
	results, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return results
}

// Every operation handles every key in every round, in as many calls as a tier would
// make, and leaves nothing behind.
func TestRun(t *testing.T) {
	leak.Check(t)
	for _, raw := range []bool{false, true} {
		s := memory64(t, mem.Options{Format: l2.Format{Raw: raw}})
		c := &counted{Adapter: s}
		o := small(c)
		o.Settings = l2.Settings{Workers: 3, PerOpWorkers: 2}
		var lines []string
		o.Progress = func(line string) { lines = append(lines, line) }
		results := run(t, o)
		var ops []Op
		for _, r := range results {
			ops = append(ops, r.Operation)
			if r.TotalKeys() != 48 || r.Success != 48 || r.Wrong != 0 || r.TimedOut != 0 || len(r.Failed()) > 0 {
				t.Errorf("%s: %+v", r.Operation, r)
			}
			s := r.Summary()
			if s.Min <= 0 || s.Min > s.P50 || s.P50 > s.P99 || s.P99 > s.Max || s.Avg < s.Min || s.Avg > s.Max {
				t.Errorf("%s: durations %+v", r.Operation, s)
			}
			if (r.Rate(time.Second) != 16*5000) != (r.Operation == Lookup) {
				t.Errorf("%s: %v bytes per second if a round takes one", r.Operation, r.Rate(time.Second))
			}
		}
		if want := []Op{Store, Lookup, Load}; !slices.Equal(ops, want) {
			t.Errorf("operations %v", ops)
		}
		// Four calls of two items for each of two submissions, in four rounds.
		if c.stores != 32 || c.loads != 32 || c.looks != 8 || c.most > 3 || slices.Max(c.calls[:32]) != 2 {
			t.Errorf("%d stores, %d loads, %d lookups, %d at a time; items %v", c.stores, c.loads, c.looks, c.most, c.calls)
		}
		page, err := s.List(t.Context(), l2.ListQuery{PageSize: 10})
		if err != nil || len(page.Entries) > 0 {
			t.Errorf("%d objects are left, %v", len(page.Entries), err)
		}
		if text := strings.Join(lines, "\n"); !strings.Contains(text, "[Store] Running 1 warmup + 3 measurement rounds...\n  [Store] Round 1: ") ||
			!strings.Contains(text, "ms, success_keys=16/16\n") || !strings.Contains(text, "ms, found=16/16\n") || !strings.HasSuffix(text, "ms, loaded=16/16") {
			t.Errorf("progress:\n%s", text)
		}
	}
}

func TestOnlyAndHitRate(t *testing.T) {
	s := memory64(t, mem.Options{})
	o := small(s)
	o.MaxHitRate = 0.3
	for _, only := range []Op{Store, Lookup, Load} {
		o.Only = only
		results := run(t, o)
		if len(results) != 1 || results[0].Operation != only || len(results[0].Failed()) > 0 {
			t.Fatalf("only %s: %+v", only, results)
		}
		want := 48
		if only == Lookup {
			want = 3 * 2 * 2 // two of the eight keys of each submission
		}
		if results[0].Success != want {
			t.Errorf("only %s: %d keys, want %d", only, results[0].Success, want)
		}
	}
}

// What fails is counted by its reason, and bytes that are wrong are found.
func TestFailures(t *testing.T) {
	full := run(t, small(memory64(t, mem.Options{Capacity: 20000})))
	if r := full[0]; r.Success >= r.TotalKeys() || r.Failures[l2.ReasonNoSpace] != r.TotalKeys()-r.Success || len(r.Failed()) != 1 {
		t.Errorf("a full store: %+v, %v", r, r.Failed())
	}
	if r := full[1]; len(r.Failed()) != 1 || !strings.Contains(r.Failed()[0], "are missing") {
		t.Errorf("lookups in a full store: %+v, %v", r, r.Failed())
	}
	if r := full[2]; r.Failures[l2.ReasonNotFound] != r.TotalKeys()-r.Success || r.Rate(time.Second) != 80000*float64(r.Success)/48 {
		t.Errorf("loads from a full store: %+v", r)
	}
	for _, raw := range []bool{false, true} {
		flips, err := fault.New(memory64(t, mem.Options{Format: l2.Format{Raw: raw}}), fault.Options{CorruptRate: 1})
		if err != nil {
			t.Fatal(err)
		}
		results := run(t, small(flips))
		r := results[len(results)-1]
		if corrupt := r.Failures[l2.ReasonCorrupt]; !raw && corrupt != 48 || raw && r.Wrong != 64 {
			t.Errorf("raw %v: %d keys corrupt, %d wrong", raw, corrupt, r.Wrong)
		}
		if len(r.Failed()) != 1 {
			t.Errorf("raw %v: %v", raw, r.Failed())
		}
	}
}

// An adapter that hangs is late in every round, and no round waits longer than it may.
func TestTimedOut(t *testing.T) {
	leak.Check(t)
	hangs, err := fault.New(memory64(t, mem.Options{}), fault.Options{HangRate: 1})
	if err != nil {
		t.Fatal(err)
	}
	o := small(hangs)
	limit := 5 * time.Millisecond
	o.Settings = l2.Settings{Workers: 16, Timeouts: l2.Timeouts{Store: limit, Load: limit, Lookup: limit, Delete: limit}}
	for _, r := range run(t, o) {
		if r.TimedOut != 3 || r.Failures[l2.ReasonTimeout] != 48 || r.Success != 0 || len(r.Failed()) != 1 {
			t.Errorf("%+v", r)
		}
	}
}

// An interrupted run gives the rounds that it has.
func TestInterrupted(t *testing.T) {
	leak.Check(t)
	ctx, cancel := context.WithCancel(t.Context())
	s := memory64(t, mem.Options{})
	o := small(s)
	var lines atomic.Int64
	o.Progress = func(line string) {
		if lines.Add(1) == 3 { // the second measured round of stores
			cancel()
		}
	}
	results, err := Run(ctx, o)
	if !errors.Is(err, context.Canceled) || len(results) != 1 || len(results[0].Durations) != 2 {
		t.Errorf("%+v, %v", results, err)
	}
	page, err := s.List(t.Context(), l2.ListQuery{PageSize: 10})
	if err != nil || len(page.Entries) > 0 {
		t.Errorf("%d objects are left, %v", len(page.Entries), err)
	}
}

// Beside files a plain program moves the same bytes, and its file is removed.
func TestRaw(t *testing.T) {
	dir := t.TempDir()
	for _, size := range []int64{5000, 8192} {
		s, err := fs.Open(t.Context(), fs.Options{BasePath: dir})
		if err != nil {
			t.Fatal(err)
		}
		o := small(s)
		o.Bytes, o.RawDir = size, dir
		results := run(t, o)
		for _, r := range results {
			rate, ratio, ok := r.RawRate()
			if ok != (r.Operation != Lookup) || ok && (rate <= 0 || ratio <= 0) || len(r.Failed()) > 0 {
				t.Errorf("%d bytes, %s: %v bytes per second, ratio %v, %v; %v", size, r.Operation, rate, ratio, ok, r.Failed())
			}
			if size == 5000 && r.RawDirect {
				t.Error("5000 bytes by direct I/O")
			}
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("left: %v, %v", entries, err)
	}
	if _, err := newRaw(t.Context(), &Options{RawDir: dir + "/missing", Bytes: 1, Keys: 1, InFlight: 1}, 1); err == nil {
		t.Error("a folder that is not there")
	}
}

// beacon is an adapter whose plain client takes notes.
type beacon struct {
	l2.Adapter

	mu     sync.Mutex
	values map[int]string
	fail   error
}

func (p *beacon) Plain() l2.PlainClient { return p }

func (p *beacon) Write(_ context.Context, first int, values [][]byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, v := range values {
		p.values[first+i] = string(v)
	}
	return p.fail
}

func (p *beacon) Read(_ context.Context, first int, values [][]byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range values {
		if copy(values[i], p.values[first+i]) != len(values[i]) {
			return l2.ErrNotFound
		}
	}
	return nil
}

func (p *beacon) Remove(_ context.Context, values int) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range values {
		delete(p.values, i)
	}
	return nil
}

// Beside a server a plain client of it moves the same bytes, each round, and leaves
// nothing. If it cannot there is no result.
func TestPlainClient(t *testing.T) {
	p := &beacon{Adapter: memory64(t, mem.Options{}), values: map[int]string{}}
	o := small(p)
	o.RawClient, o.InFlight = true, 2
	for _, r := range run(t, o) {
		rate, ratio, ok := r.RawRate()
		if ok != (r.Operation != Lookup) || ok && (rate <= 0 || ratio <= 0 || !r.RawClient || r.RawDirect || len(r.Raw) != o.Rounds) || len(r.Failed()) > 0 {
			t.Errorf("%s: %v bytes per second, ratio %v, %v, %d rounds; %v", r.Operation, rate, ratio, ok, len(r.Raw), r.Failed())
		}
	}
	if len(p.values) != 0 {
		t.Errorf("%d values are left", len(p.values))
	}
	p.fail = l2.ErrRefused
	if _, err := Run(t.Context(), o); !errors.Is(err, l2.ErrRefused) || !strings.Contains(err.Error(), "plain client: refused") || len(p.values) != 0 {
		t.Errorf("%v, %d values are left", err, len(p.values))
	}
	o.RawClient = false
	if results, err := Run(t.Context(), o); err != nil || results[0].Raw != nil {
		t.Errorf("not asked for: %v, %v", results[0].Raw, err)
	}
}

func TestSummary(t *testing.T) {
	r := Result{KeysPerRound: 1, RoundBytes: 100, Success: 4}
	if d := cmp.Diff(Summary{}, r.Summary()); d != "" {
		t.Error(d)
	}
	for _, ms := range []int{4, 1, 2, 3} {
		r.Durations = append(r.Durations, time.Duration(ms)*time.Second)
	}
	want := Summary{Avg: 2500 * time.Millisecond, Min: time.Second, Max: 4 * time.Second, P50: 2 * time.Second, P99: 4 * time.Second, Std: 1118033988}
	if d := cmp.Diff(want, r.Summary()); d != "" {
		t.Error(d)
	}
	r.Raw = []time.Duration{2 * time.Second, 2 * time.Second, 2 * time.Second, 2 * time.Second}
	if rate, ratio, ok := r.RawRate(); rate != 50 || ratio < 0.66 || ratio > 0.67 || !ok {
		t.Errorf("plain program: %v, %v, %v", rate, ratio, ok)
	}
}

func TestValidate(t *testing.T) {
	err := (&Options{Align: 3, Warmup: -1, MaxHitRate: 2, Only: "delete"}).Validate()
	for _, name := range []string{"Adapter", "Keys", "InFlight", "Bytes", "Align", "Rounds", "Warmup", "MaxHitRate", "Only"} {
		if err == nil || !strings.Contains(err.Error(), name+":") {
			t.Errorf("%v does not name %s", err, name)
		}
	}
}

// What failed most often is told first, whatever its number begins with.
func TestFailedInOrder(t *testing.T) {
	r := Result{Operation: Load, Failures: map[l2.Reason]int{l2.ReasonTimeout: 9, l2.ReasonIO: 10, l2.ReasonNotFound: 9}}
	var got []string
	for _, line := range r.Failed() {
		got = append(got, strings.Fields(line)[1]+" "+strings.Fields(line)[4])
	}
	if want := []string{"10 io", "9 not_found", "9 timeout"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
