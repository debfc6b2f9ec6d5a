package tiertest

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/lmcache-go/lmcache/internal/leak"
	"github.com/lmcache-go/lmcache/internal/servertest"
	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/l2/s3"
	"github.com/lmcache-go/lmcache/storage"
)

// reticent is a service without the permission to list: it does not say that an object is
// not there.
type reticent struct{ next http.RoundTripper }

func (s reticent) RoundTrip(r *http.Request) (*http.Response, error) {
	a, err := s.next.RoundTrip(r)
	if err == nil && a.StatusCode == http.StatusNotFound {
		a.StatusCode, a.Status = http.StatusForbidden, "403 Forbidden"
	}
	return a, err
}

// Without the permission to list the bucket a start ends with an error that names it: a
// lookup would fail wherever it does not find.
func TestWithoutListBucket(t *testing.T) {
	leak.Check(t)
	o := s3Options(servertest.S3(t, "").Addr)
	tr := &http.Transport{}
	t.Cleanup(tr.CloseIdleConnections)
	o.Transport = reticent{tr}
	a, err := s3.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	m, err := storage.Open(t.Context(), storage.Options{L1: l1.Options{Bytes: 1 << 20}, Tiers: []storage.Tier{{Name: "s3", Adapter: a}}})
	if err == nil {
		_ = m.Close(t.Context())
	}
	if e, ok := errors.AsType[*storage.StartError](err); !ok || !errors.Is(e, l2.ErrRefused) || !strings.Contains(e.Error(), "the permission s3:ListBucket") {
		t.Errorf("%v", err)
	}
}
