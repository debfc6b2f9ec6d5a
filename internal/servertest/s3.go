package servertest

import (
	"os"
	"path/filepath"
	"testing"
)

// Keys of the servers that S3 starts.
const (
	S3AccessKey = "lmcache-test"
	S3SecretKey = "lmcache-secret"
	S3Region    = "us-east-1"
)

// S3Bucket is the bucket that they have.
const S3Bucket = "bucket"

// S3 starts a server that speaks S3 and keeps an empty bucket in files. Names of
// hosts that end in domain have the bucket in front, if domain is not empty.
func S3(tb testing.TB, domain string) *Server {
	tb.Helper()
	path, dir := find(tb, "versitygw"), tb.TempDir()
	if err := os.Mkdir(filepath.Join(dir, S3Bucket), 0o750); err != nil {
		tb.Fatal(err)
	}
	var err error
	for range tries {
		s := &Server{Addr: loopback(freePort(tb)), tb: tb}
		args := []string{"--access", S3AccessKey, "--secret", S3SecretKey, "--region", S3Region, "--port", s.Addr, "--quiet"}
		if domain != "" {
			args = append(args, "--virtual-domain", domain)
		}
		args = append(args, "posix", dir)
		s.begin = func() (*process, error) {
			return start(tb, func() bool { return listens(tb, s.Addr) }, path, args, nil)
		}
		if s.p, err = s.begin(); err == nil {
			return s
		}
	}
	tb.Fatal(err)
	return nil
}
