package admin

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"
)

// probeTime bounds the question whether a port is that of metrics.
const probeTime = time.Second

// ServesMetrics reports whether there is a metrics page of a cache server at a URL.
func ServesMetrics(ctx context.Context, page string) bool {
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, page, http.NoBody)
	if err != nil {
		return false
	}
	transport := &http.Transport{DisableKeepAlives: true}
	res, err := transport.RoundTrip(req)
	if err != nil {
		return false
	}
	defer func() { _ = res.Body.Close() }()
	data, err := io.ReadAll(io.LimitReader(res.Body, 4<<20))
	return err == nil && res.StatusCode == http.StatusOK && bytes.Contains(data, []byte("lmcache_mp_"))
}

// MetricsPage is the metrics page on another port of the host of a URL.
func MetricsPage(base, port string) string {
	u, err := url.Parse(base)
	if err != nil {
		return ""
	}
	page := url.URL{Scheme: "http", Host: net.JoinHostPort(u.Hostname(), port), Path: "/metrics"}
	return page.String()
}
