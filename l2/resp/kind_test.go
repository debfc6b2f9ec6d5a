package resp_test

import (
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/lmcache-go/lmcache/internal/servertest"
	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/l2/l2test"
	"github.com/lmcache-go/lmcache/l2/resp"
)

func registry(t *testing.T) *l2.Registry {
	t.Helper()
	r := l2.NewRegistry()
	if err := r.Register(resp.Kinds()...); err != nil {
		t.Fatal(err)
	}
	return r
}

// A configuration leads to the server, with its environment and its secrets.
func TestKind(t *testing.T) {
	s := servertest.Redis(t, "--requirepass", "the-secret")
	host, port, err := net.SplitHostPort(s.Addr)
	if err != nil {
		t.Fatal(err)
	}
	env := map[string]string{"LMCACHE_RESP_HOST": host, "LMCACHE_RESP_PORT": port, "LMCACHE_RESP_PASSWORD": "the-secret"}
	configs, err := registry(t).Parse([]string{
		`{"type": "redis", "host": "elsewhere", "port": 1, "max_capacity_gb": 1.5, "num_workers": 3}`,
		`{"type": "valkey", "startup_nodes": "127.0.0.1:1, ` + s.Addr + `", "password": "the-secret", "key_prefix": "p", "database_id": 2, "request_timeout": 2.5}`,
	}, func(name string) (string, bool) { v, ok := env[name]; return v, ok })
	if err != nil {
		t.Fatal(err)
	}
	if c := configs[0].Settings; c.Type != "redis" || c.Workers != 3 || c.Capacity != 3<<29 {
		t.Errorf("settings %+v", c)
	}
	for i, c := range configs {
		a, err := c.Open(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		items := []l2.Item{l2test.Item(t, 1, "payload")}
		if err := a.Store(t.Context(), items); err != nil || items[0].Err != nil || items[0].N != 7 {
			t.Errorf("adapter %d: %v, %+v: each has a place of its own", i+1, err, items[0])
		}
		if got := a.(l2.Describer).Describe(); got["server"] != s.Addr || strings.Contains(fmt.Sprint(got, c.Shown), "the-secret") {
			t.Errorf("adapter %d: %v, %v", i+1, got, c.Shown)
		}
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestKindRefuses(t *testing.T) {
	_, err := registry(t).Parse([]string{
		`{"type": "resp", "prot": 6379, "username": "u"}`,
		`{"type": "valkey", "startup_nodes": "a:1,b", "cluster_mode": true, "database_id": 1, "key_prefix": "a@b", "connection_timeout": 0}`,
	}, nil)
	for _, text := range []string{
		"host: is required", "port: is required", "password: is required with a username", `"prot"; did you mean "port"?`,
		`adapter 2: startup_nodes: "b" is not HOST:PORT`, "database_id: a cluster has only 0", `key_prefix: must not contain "@"`, "connection_timeout:",
	} {
		if err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%q is not in\n%v", text, err)
		}
	}
}
