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
	until atomic.Pointer[time.Time] // with its monotonic reading: a clock that is set does not matter
}

// maxPatience bounds what a service may ask for.
const maxPatience = 10 * time.Second

// RoundTrip implements [http.RoundTripper].
func (p *patient) RoundTrip(r *http.Request) (*http.Response, error) {
	if wait := p.wait(); wait > 0 {
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
			until := time.Now().Add(min(wait, maxPatience))
			p.until.Store(&until)
		}
	}
	return resp, err
}

// wait is how long to leave the service alone.
func (p *patient) wait() time.Duration {
	until := p.until.Load()
	if until == nil {
		return 0
	}
	return time.Until(*until)
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
