package serving_test

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lmcache-go/lmcache/internal/serving"
)

// pipes is a listener whose connections are pipes in memory, with the time of the test.
type pipes struct{ conns chan net.Conn }

func (p pipes) Accept() (net.Conn, error) {
	if c, ok := <-p.conns; ok {
		return c, nil
	}
	return nil, net.ErrClosed
}

func (p pipes) Close() error   { close(p.conns); return nil }
func (p pipes) Addr() net.Addr { return &net.TCPAddr{} }

// A client whose request does not arrive in full does not keep a connection, nor the
// server's end: the limit for an answer holds for a request, too.
func TestBodyThatDoesNotArrive(t *testing.T) {
	const limit = 40 * time.Second
	synctest.Test(t, func(t *testing.T) {
		ln := pipes{make(chan net.Conn)}
		s := serving.New("test", &http.Server{
			ReadHeaderTimeout: 10 * time.Second, WriteTimeout: limit,
			Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }),
		}, ln, "")
		s.Start()
		client, server := net.Pipe()
		ln.conns <- server
		began := time.Now()
		if _, err := io.WriteString(client, "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		if err := client.SetReadDeadline(began.Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		in := bufio.NewReader(client)
		var err error
		for err == nil {
			_, err = in.ReadString('\n')
		}
		if !errors.Is(err, io.EOF) || time.Since(began) > limit+time.Second {
			t.Errorf("the connection ends after %v with %v", time.Since(began), err)
		}
		if err := errors.Join(client.Close(), s.Close(t.Context())); err != nil {
			t.Error(err)
		}
	})
}
