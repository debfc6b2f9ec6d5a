package fs

import (
	"context"
	"log/slog"
	"path/filepath"

	"github.com/lmcache-go/lmcache/l2"
)

// DefaultWorkers is how many calls a tier with this store runs at a time.
const DefaultWorkers = 16

// Kind is the type fs, or fs_native, of a configuration.
func Kind() l2.Kind {
	return l2.Kind{Names: []string{"fs", "fs_native"}, Workers: DefaultWorkers, Limited: true, Parse: parse}
}

func parse(f *l2.Fields, s *l2.Settings) l2.OpenFunc {
	o := Options{
		BasePath:      f.Need("base_path"),
		TempDir:       f.String("relative_tmp_dir", ""),
		DirectIO:      f.Bool("use_odirect", false),
		ReadAhead:     int64(f.Int("read_ahead_size", 0, 0, 1<<30)),
		MaxBytes:      f.GiB("max_capacity_gb", 0),
		HighWatermark: f.Float("disk_high_watermark", 0, l2.Bounds{Max: 1}),
		NoRecover:     !f.Bool("recover_on_start", true),
		Sync:          Sync(f.OneOf("fsync", string(SyncNone), Syncs()...)),
	}
	if o.TempDir != "" && !filepath.IsLocal(o.TempDir) {
		f.Bad("relative_tmp_dir", "must be a relative path without .., got %q", o.TempDir)
	}
	const minFree = "disk_min_free_gb"
	if f.Has(minFree) {
		if o.MinFree = f.GiB(minFree, 10<<30); o.MinFree == 0 {
			o.MinFree = -1
		}
	} else {
		f.Neutral(minFree, nil) // a key that exists; what it is by default depends on the disk
	}
	format := f.Format()
	o.Raw, o.Checksum = format.Raw, format.Checksum
	s.Capacity = o.MaxBytes
	return func(ctx context.Context, log *slog.Logger) (l2.Adapter, error) {
		o.Logger = log
		return Open(ctx, o)
	}
}
