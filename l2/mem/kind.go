package mem

import (
	"context"
	"log/slog"
	"time"

	"github.com/lmcache-go/lmcache/l2"
)

// Kinds are the types mem and mock of a configuration.
func Kinds() []l2.Kind {
	return []l2.Kind{
		{Names: []string{"mem"}, Parse: func(f *l2.Fields, s *l2.Settings) l2.OpenFunc { return parse(f, s, Options{}) }},
		{Names: []string{"mock"}, Parse: func(f *l2.Fields, s *l2.Settings) l2.OpenFunc {
			var o Options
			f.Require("mock_bandwidth_gb")
			rate := f.Float("mock_bandwidth_gb", 1, l2.Bounds{Above: true, Max: 1 << 20})
			o.Bandwidth = max(1, int64(rate*(1<<30)))
			o.Latency = time.Duration(f.Float("latency_ms", 0, l2.Bounds{Max: 3600_000}) * float64(time.Millisecond))
			return parse(f, s, o)
		}},
	}
}

// parse reads what both have.
func parse(f *l2.Fields, s *l2.Settings, o Options) l2.OpenFunc {
	f.Require("max_size_gb")
	o.Capacity = f.GiB("max_size_gb", 1<<30)
	if f.Has("max_size_gb") && o.Capacity == 0 {
		f.Bad("max_size_gb", "must be more than 0, got 0")
	}
	o.Format = f.Format()
	s.Capacity = o.Capacity
	return func(context.Context, *slog.Logger) (l2.Adapter, error) { return Open(o) }
}
