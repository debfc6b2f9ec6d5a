// Package admin is a client of a server's HTTP interface: what operators ask of it, and
// what they change. It talks to servers of LMCache as well as to ours.
//
// A server that cannot be reached is a *ConnectError, one that refuses a *StatusError;
// both name the URL. Nothing that a server sends is trusted: answers are bounded, and
// what is no JSON is told so.
package admin

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

// maxAnswer is the most bytes of an answer that are read.
const maxAnswer = 64 << 20

// Options configures a Client.
type Options struct {
	URL      string        // of the server, with scheme and without a slash at its end
	Timeout  time.Duration // of a whole exchange; 0: none
	Token    string        // of the administrator; may be empty
	CAFile   string        // certificates that vouch for the server; empty: the system's
	Insecure bool          // believe any certificate
}

// Client asks one server. Its methods are safe for concurrent use.
type Client struct {
	o    Options
	http *http.Client
}

// New returns a client. Close gives up its connections.
func New(o Options) (*Client, error) {
	config, err := TLSConfig(o.CAFile, o.Insecure)
	if err != nil {
		return nil, err
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = config
	return &Client{o: o, http: &http.Client{
		Timeout: o.Timeout, Transport: transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, // the token stays here
	}}, nil
}

// TLSConfig is that of a client that believes the certificates of a file, those of the
// system if none is named, or any.
func TLSConfig(caFile string, insecure bool) (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: insecure} //nolint:gosec // its user asks for it
	if caFile == "" {
		return config, nil
	}
	pem, err := os.ReadFile(caFile)
	if err != nil {
		return nil, fmt.Errorf("certificates: %w", err)
	}
	config.RootCAs = x509.NewCertPool()
	if !config.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("certificates: %s holds none in PEM form", caFile)
	}
	return config, nil
}

// Close gives up idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// URL is the server's, as given.
func (c *Client) URL() string { return c.o.URL }

// ConnectError says that there was no answer.
type ConnectError struct {
	URL string
	Err error
}

// Error names the URL and the reason.
func (e *ConnectError) Error() string { return "Cannot connect to " + e.URL + ": " + e.Err.Error() }

// Unwrap returns Err.
func (e *ConnectError) Unwrap() error { return e.Err }

// StatusError is an answer that says no.
type StatusError struct {
	URL    string
	Code   int
	Detail string // as the server tells it; may be empty
	Plain  bool   // the answer was no JSON: whoever answered was no front end of a cache
}

// Error names the URL, the status and what the server says.
func (e *StatusError) Error() string {
	text := fmt.Sprintf("%s answered %d %s", e.URL, e.Code, http.StatusText(e.Code))
	if e.Detail != "" {
		text += ": " + e.Detail
	}
	return text
}

// AnswerError is an answer that nobody understands.
type AnswerError struct {
	URL string
	Err error
}

// Error names the URL and the reason.
func (e *AnswerError) Error() string { return e.URL + " answered something else: " + e.Err.Error() }

// Unwrap returns Err.
func (e *AnswerError) Unwrap() error { return e.Err }

// do sends a request and reads its answer into out, if there is one. The path is escaped
// already.
func (c *Client) do(ctx context.Context, method, path string, in, out any) (http.Header, error) {
	target := c.o.URL + path
	var body io.Reader = http.NoBody
	if in != nil {
		data, err := json.Marshal(in)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(ctx, method, target, body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", "lmcache")
	req.Header.Set("Accept", "application/json")
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if c.o.Token != "" {
		req.Header.Set("Authorization", "Bearer "+c.o.Token)
	}
	res, err := c.http.Do(req)
	if err != nil {
		return nil, c.noAnswer(ctx, target, err)
	}
	defer func() { _ = res.Body.Close() }()
	data, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	switch {
	case err != nil:
		return nil, c.noAnswer(ctx, target, err)
	case len(data) > maxAnswer:
		return nil, &AnswerError{target, fmt.Errorf("more than %d bytes", maxAnswer)}
	case res.StatusCode < 200 || res.StatusCode > 299:
		return nil, &StatusError{URL: target, Code: res.StatusCode, Detail: detailOf(data), Plain: !json.Valid(data)}
	case out == nil:
		return res.Header, nil
	}
	if err := json.Unmarshal(data, out); err != nil {
		return nil, &AnswerError{target, errors.New("no JSON of the expected form (is this the HTTP front end of an lmcache server?)")}
	}
	return res.Header, nil
}

// noAnswer says why there was none.
func (c *Client) noAnswer(ctx context.Context, target string, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return &ConnectError{target, c.reason(err)}
}

// reason is err without what the user knows already.
func (c *Client) reason(err error) error {
	var dns *net.DNSError
	var sys *os.SyscallError
	var cert *tls.CertificateVerificationError
	var timeout interface{ Timeout() bool }
	switch {
	case errors.As(err, &timeout) && timeout.Timeout():
		return fmt.Errorf("no answer within %s", c.o.Timeout)
	case errors.As(err, &dns):
		return fmt.Errorf("%s: %s", dns.Name, dns.Err)
	case errors.As(err, &cert):
		return fmt.Errorf("%w (--ca-file names who vouches for it)", cert.Err)
	case errors.As(err, &sys):
		return sys.Err
	}
	if u, ok := errors.AsType[*url.Error](err); ok {
		return u.Err
	}
	return err
}

// detailOf is what an error's answer says, in each of the shapes that servers use.
func detailOf(data []byte) string {
	var body struct {
		Detail json.RawMessage `json:"detail"`
		Error  string          `json:"error"`
		Reason string          `json:"reason"`
	}
	if json.Unmarshal(data, &body) != nil {
		return ""
	}
	for _, text := range []string{body.Error, body.Reason} {
		if text != "" {
			return text
		}
	}
	var text string
	if json.Unmarshal(body.Detail, &text) == nil {
		return text
	}
	var list []struct {
		Loc []any  `json:"loc"`
		Msg string `json:"msg"`
	}
	if json.Unmarshal(body.Detail, &list) != nil {
		return ""
	}
	var texts []string
	for _, e := range list {
		at := make([]string, len(e.Loc))
		for i, part := range e.Loc {
			at[i] = fmt.Sprint(part)
		}
		texts = append(texts, strings.Join(at, ".")+" "+e.Msg)
	}
	return strings.Join(texts, "; ")
}

// warningOf is the text of a header Warning: what was done has a catch.
func warningOf(h http.Header) string {
	_, text, _ := strings.Cut(h.Get("Warning"), `"`)
	return strings.TrimSuffix(text, `"`)
}
