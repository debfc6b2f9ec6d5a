package top

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

// DefaultURL is where a server shows its metrics unless told otherwise.
const DefaultURL = "http://localhost:9090/metrics"

// ParseURL completes what a user writes, a URL or HOST:PORT, to the URL of a metrics page.
func ParseURL(text string) (string, error) {
	full := strings.TrimSpace(text)
	if !strings.Contains(full, "://") {
		full = "http://" + full
	}
	u, err := url.Parse(full)
	switch {
	case err != nil || u.Host == "" || strings.HasPrefix(u.Host, ":"):
		return "", fmt.Errorf("must be a URL or HOST:PORT, got %q", text)
	case u.Scheme != "http" && u.Scheme != "https":
		return "", fmt.Errorf("must be an http or https URL, got %q", text)
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = "/metrics"
	}
	return u.String(), nil
}

// accept are the formats that Parse reads, the one with traces first.
const accept = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=1," +
	"text/plain;version=0.0.4;q=0.5,*/*;q=0.1"

// ClientOptions configures a Client. The zero value is useful.
type ClientOptions struct {
	Timeout time.Duration // after which there is no answer; 0: none
	TLS     *tls.Config   // whom to believe; nil: whom the system does
	Token   string        // of the administrator, where the page asks for it
}

// Client reads the metrics page of one server. Its methods are safe for concurrent use.
type Client struct {
	url  string
	o    ClientOptions
	http *http.Client
}

// NewClient reads from a URL that ParseURL returned.
func NewClient(metricsURL string, o ClientOptions) *Client {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = 1
	transport.TLSClientConfig = o.TLS
	return &Client{url: metricsURL, o: o, http: &http.Client{Timeout: o.Timeout, Transport: transport}}
}

// FetchError is a fetch without a scrape.
type FetchError struct {
	What string // what was tried
	Err  error  // why it failed
}

// Error says both.
func (e *FetchError) Error() string { return e.What + ": " + e.Err.Error() }

// Unwrap returns Err.
func (e *FetchError) Unwrap() error { return e.Err }

// Close gives up idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Fetch reads the page once.
func (c *Client) Fetch(ctx context.Context) (*Scrape, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.url, http.NoBody)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", accept)
	req.Header.Set("User-Agent", "lmcache-top")
	if c.o.Token != "" {
		req.Header.Set("Authorization", "Bearer "+c.o.Token)
	}
	res, err := c.http.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, &FetchError{"cannot connect to " + c.url, c.reason(err)}
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		return nil, &FetchError{c.url, fmt.Errorf("answered %s", res.Status)}
	}
	s, err := Parse(res.Body, res.Header.Get("Content-Type"), time.Now())
	switch {
	case err == nil:
		return s, nil
	case ctx.Err() != nil:
		return nil, ctx.Err()
	}
	return nil, &FetchError{c.url, err}
}

// reason is why there was no answer, without what the user knows already.
func (c *Client) reason(err error) error {
	var dns *net.DNSError
	var sys *os.SyscallError
	switch u, ok := errors.AsType[*url.Error](err); {
	case ok && u.Timeout():
		return fmt.Errorf("no answer within %s", c.http.Timeout)
	case errors.As(err, &dns):
		return fmt.Errorf("%s: %s", dns.Name, dns.Err)
	case errors.As(err, &sys):
		return sys.Err
	case ok:
		return u.Err
	}
	return err
}
