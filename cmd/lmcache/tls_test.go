package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// certify writes a certificate of its own for this machine, with its key.
func certify(t *testing.T, cert, key string, serial int64) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "lmcache"}, DNSNames: []string{"localhost"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	text, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	write(t, cert, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	write(t, key, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: text})))
}

// A server with a certificate speaks https to all clients, tells those apart that do not
// believe it, and takes a new certificate while it runs.
func TestTLS(t *testing.T) {
	dir := t.TempDir()
	cert, key, other := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"), filepath.Join(dir, "other.pem")
	certify(t, other, filepath.Join(dir, "otherkey.pem"), 1)
	certify(t, cert, key, 2)
	p := startProcess(t, "--l1-size-gb", "64MiB", "--eviction-policy", "LRU", "--http-port", "0", "--prometheus-port", "0",
		"--tls-cert", cert, "--tls-key", key)
	if !strings.HasPrefix(p.url, "https://127.0.0.1:") {
		t.Fatalf("it listens on %s", p.url)
	}
	check := func(args, trust string, code int, want string) {
		t.Helper()
		all := append(strings.Fields(args), strings.Fields(trust)...)
		stdout, stderr, got := command(t, nil, "", all...)
		if got != code || !strings.Contains(stdout+stderr, want) {
			t.Errorf("lmcache %s %s: exit code %d, want %d and %q\n%s%s", args, trust, got, code, want, stdout, stderr)
		}
	}
	for args, want := range map[string]string{
		"ping kvcache":              "OK",
		"describe kvcache":          "LMCache KV Cache Service",
		"quota list":                "Quota List",
		"kvcache clear":             "OK",
		"top --once --interval 0.2": "L1",
	} {
		url := " --url " + p.url
		check(args+url, "--ca-file "+cert, 0, want)
		check(args+url, "--insecure", 0, want)
		check(args+url, "--ca-file "+other, 1, "certificate signed by unknown authority")
		check(args+url, "--insecure --ca-file "+cert, 2, "--insecure: excludes --ca-file")
	}
	check("ping kvcache --url "+strings.Replace(p.url, "https", "http", 1), "", 1, "does it speak TLS? Then the URL begins with https://")
	certify(t, cert, key, 3)
	if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil || !p.stderr.wait("SIGHUP: the certificate has been read again") {
		t.Fatalf("%v: %s", err, p.stderr)
	}
	check("ping kvcache --url "+p.url, "--ca-file "+cert, 0, "OK")
	write(t, key, "no key")
	if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil || !p.stderr.wait("SIGHUP: the certificate stays as it was") {
		t.Fatalf("%v: %s", err, p.stderr)
	}
	check("ping kvcache --url "+p.url, "--ca-file "+cert, 0, "OK")
}

// Half a pair is wrong on any machine, a file that cannot be read on this one.
func TestTLSFlags(t *testing.T) {
	dir := t.TempDir()
	server := "server --l1-size-gb 64MiB --eviction-policy LRU --dry-run "
	for args, want := range map[string]struct {
		code   int
		stderr string
	}{
		"--tls-cert x": {2, "--tls-cert: needs --tls-key"},
		"--tls-key x":  {2, "--tls-key: needs --tls-cert"},
		"--tls-cert " + dir + "/none --tls-key " + dir + "/none": {1, "--tls-cert: open " + dir + "/none: no such file"},
	} {
		if _, stderr, code := command(t, nil, "", strings.Fields(server+args)...); code != want.code || !strings.Contains(stderr, want.stderr) {
			t.Errorf("%s: exit code %d\n%s", args, code, stderr)
		}
	}
}
