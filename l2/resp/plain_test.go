package resp_test

import (
	"bytes"
	"testing"

	"github.com/lmcache-go/lmcache/internal/servertest"
	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/l2/l2test"
	"github.com/lmcache-go/lmcache/l2/resp"
)

// What a plain client has written it reads, and removes; the adapter does not see it.
func TestPlainClient(t *testing.T) {
	s := servertest.Redis(t)
	a := open(t, resp.Options{Addrs: []string{s.Addr}})
	l2test.Closing(t, a)
	l2test.PlainClient(t, a)
	got, err := client(t, s.Addr).Do(t.Context(), client(t, s.Addr).B().Dbsize().Build()).AsInt64()
	if err != nil || got != 0 {
		t.Errorf("%d values are left, %v", got, err)
	}
	s.Kill()
	if err := a.Plain().Write(t.Context(), 0, [][]byte{{1}}); !l2.Unreachable(err) || bytes.Contains([]byte(err.Error()), []byte("resp: resp:")) {
		t.Errorf("a dead server: %v", err)
	}
}
