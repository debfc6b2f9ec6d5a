package resp

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/lmcache-go/lmcache/l2"
)

// Kinds are the types resp, or redis, and valkey of a configuration. The server,
// user and password of the first may come from the environment:
// LMCACHE_RESP_HOST, _PORT, _USERNAME and _PASSWORD take the place of its keys.
func Kinds() []l2.Kind {
	return []l2.Kind{
		{Names: []string{"resp", "redis"}, Parse: parseResp},
		{Names: []string{"valkey"}, Parse: parseValkey},
	}
}

func parseResp(f *l2.Fields, s *l2.Settings) l2.OpenFunc {
	for key, name := range map[string]string{
		"host": "LMCACHE_RESP_HOST", "port": "LMCACHE_RESP_PORT",
		"username": "LMCACHE_RESP_USERNAME", "password": "LMCACHE_RESP_PASSWORD",
	} {
		f.Env(key, name)
	}
	host := f.Need("host")
	f.Require("port")
	port := f.Int("port", 6379, 1, 65535)
	return finish(f, s, Options{Addrs: []string{net.JoinHostPort(host, strconv.Itoa(port))}})
}

func parseValkey(f *l2.Fields, s *l2.Settings) l2.OpenFunc {
	o := Options{
		Cluster:  f.Bool("cluster_mode", false),
		Database: f.Int("database_id", 0, 0, 1<<16),
		Prefix:   f.String("key_prefix", ""),
	}
	for addr := range strings.SplitSeq(f.Need("startup_nodes"), ",") {
		if addr = strings.TrimSpace(addr); addr == "" {
			continue
		}
		host, port, err := net.SplitHostPort(addr)
		if n, err2 := strconv.Atoi(port); err != nil || err2 != nil || host == "" || n < 1 || n > 65535 {
			f.Bad("startup_nodes", "%q is not HOST:PORT", addr)
		}
		o.Addrs = append(o.Addrs, addr)
	}
	if strings.Contains(o.Prefix, "@") {
		f.Bad("key_prefix", `must not contain "@"`)
	}
	if o.Cluster && o.Database != 0 {
		f.Bad("database_id", "a cluster has only 0, got %d", o.Database)
	}
	return finish(f, s, o)
}

// finish reads the keys that both types have.
func finish(f *l2.Fields, s *l2.Settings, o Options) l2.OpenFunc {
	o.Username, o.Password = f.String("username", ""), f.Secret("password")
	if o.Username != "" && o.Password == "" {
		f.Bad("password", "is required with a username")
	}
	if f.Bool("tls_enable", false) {
		o.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	above := l2.Bounds{Above: true, Max: 24 * time.Hour.Seconds()}
	o.RequestTimeout = f.Seconds("request_timeout", DefaultRequestTimeout, above)
	o.ConnectTimeout = f.Seconds("connection_timeout", DefaultConnectTimeout, above)
	o.Format = f.Format()
	o.Connections = 2 * max(s.Workers, l2.DefaultWorkers)
	s.Capacity = f.GiB("max_capacity_gb", 0)
	return func(context.Context, *slog.Logger) (l2.Adapter, error) { return Open(o) }
}
