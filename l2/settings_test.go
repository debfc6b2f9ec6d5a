package l2_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lmcache-go/lmcache/l2"
)

func TestSettingsDefaults(t *testing.T) {
	want := l2.Settings{
		Workers: 8, PerOpWorkers: 8, SerdeWorkers: 1,
		Timeouts: l2.Timeouts{Store: 30 * time.Second, Load: 30 * time.Second, Delete: 30 * time.Second, Lookup: 5 * time.Second},
		Breaker:  l2.Breaker{Failures: 3, Cooldown: 5 * time.Second, MaxCooldown: 300 * time.Second},
		Retry:    l2.Retry{Attempts: 3, Backoff: 100 * time.Millisecond, Factor: 4},
	}
	if d := cmp.Diff(want, l2.Settings{}.WithDefaults()); d != "" {
		t.Errorf("defaults (-want +got)\n%s", d)
	}
	if d := cmp.Diff(want, want.WithDefaults()); d != "" {
		t.Errorf("defaults of defaults (-want +got)\n%s", d)
	}
	if got := (l2.Settings{Workers: 16}).WithDefaults().PerOpWorkers; got != 16 {
		t.Errorf("%d items per call with 16 workers", got)
	}
	for _, s := range []l2.Settings{{}, want, {Breaker: l2.Breaker{Cooldown: time.Hour}}} {
		if err := s.WithDefaults().Validate(); err != nil {
			t.Errorf("%+v: %v", s, err)
		}
	}
}

// Everything that is wrong is reported in one go, each by its name.
func TestSettingsValidate(t *testing.T) {
	s := l2.Settings{
		Workers: 257, PerOpWorkers: -1, Capacity: -1, SerdeWorkers: -1,
		Timeouts: l2.Timeouts{Store: -1, Load: -1, Delete: -1, Lookup: -1},
		Breaker:  l2.Breaker{Failures: -1, Cooldown: -1, MaxCooldown: -1},
		Retry:    l2.Retry{Attempts: -1, Backoff: -1, Factor: 0.5},
		Eviction: &l2.Eviction{Policy: "lru", Watermark: 1.1, DefaultQuota: -1},
	}
	err := s.Validate()
	if err == nil {
		t.Fatal("nothing was reported")
	}
	for _, name := range []string{
		"Workers", "PerOpWorkers", "Capacity", "SerdeWorkers", "Timeouts.Store", "Timeouts.Load", "Timeouts.Delete", "Timeouts.Lookup",
		"Failures", "Cooldown", "MaxCooldown", "Attempts", "Backoff", "Factor", "Policy", "Watermark", "Ratio", "DefaultQuota",
	} {
		if !strings.Contains(err.Error(), name+": ") {
			t.Errorf("%s is not reported in\n%v", name, err)
		}
	}
	for _, s := range []l2.Settings{
		{Breaker: l2.Breaker{MaxCooldown: time.Second}},
		{Eviction: &l2.Eviction{Policy: "LRU", Watermark: 0.8, Ratio: 0.2, DefaultQuota: 1}},
	} {
		if s.Validate() == nil {
			t.Errorf("%+v was taken", s)
		}
	}
}
