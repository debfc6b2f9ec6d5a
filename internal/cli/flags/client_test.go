package flags

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lmcache-go/lmcache/internal/cli"
)

type clientCommand struct {
	nothing `kong:"-"`
	Client  `kong:"embed,set='client_url=http://localhost:8080',set='client_url_note=n'"`
}

type httpCommand struct {
	nothing `kong:"-"`
	HTTP
}

// What is wrong with a URL or a token is told with its flag, and never the token.
func TestClientCheck(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good, short := file("good", "  0123456789abcdef\n"), file("short", "0123456789abcde\n")
	odd, big := file("odd", "0123456789 abcdef"), file("big", strings.Repeat("x", maxTokenFile+1))
	for _, c := range []struct {
		args, env   string
		code        int
		want        string
		base, token string
	}{
		{"", "", cli.ExitOK, "", "http://localhost:8080", ""},
		{"--url h:1", "", cli.ExitOK, "", "http://h:1", ""},
		{"--url https://h/lmcache/ --insecure", "", cli.ExitOK, "", "https://h/lmcache", ""},
		{"--url [::1]:8080 --token-file " + good, "another token of some length", cli.ExitOK, "", "http://[::1]:8080", "0123456789abcdef"},
		{"", " from-the-environment\n", cli.ExitOK, "", "http://localhost:8080", "from-the-environment"},
		{"--url ftp://h", "", cli.ExitUsage, `--url: must be an http or https URL, got "ftp://h"`, "", ""},
		{"--url :8080", "", cli.ExitUsage, `--url: must be a URL or HOST:PORT, got ":8080"`, "", ""},
		{"--url http://u:p@h", "", cli.ExitUsage, "--url: must have no user, query or fragment", "", ""},
		{"--ca-file f --insecure", "", cli.ExitUsage, "--insecure: excludes --ca-file", "", ""},
		{"--token-file " + dir + "/no", "", cli.ExitFailed, "--token-file: " + dir + "/no: no such file or directory", "", ""},
		{"--token-file " + short, "", cli.ExitFailed, "--token-file: " + short + ": a token must have at least 16 bytes, got 15", "", ""},
		{"--token-file " + odd, "", cli.ExitFailed, "--token-file: " + odd + ": a token must consist of visible ASCII characters", "", ""},
		{"--token-file " + big, "", cli.ExitFailed, "--token-file: " + big + ": has 65537 bytes, a token has at most 65536", "", ""},
		{"", "too short", cli.ExitUsage, "LMCACHE_ADMIN_TOKEN: a token must have at least 16 bytes, got 9", "", ""},
	} {
		var grammar struct {
			C clientCommand `cmd:""`
		}
		got, code := check(t, &grammar, strings.Fields(c.args), map[string]string{tokenEnv: c.env})
		if code != c.code || !strings.HasPrefix(strings.TrimPrefix(got, "lmcache: error: "), c.want) || (got == "") != (c.want == "") {
			t.Errorf("%s: %d %s, want %d %s", c.args, code, got, c.code, c.want)
		}
		if code == cli.ExitOK && (grammar.C.Base() != c.base || grammar.C.AdminToken() != c.token) {
			t.Errorf("%s: %q, %q", c.args, grammar.C.Base(), grammar.C.AdminToken())
		}
	}
}

// REQ-W40, at the command line: what protects administrative routes fits together.
func TestHTTPCheck(t *testing.T) {
	for _, c := range []struct {
		args, env string
		code      int
		want      string
	}{
		{"", "", cli.ExitOK, ""},
		{"--http-auth-all", "a-token-of-some-length", cli.ExitOK, ""},
		{"--no-http-aliases --http-allowed-host a --http-allowed-host b", "", cli.ExitOK, ""},
		{"--http-auth-all", "", cli.ExitUsage, "lmcache: error: --http-auth-all: needs a token (--admin-token-file)"},
		{"--http-auth-all --admin-token-file /no", "", cli.ExitFailed, "lmcache: error: --admin-token-file: /no: no such file or directory"},
		{"--http-auth-all --http-insecure-admin", "a-token-of-some-length", cli.ExitUsage, "lmcache: error: --http-insecure-admin: excludes --http-auth-all"},
	} {
		var grammar struct {
			C httpCommand `cmd:""`
		}
		got, code := check(t, &grammar, strings.Fields(c.args), map[string]string{tokenEnv: c.env})
		got, _, _ = strings.Cut(got, " (from")
		if code != c.code || got != c.want {
			t.Errorf("%s: %d %s, want %d %s", c.args, code, got, c.code, c.want)
		}
	}
}
