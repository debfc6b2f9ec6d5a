package s3_test

import (
	"errors"
	"testing"

	"github.com/lmcache-go/lmcache/internal/servertest"
	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/l2/l2test"
)

// What a plain client has written it reads, and removes; the adapter does not see it.
func TestPlainClient(t *testing.T) {
	o := options(servertest.S3(t, "").Addr)
	a := open(t, o)
	l2test.Closing(t, a)
	l2test.PlainClient(t, a)
	o.SecretKey = "wrong-secret"
	other := open(t, o)
	l2test.Closing(t, other)
	if err := other.Plain().Write(t.Context(), 0, [][]byte{{1}}); !errors.Is(err, l2.ErrRefused) {
		t.Errorf("wrong credentials: %v", err)
	}
}
