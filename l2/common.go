package l2

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// common reads the keys that every type of adapter has. What is not there stays as in
// base.
func (p *parse) common(f *Fields, base Settings) Settings {
	s := base
	s.Workers = f.Int("num_workers", base.Workers, 1, MaxWorkers)
	s.PerOpWorkers = f.Int("per_op_workers", or(base.PerOpWorkers, s.Workers), 1, MaxWorkers)
	f.transient = !f.Bool("persist_enabled", true)
	s.NoStartProbe = !f.Bool("start_probe", !base.NoStartProbe)
	if e, ok := f.Object("eviction"); ok {
		s.Eviction = eviction(e)
	}
	if t, ok := f.Object("timeouts"); ok {
		limits := Bounds{Above: true, Max: 86400}
		d := base.WithDefaults().Timeouts
		s.Timeouts = Timeouts{
			Store: t.Seconds("store", d.Store, limits), Lookup: t.Seconds("lookup", d.Lookup, limits),
			Load: t.Seconds("load", d.Load, limits), Delete: t.Seconds("delete", d.Delete, limits),
		}
		t.finish()
	}
	if b, ok := f.Object("breaker"); ok {
		s.Breaker = breaker(b, base.WithDefaults().Breaker)
	}
	if r, ok := f.Object("retry"); ok {
		d := base.WithDefaults().Retry
		s.Retry = Retry{
			Attempts: r.Int("attempts", d.Attempts, 1, 100),
			Backoff:  r.Seconds("backoff", d.Backoff, Bounds{Above: true, Max: 3600}),
			Factor:   r.Float("factor", d.Factor, Bounds{Min: 1, Max: 100}),
		}
		r.finish()
	}
	if v, ok := f.Object("serde"); ok {
		s.Serde, s.SerdeWorkers = p.serde(v)
	}
	f.serde = s.Serde != nil
	f.Neutral("affinity_tag", "_default")
	f.Neutral("shared", false)
	return s
}

func eviction(f *Fields) *Eviction {
	e := &Eviction{
		Policy:       f.NeedOneOf("eviction_policy", Policies()...),
		Watermark:    f.Float("trigger_watermark", DefaultWatermark, Bounds{Above: true, Max: 1}),
		Ratio:        f.Float("eviction_ratio", DefaultRatio, Bounds{Above: true, Max: 1}),
		DefaultQuota: f.GiB("default_quota_gb", 0),
	}
	if e.Policy == PolicyIsolatedLRU && e.DefaultQuota == 0 {
		f.Warn("eviction: IsolatedLRU without default_quota_gb keeps nothing of tenants that have no quota, and quotas are set after the start")
	}
	if f.Has("default_quota_gb") && e.Policy != "" && e.Policy != PolicyIsolatedLRU {
		f.Bad("default_quota_gb", "has no effect with %s, only with %s", e.Policy, PolicyIsolatedLRU)
	}
	f.finish()
	return e
}

func breaker(f *Fields, d Breaker) Breaker {
	b := Breaker{
		Failures: f.Int("failures", d.Failures, 1, 1000),
		Cooldown: f.Seconds("cooldown", d.Cooldown, Bounds{Above: true, Max: 86400}),
	}
	b.MaxCooldown = f.Seconds("max_cooldown", max(d.MaxCooldown, b.Cooldown), Bounds{Above: true, Max: 86400})
	if b.MaxCooldown < b.Cooldown {
		f.Bad("max_cooldown", "must be at least the cooldown of %v, got %v", b.Cooldown, b.MaxCooldown)
	}
	f.finish()
	return b
}

func (p *parse) serde(f *Fields) (serde Serde, workers int) {
	name := f.Need("type")
	workers = f.Int("max_workers", DefaultSerdeWorkers, 1, MaxWorkers)
	k, ok := p.registry.serdes[name]
	switch known := strings.Join(slices.Sorted(maps.Keys(p.registry.serdes)), ", "); {
	case name == "":
		return nil, workers
	case ok:
		serde = k.Parse(f, workers)
		f.finish()
	case name == "fp8":
		f.Bad("type", "%q is known to LMCache, not available here (%s)", name, known)
	default:
		f.Bad("type", "unknown serde type %q (%s)", name, known)
	}
	return serde, workers
}

// Format reads the keys format and checksum of stores that keep objects beyond the
// process.
func (f *Fields) Format() Format {
	var out Format
	out.Raw = f.OneOf("format", "v1", "v1", "raw") == "raw"
	name := f.OneOf("checksum", "xxh3", "xxh3", "crc32c", "crc32", "none")
	if !out.Raw {
		out.Checksum, _ = ParseChecksum(name) // it is one of them
		return out
	}
	if f.Has("checksum") && name != "none" {
		f.Bad("checksum", "has no effect with format raw, which stores none")
	}
	if f.serde {
		f.Bad("serde", "needs format v1: format raw does not say how an object was written")
	}
	f.Warn("format raw: corrupt objects cannot be told from good ones; only their length is checked")
	return out
}

// Warn adds a warning about this adapter.
func (f *Fields) Warn(format string, args ...any) {
	f.parse.warnings = append(f.parse.warnings, fmt.Sprintf(format, args...))
}
