package s3_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/l2/s3"
)

func registry(t *testing.T) *l2.Registry {
	t.Helper()
	r := l2.NewRegistry()
	if err := r.Register(s3.Kind()); err != nil {
		t.Fatal(err)
	}
	return r
}

func TestKind(t *testing.T) {
	configs, err := registry(t).Parse([]string{
		`{"type": "s3", "s3_endpoint": "s3://kvcache.s3.eu-west-1.amazonaws.com", "s3_region": "eu-west-1", "s3_num_io_threads": 7, "max_capacity_gb": 2}`,
		`{"type": "s3", "s3_endpoint": "minio:9000", "s3_region": "x", "s3_path_style": true, "s3_bucket": "kvcache", "disable_tls": true,
		  "aws_access_key_id": "the-key", "aws_secret_access_key": "the-secret", "s3_prefer_http2": false, "request_timeout": 3, "format": "raw"}`,
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if s := configs[0].Settings; s.Workers != 7 || s.Capacity != 2<<30 {
		t.Errorf("settings %+v", s)
	}
	if s := configs[1].Settings; s.Workers != 64 || s.Capacity != 0 {
		t.Errorf("settings %+v", s)
	}
	for i, want := range []map[string]any{
		{"bucket": "kvcache", "service": "https://s3.eu-west-1.amazonaws.com"},
		{"bucket": "kvcache", "service": "http://minio:9000"},
	} {
		a, err := configs[i].Open(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		got := a.(l2.Describer).Describe()
		for k, v := range want {
			if got[k] != v {
				t.Errorf("adapter %d: %s is %v, want %v", i+1, k, got[k], v)
			}
		}
		if raw := l2.FormatOf(a).Raw; raw != (i == 1) {
			t.Errorf("adapter %d: raw %v", i+1, raw)
		}
		if text := fmt.Sprint(configs[i].Shown, got); strings.Contains(text, "the-secret") || strings.Contains(text, "the-key") {
			t.Errorf("adapter %d shows a secret: %s", i+1, text)
		}
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestKindRefuses(t *testing.T) {
	_, err := registry(t).Parse([]string{
		`{"type": "s3", "s3_endpoint": "localhost", "s3_bucket": "b", "aws_access_key_id": "the-key", "request_timeout": 0, "s3_regoin": "x"}`,
		`{"type": "s3", "s3_endpoint": "host", "s3_region": "x", "s3_path_style": true}`,
		`{"type": "s3", "s3_endpoint": "bucket.host", "s3_region": "x", "s3_enable_s3express": true}`,
		`{"type": "s3", "s3_endpoint": "kv.host", "s3_region": "x"}`,
		`{"type": "s3", "s3_endpoint": "host", "s3_region": "x", "s3_path_style": true, "s3_bucket": "kv"}`,
	}, nil)
	for _, text := range []string{
		"s3_region: is required", "s3_endpoint: must be BUCKET.HOST", "s3_bucket: has no effect", "aws_access_key_id: needs", "request_timeout:",
		`"s3_regoin"; did you mean "s3_region"?`, "adapter 2: s3_bucket: is required", `adapter 3: s3_enable_s3express: the bucket's name must end in "--x-s3"`,
		`adapter 4: s3_endpoint: "kv" is no name of a bucket`, `adapter 5: s3_bucket: "kv" is no name of a bucket`,
	} {
		if err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%q is not in\n%v", text, err)
		}
	}
	if strings.Contains(err.Error(), "the-key") {
		t.Errorf("a secret is in\n%v", err)
	}
}
