package l1_test

import (
	"maps"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/lmcache-go/lmcache/l1"
)

// What decides is in the configuration; where the memory comes from is not.
func TestConfigHasWhatDecides(t *testing.T) {
	base := l1.Options{Bytes: 1 << 30}
	of := func(change func(*l1.Options)) map[string]any {
		o := base
		change(&o)
		return o.Config()
	}
	plain := of(func(*l1.Options) {})
	for name, change := range map[string]func(*l1.Options){
		"Bytes":         func(o *l1.Options) { o.Bytes++ },
		"Align":         func(o *l1.Options) { o.Align = 64 },
		"WriteTTL":      func(o *l1.Options) { o.WriteTTL = time.Second },
		"ReadTTL":       func(o *l1.Options) { o.ReadTTL = time.Second },
		"Policy":        func(o *l1.Options) { o.Policy = "noop" },
		"Mode":          func(o *l1.Options) { o.Mode = l1.ModeWatermark },
		"Watermark":     func(o *l1.Options) { o.Mode, o.Watermark = l1.ModeWatermark, 0.5 },
		"EvictionRatio": func(o *l1.Options) { o.Mode, o.EvictionRatio = l1.ModeWatermark, l1.NoEvictionRatio },
		"Quotas":        func(o *l1.Options) { o.Quotas = map[string]int64{"a": 1} },
	} {
		if reflect.DeepEqual(of(change), plain) {
			t.Errorf("%s changes nothing", name)
		}
	}
	if got := of(func(o *l1.Options) { o.Align, o.Policy, o.Mode = l1.DefaultAlign, l1.DefaultPolicy, l1.DefaultMode }); !reflect.DeepEqual(got, plain) {
		t.Errorf("defaults that are given change it: %v", got)
	}
	if got := of(func(o *l1.Options) { o.ShmName, o.Eager, o.NoBytes = "x", true, true }); !reflect.DeepEqual(got, plain) {
		t.Errorf("the kind of memory changes it: %v", got)
	}
	want := []string{"align_bytes", "eviction", "quotas", "read_ttl_seconds", "size_bytes", "write_ttl_seconds"}
	if got := slices.Sorted(maps.Keys(plain)); !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}
