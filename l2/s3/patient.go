package s3

import (
	"net/http"
	"strconv"
	"sync/atomic"
	"time"
)

// patient leaves a service alone for as long as it asks for with Retry-After.
type patient struct {
	next  http.RoundTripper
	until atomic.Int64 // Unix nanoseconds
}

// maxPatience bounds what a service may ask for.
const maxPatience = 10 * time.Second

// RoundTrip implements [http.RoundTripper].
func (p *patient) RoundTrip(r *http.Request) (*http.Response, error) {
	if wait := time.Until(time.Unix(0, p.until.Load())); wait > 0 {
		t := time.NewTimer(wait)
		defer t.Stop()
		select {
		case <-t.C:
		case <-r.Context().Done():
			if r.Body != nil {
				_ = r.Body.Close()
			}
			return nil, r.Context().Err()
		}
	}
	resp, err := p.next.RoundTrip(r)
	if err == nil && (resp.StatusCode == http.StatusServiceUnavailable || resp.StatusCode == http.StatusTooManyRequests) {
		if wait := retryAfter(resp.Header.Get("Retry-After"), time.Now()); wait > 0 {
			p.until.Store(time.Now().Add(min(wait, maxPatience)).UnixNano())
		}
	}
	return resp, err
}

// retryAfter reads the header: seconds, or a date.
func retryAfter(text string, now time.Time) time.Duration {
	if n, err := strconv.Atoi(text); err == nil {
		return time.Duration(min(max(n, 0), 3600)) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil {
		return at.Sub(now)
	}
	return 0
}
