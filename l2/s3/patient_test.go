package s3

import (
	"net/http"
	"strings"
	"testing"
)

// asking is a service that asks for patience.
type asking struct{ header string }

func (a asking) RoundTrip(*http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusServiceUnavailable, Header: http.Header{"Retry-After": {a.header}}, Body: http.NoBody}, nil
}

// What a service asks for is measured by the monotonic clock: when the wall clock is
// set back meanwhile, requests do not wait for it to catch up.
func TestPatienceIgnoresTheWallClock(t *testing.T) {
	p := &patient{next: asking{"3600"}}
	if d := p.wait(); d != 0 {
		t.Errorf("at first it waits %v", d)
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://bucket.example", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := p.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	if err := resp.Body.Close(); err != nil {
		t.Fatal(err)
	}
	if d := p.wait(); d <= 0 || d > maxPatience {
		t.Errorf("it waits %v, %v at most", d, maxPatience)
	}
	if until := p.until.Load().String(); !strings.Contains(until, " m=") {
		t.Errorf("it waits until %s, which has no monotonic reading", until)
	}
}
