package flags

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/lmcache-go/lmcache/internal/cli"
)

// Limits of a file with a token, in bytes.
const (
	minToken     = 16
	maxTokenFile = 64 << 10
)

// tokenEnv holds the administrator's token itself; it is used where no file is named.
const tokenEnv = "LMCACHE_ADMIN_TOKEN"

// ReadToken reads an administrator's token from a file.
func ReadToken(path string) (string, error) {
	info, err := os.Stat(path)
	if err == nil && info.Size() > maxTokenFile {
		return "", fmt.Errorf("%s: has %d bytes, a token has at most %d", path, info.Size(), maxTokenFile)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		if e, ok := errors.AsType[*fs.PathError](err); ok {
			err = e.Err
		}
		return "", fmt.Errorf("%s: %w", path, err)
	}
	token := strings.TrimSpace(string(data))
	if err := checkToken(token); err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	return token, nil
}

// checkToken says what is wrong with a token; not what it is.
func checkToken(token string) error {
	if len(token) < minToken {
		return fmt.Errorf("a token must have at least %d bytes, got %d", minToken, len(token))
	}
	if strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return errors.New("a token must consist of visible ASCII characters")
	}
	return nil
}

// token is the one of the file that a flag names, or that of the environment.
func token(p *cli.Problems, flag, path string) string {
	if path != "" {
		text, err := ReadToken(path)
		if err != nil {
			p.Machine(flag, "%v", err)
		}
		return text
	}
	text, _ := p.LookupEnv(tokenEnv)
	if text = strings.TrimSpace(text); text == "" {
		return ""
	}
	if err := checkToken(text); err != nil {
		p.Usage("%s: %v", tokenEnv, err)
		return ""
	}
	return text
}
