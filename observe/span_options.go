package observe

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
)

// SpanStdout as Options.SpanOutput writes spans to the standard output.
const SpanStdout = "stdout"

// DefaultOTLPPort is that of OTLP over gRPC.
const DefaultOTLPPort = 4317

// errTracingNeedsEndpoint is what Options.Tracing without Options.OTLPEndpoint gives.
var errTracingNeedsEndpoint = errors.New("tracing needs an OTLP gRPC endpoint to export spans; SpanOutput alone writes spans without one")

// errLogsNeedEndpoint is what Options.OTLPLogs without Options.OTLPEndpoint gives.
var errLogsNeedEndpoint = errors.New("OTLP logs need an OTLP gRPC endpoint to push log records to")

// Spans reports whether spans are made.
func (o Options) Spans() bool { return !o.Disable && (o.Tracing || o.SpanOutput != "") }

// spanErrors returns everything that is wrong with the fields about spans and OTLP.
func (o Options) spanErrors() (errs []error) {
	if o.Tracing && o.OTLPEndpoint == "" {
		errs = append(errs, errTracingNeedsEndpoint)
	}
	if o.OTLPLogs && !o.Disable && o.OTLPEndpoint == "" {
		errs = append(errs, errLogsNeedEndpoint)
	}
	if o.OTLPEndpoint != "" {
		if _, err := ParseEndpoint(o.OTLPEndpoint); err != nil {
			errs = append(errs, fmt.Errorf("OTLP endpoint %q: %w", o.OTLPEndpoint, err))
		}
	}
	if o.SpanMaxAge < 0 {
		errs = append(errs, fmt.Errorf("span max age %v: must be above 0", o.SpanMaxAge))
	}
	return errs
}

// Endpoint is where OTLP is sent to.
type Endpoint struct {
	Address string // host:port
	TLS     bool
}

// URL is the endpoint with its scheme.
func (e Endpoint) URL() string {
	if e.TLS {
		return "https://" + e.Address
	}
	return "http://" + e.Address
}

// ParseEndpoint reads HOST[:PORT] with or without a scheme: http or none is
// plaintext, https is TLS. The port is 4317 if none is given.
func ParseEndpoint(s string) (Endpoint, error) {
	scheme, rest, ok := strings.Cut(s, "://")
	if !ok {
		scheme, rest = "http", s
	}
	if scheme = strings.ToLower(scheme); scheme != "http" && scheme != "https" {
		return Endpoint{}, fmt.Errorf("must begin with http:// or https:// or be HOST:PORT, got scheme %q", scheme)
	}
	u, err := url.Parse(scheme + "://" + rest)
	if err != nil {
		return Endpoint{}, errors.New("must be a URL or HOST:PORT")
	}
	port := u.Port()
	if port == "" {
		port = strconv.Itoa(DefaultOTLPPort)
	}
	switch n, err := strconv.Atoi(port); {
	case u.Hostname() == "":
		return Endpoint{}, errors.New("must name a host")
	case u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.Trim(u.Path, "/") != "":
		return Endpoint{}, errors.New("must be a host and a port alone; headers are taken from OTEL_EXPORTER_OTLP_HEADERS")
	case err != nil || n < 1 || n > 65535:
		return Endpoint{}, fmt.Errorf("must have a port between 1 and 65535, got %s", port)
	}
	return Endpoint{Address: net.JoinHostPort(u.Hostname(), port), TLS: scheme == "https"}, nil
}
