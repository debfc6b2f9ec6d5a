package httpserver

import (
	"bytes"
	"crypto/tls"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lmcache-go/lmcache/internal/servertest"
)

// A certificate is read again when its files have changed, without a signal; one that is
// none is told once and changes nothing. Nothing older than TLS 1.2 is spoken.
func TestCertificateChanges(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	servertest.Certificate(t, cert, key, 1)
	var log bytes.Buffer
	out := &lockedWriter{w: &log}
	s := open(t, Options{TLSCert: cert, TLSKey: key, Logger: slog.New(slog.NewTextHandler(out, nil))})
	if !strings.HasPrefix(s.URL(), "https://") {
		t.Fatal(s.URL())
	}
	serial := func() int64 {
		t.Helper()
		s.pair.mu.Lock()
		s.pair.mu.looked = time.Time{} // long ago
		s.pair.mu.Unlock()
		tr := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL()+"/healthcheck", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		res, err := tr.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if res.StatusCode != http.StatusOK || res.ProtoMajor != 1 {
			t.Errorf("%s %s", res.Proto, res.Status)
		}
		return res.TLS.PeerCertificates[0].SerialNumber.Int64()
	}
	if n := serial(); n != 1 {
		t.Errorf("certificate %d, want 1", n)
	}
	servertest.Certificate(t, cert, key, 2)
	if n := serial(); n != 2 {
		t.Errorf("certificate %d, want 2", n)
	}
	if err := os.WriteFile(cert, []byte("none"), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if n := serial(); n != 2 {
			t.Errorf("certificate %d, want 2", n)
		}
	}
	if err := s.ReloadCertificate(); err == nil {
		t.Error("no certificate was read without an error")
	}
	out.mu.Lock()
	if n := strings.Count(log.String(), "the certificate stays as it was"); n != 1 {
		t.Errorf("told %d times:\n%s", n, log.String())
	}
	out.mu.Unlock()
	old := &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}
	if c, err := tls.Dial("tcp", s.Addr().String(), old); err == nil {
		_ = c.Close()
		t.Error("TLS 1.1 was spoken")
	}
	for _, o := range []Options{{TLSCert: cert}, {TLSKey: key}, {TLSCert: cert, TLSKey: key}, {TLSCert: dir + "/none", TLSKey: key}} {
		o.Engine, o.Addr = &fakeEngine{}, "127.0.0.1:0"
		if s, err := Listen(t.Context(), o); err == nil {
			_ = s.Close(t.Context())
			t.Errorf("%+v was taken", o)
		}
	}
}
