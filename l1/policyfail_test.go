package l1_test

import (
	"bytes"
	"iter"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/l1/policy"
)

func nilPolicy() policy.Policy { return nil }

// broken is LRU with one fault.
type broken struct {
	policy.Policy
	fault string
	calls int
}

func (b *broken) trip(what string) {
	if b.fault != what {
		return
	}
	if b.calls++; b.calls == 5 {
		panic("broken " + what)
	}
}

func (b *broken) Insert(id policy.ID, size int64, salt uint32, at time.Time) {
	b.trip("insert")
	b.Policy.Insert(id, size, salt, at)
}

func (b *broken) Remove(id policy.ID) {
	b.trip("remove")
	b.Policy.Remove(id)
}

func (b *broken) Pin(id policy.ID) {
	b.trip("pin")
	b.Policy.Pin(id)
}

func (b *broken) Unpin(id policy.ID, read bool, at time.Time) {
	b.trip("unpin")
	b.Policy.Unpin(id, read, at)
}

func (b *broken) Touch(id policy.ID, at time.Time) {
	b.trip("touch")
	b.Policy.Touch(id, at)
}

func (b *broken) Block(id policy.ID) {
	b.trip("block")
	b.Policy.Block(id)
}

func (b *broken) Unblock(id policy.ID) {
	b.trip("unblock")
	b.Policy.Unblock(id)
}

func (b *broken) Victims(need policy.Need) iter.Seq[policy.ID] {
	b.trip("victims")
	switch b.fault {
	case "unknown id":
		return func(yield func(policy.ID) bool) { yield(1 << 30) }
	case "id 0":
		return func(yield func(policy.ID) bool) { yield(0) }
	case "without end":
		return func(yield func(policy.ID) bool) {
			for id := policy.ID(1); ; id = id%3 + 1 {
				if !yield(id) {
					return
				}
			}
		}
	case "deaf":
		return func(yield func(policy.ID) bool) {
			for {
				for id := range b.Policy.Victims(need) {
					yield(id)
				}
			}
		}
	case "within":
		return func(yield func(policy.ID) bool) {
			for id := range b.Policy.Victims(need) {
				if b.calls++; b.calls == 5 {
					panic("broken within")
				}
				if !yield(id) {
					return
				}
			}
		}
	}
	return b.Policy.Victims(need)
}

// REQ-S30: whatever a policy does, reservations get the memory that can be
// evicted, the failure is counted and logged once, and LRU goes on.
func TestREQ_S30_PolicyFailures(t *testing.T) {
	for _, fault := range []string{
		"insert", "remove", "pin", "unpin", "touch", "block", "unblock", "victims", "within", "unknown id", "id 0", "without end", "deaf",
	} {
		for _, mode := range []l1.Mode{l1.ModeExact, l1.ModeWatermark} {
			t.Run(fault+"/"+string(mode), func(t *testing.T) {
				var log bytes.Buffer
				f := newFixture(t, l1.Options{
					Bytes: 40 * unit, NoBytes: true, Mode: mode, Logger: slog.New(slog.NewTextHandler(&log, nil)),
					NewPolicy: func() policy.Policy { return &broken{Policy: policy.NewLRU(), fault: fault} },
				})
				for i := range 60 {
					keys := chunks(i, 0, 4)
					if n := f.store(1, keys...); n != 4 {
						t.Fatalf("prompt %d: %d of 4 stored", i, n)
					}
					f.read(1, keys...).Finish(f.now(), l1.CauseRead)
					f.m.Touch(f.now(), keys)
					f.advance(0)
					f.check()
				}
				f.advance(time.Second)
				if s := f.m.Stats(); s.PolicyFailures != 1 || s.Policy != "custom" || s.PrefixBreaks > 3 {
					t.Errorf("%d failures of policy %s, %d prefix breaks", s.PolicyFailures, s.Policy, s.PrefixBreaks)
				}
				if n := strings.Count(log.String(), "L1 eviction policy failed; LRU goes on in its place"); n != 1 {
					t.Errorf("logged %d times:\n%s", n, log.String())
				}
				if !strings.Contains(log.String(), "level=ERROR") || !strings.Contains(log.String(), "policy=custom") {
					t.Errorf("the log lacks level and policy:\n%s", log.String())
				}
			})
		}
	}
}

// An isolating policy is replaced by one, so that quotas go on to hold.
func TestREQ_S30_QuotasOutliveThePolicy(t *testing.T) {
	f := newFixture(t, l1.Options{
		Bytes: 40 * unit, NoBytes: true, Quotas: map[string]int64{"a": 3 * unit},
		NewPolicy: func() policy.Policy { return &brokenTenants{IsolatedLRU: policy.NewIsolatedLRU()} },
	})
	for i := range 20 {
		if n := f.store(1, salted("a", i)); n != 1 {
			t.Fatalf("object %d was not stored", i)
		}
		f.storeSingly(chunk(i, 0))
		if q := f.m.Quotas(); q[0].Used > 3*unit {
			t.Fatalf("the tenant uses %d bytes", q[0].Used)
		}
		f.check()
	}
	if s := f.m.Stats(); s.PolicyFailures != 1 || s.BytesBySalt[""] != 20*unit {
		t.Errorf("%d failures, %v", s.PolicyFailures, s.BytesBySalt)
	}
}

type brokenTenants struct {
	*policy.IsolatedLRU
	n int
}

func (b *brokenTenants) Remove(id policy.ID) {
	if b.n++; b.n == 5 {
		panic("broken")
	}
	b.IsolatedLRU.Remove(id)
}
