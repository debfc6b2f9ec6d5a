package fs_test

import (
	"strings"
	"testing"

	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/l2/fs"
)

func registry(t *testing.T) *l2.Registry {
	t.Helper()
	r := l2.NewRegistry()
	if err := r.Register(fs.Kind()); err != nil {
		t.Fatal(err)
	}
	return r
}

// The keys of a configuration arrive where they belong.
func TestKind(t *testing.T) {
	dir := t.TempDir()
	configs, err := registry(t).Parse([]string{
		`{"type": "fs", "base_path": "` + dir + `/a"}`,
		`{"type": "fs_native", "base_path": "` + dir + `/b", "relative_tmp_dir": "new", "use_odirect": true, "read_ahead_size": 4096,
		  "max_capacity_gb": 0.5, "disk_min_free_gb": 0, "disk_high_watermark": 0.9, "recover_on_start": false, "fsync": "file",
		  "checksum": "crc32", "num_workers": 3}`,
		`{"type": "fs", "base_path": "` + dir + `/c", "format": "raw", "disk_min_free_gb": 0.25}`,
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if a, b := configs[0].Settings, configs[1].Settings; a.Workers != 16 || a.Capacity != 0 || b.Workers != 3 || b.Capacity != 1<<29 {
		t.Errorf("settings %+v and %+v", a, b)
	}
	for i, want := range []map[string]any{
		{"base_path": dir + "/a", "direct_io": "off", "fsync": "none", "format": "v1", "checksum": "xxh3", "max_bytes": int64(0)},
		{"base_path": dir + "/b", "fsync": "file", "format": "v1", "checksum": "crc32c", "max_bytes": int64(1 << 29), "min_free_bytes": int64(0)},
		{"base_path": dir + "/c", "format": "raw", "checksum": "none", "min_free_bytes": int64(1 << 28)},
	} {
		a, err := configs[i].Open(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		s := a.(*fs.Store)
		got := s.Describe()
		for k, v := range want {
			if got[k] != v {
				t.Errorf("adapter %d: %s is %v, want %v", i+1, k, got[k], v)
			}
		}
		if free := got["min_free_bytes"].(int64); i == 0 && (free <= 0 || free > 10<<30) {
			t.Errorf("by default %d bytes are left free", free)
		}
		if i == 1 && got["direct_io"] == "off" {
			t.Error("direct I/O was not asked for")
		}
		mustStore(t, s, key("m", 1), 100)
		if n := len(scan(t, s)); (n == 0) != (i == 1) {
			t.Errorf("adapter %d: a scan finds %d objects", i+1, n)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// What is wrong is said with the key that it is about, all at once.
func TestKindRefuses(t *testing.T) {
	_, err := registry(t).Parse([]string{`{"type": "fs", "relative_tmp_dir": "../x", "use_odirect": 1, "read_ahead_size": -1, "max_capacity_gb": -1,
		"disk_min_free_gb": "1", "disk_high_watermark": 2, "recover_on_start": 0, "fsync": "dir", "disk_min_fre_gb": 1}`}, nil)
	for _, text := range []string{
		"base_path: is required", "relative_tmp_dir:", "use_odirect:", "read_ahead_size:", "max_capacity_gb:", "disk_min_free_gb:",
		"disk_high_watermark:", "recover_on_start:", `fsync: must be one of none, file, file+dir`, `"disk_min_fre_gb"; did you mean "disk_min_free_gb"?`,
	} {
		if err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%q is not in\n%v", text, err)
		}
	}
}
