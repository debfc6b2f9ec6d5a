package flags

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/lmcache-go/lmcache/internal/cli"
)

// Client holds the flags of commands that ask a running server.
type Client struct {
	URL      string      `name:"url" group:"Client" default:"${client_url}" placeholder:"URL" help:"URL or HOST:PORT of ${client_url_note}"`
	Timeout  cli.Seconds `name:"timeout" group:"Client" default:"10" above:"0" help:"How long to wait for an answer"`
	CAFile   string      `name:"ca-file" group:"Client" placeholder:"FILE" help:"File with the certificates (PEM) that vouch for the server, in place of the system's"`
	Insecure bool        `name:"insecure" group:"Client" help:"Believe any certificate"`
	Token    string      `name:"token-file" group:"Client" placeholder:"FILE" help:"File with the administrator's token (LMCACHE_ADMIN_TOKEN may hold the token itself)"`

	base, token string
}

// Check reports a URL that is none, and a token that cannot be had.
func (c *Client) Check(p *cli.Problems) {
	switch base, err := baseURL(c.URL); {
	case c.URL == "" && !p.IsSet("url"):
		p.Flag("url", "is required")
	case err != nil:
		p.Flag("url", "%v", err)
	default:
		c.base = base
	}
	if c.CAFile != "" && c.Insecure {
		p.Flag("insecure", "excludes --ca-file")
	}
	c.token = token(p, "token-file", c.Token)
}

// Base is the URL with a scheme and without a slash at its end. Check completes it.
func (c *Client) Base() string { return c.base }

// AdminToken is the administrator's token, "" if there is none. Check reads it.
func (c *Client) AdminToken() string { return c.token }

// baseURL completes what a user writes.
func baseURL(text string) (string, error) {
	full := strings.TrimSpace(text)
	if !strings.Contains(full, "://") {
		full = "http://" + full
	}
	u, err := url.Parse(full)
	switch {
	case err != nil || u.Hostname() == "":
		return "", fmt.Errorf("must be a URL or HOST:PORT, got %q", text)
	case u.Scheme != "http" && u.Scheme != "https":
		return "", fmt.Errorf("must be an http or https URL, got %q", text)
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return "", fmt.Errorf("must have no user, query or fragment")
	}
	return strings.TrimRight(u.String(), "/"), nil
}
