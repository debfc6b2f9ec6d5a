package main

import (
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/lmcache-go/lmcache/internal/servertest"
)

// A server with a certificate speaks https to all clients, tells those apart that do not
// believe it, and takes a new certificate while it runs.
func TestTLS(t *testing.T) {
	dir := t.TempDir()
	cert, key, other := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"), filepath.Join(dir, "other.pem")
	servertest.Certificate(t, other, filepath.Join(dir, "otherkey.pem"), 1)
	servertest.Certificate(t, cert, key, 2)
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
	servertest.Certificate(t, cert, key, 3)
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
