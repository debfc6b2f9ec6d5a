package httpserver

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// lookEvery is how often the files of a certificate are looked at, at most.
const lookEvery = time.Second

// certificate is a certificate with its key, from two files that are read again when they
// have changed. One that cannot be read leaves the one before in place.
type certificate struct {
	cert, key string
	log       *slog.Logger
	mu        struct {
		sync.Mutex
		pair   *tls.Certificate
		looked time.Time
		seen   stamps // of the files when they were read last, well or not
	}
}

// stamps are by what a change of the two files is seen.
type stamps [2]struct {
	time time.Time
	size int64
}

// openCertificate reads both files.
func openCertificate(cert, key string, log *slog.Logger) (*certificate, error) {
	c := &certificate{cert: cert, key: key, log: log}
	if err := c.reload(); err != nil {
		return nil, err
	}
	return c, nil
}

// get is that of a handshake.
func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := time.Now(); now.Sub(c.mu.looked) >= lookEvery {
		c.mu.looked = now
		if seen, err := c.stamps(); err == nil && seen != c.mu.seen {
			c.mu.seen = seen
			if err := c.readLocked(); err != nil { // once per change
				c.log.Error("HTTP: the certificate stays as it was", slog.Any("error", err))
			} else {
				c.log.Info("HTTP: the certificate has been read again", slog.String("file", c.cert))
			}
		}
	}
	return c.mu.pair, nil
}

// reload reads both files now.
func (c *certificate) reload() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if seen, err := c.stamps(); err == nil {
		c.mu.seen = seen
	}
	return c.readLocked()
}

func (c *certificate) readLocked() error {
	pair, err := tls.LoadX509KeyPair(c.cert, c.key)
	if err != nil {
		return fmt.Errorf("httpserver: certificate: %w", err)
	}
	c.mu.pair = &pair
	return nil
}

func (c *certificate) stamps() (s stamps, err error) {
	for i, path := range []string{c.cert, c.key} {
		info, err := os.Stat(path)
		if err != nil {
			return s, err
		}
		s[i].time, s[i].size = info.ModTime(), info.Size()
	}
	return s, nil
}

// config is for a listener: TLS 1.2 or later.
func (c *certificate) config() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: c.get}
}
