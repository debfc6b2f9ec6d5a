package resp_test

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"testing"
	"time"

	"github.com/lmcache-go/lmcache/internal/leak"
	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/l2/resp"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// A server that does not speak TLS costs a client that does its connect timeout, and no
// more: one that says nothing, and one that waits for the end of a line, as a Redis does.
func TestTLSTowardsAPlainServer(t *testing.T) {
	for name, serve := range map[string]func(net.Conn){
		"silent": func(c net.Conn) { _, _ = io.Copy(io.Discard, c) },
		"plain": func(c net.Conn) {
			for r := bufio.NewReader(c); ; {
				if _, err := r.ReadString('\n'); err != nil {
					return
				}
				_, _ = c.Write([]byte("-ERR unknown command\r\n"))
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			leak.Check(t)
			l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			over := make(chan struct{})
			go func() {
				defer close(over)
				for {
					c, err := l.Accept()
					if err != nil {
						return
					}
					serve(c)
					_ = c.Close()
				}
			}()
			const timeout = 200 * time.Millisecond
			a := open(t, resp.Options{Addrs: []string{l.Addr().String()}, TLS: &tls.Config{}, ConnectTimeout: timeout})
			began := time.Now()
			err = a.Lookup(t.Context(), []kv.Key{{Model: "m"}}, make([]l2.Found, 1))
			took := time.Since(began)
			if !l2.Unreachable(err) || took > 15*timeout || name == "silent" && took < timeout {
				t.Errorf("after %v: %v", took, err)
			}
			if err := a.Close(); err != nil {
				t.Error(err)
			}
			_ = l.Close()
			<-over
		})
	}
}
