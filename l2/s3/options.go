package s3

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/minio/minio-go/v7/pkg/s3utils"

	"github.com/lmcache-go/lmcache/l2"
)

// Options of an adapter. Endpoint and Region are required.
type Options struct {
	// Endpoint is the host of the service, with a port if need be. It begins with the
	// bucket ("bucket.s3.eu-west-1.amazonaws.com") unless PathStyle is set. "s3://" in
	// front of it is ignored.
	Endpoint string
	Region   string

	PathStyle bool   // the bucket is in the path of requests, and in Bucket
	Bucket    string // of PathStyle
	Express   bool   // the bucket is one of S3 Express, whose name ends in "--x-s3"
	NoTLS     bool

	AccessKey, SecretKey string // both empty: environment, shared files, then the machine's role

	Parallel       int           // requests of one lookup or delete at a time; 0: 64
	RequestTimeout time.Duration // 0: 30 s
	PreferHTTP2    bool
	Format         l2.Format

	// Transport makes the requests; nil: one of the adapter's own. It honours TLS
	// and the limits above then.
	Transport http.RoundTripper
	// Credentials take the place of the keys; nil: as described there.
	Credentials *credentials.Credentials
}

// Defaults of Options.
const (
	DefaultParallel       = 64
	DefaultRequestTimeout = 30 * time.Second
)

func (o Options) withDefaults() Options {
	if o.Parallel == 0 {
		o.Parallel = DefaultParallel
	}
	if o.RequestTimeout == 0 {
		o.RequestTimeout = DefaultRequestTimeout
	}
	return o
}

// host is the service and bucket the bucket's name.
func (o Options) host() (host, bucket string, err error) {
	host = strings.TrimSuffix(strings.TrimPrefix(o.Endpoint, "s3://"), "/")
	u, err := url.Parse("//" + host)
	if err != nil || u.Host != host || host == "" {
		return "", "", fmt.Errorf("s3: Endpoint: %q is not a host", o.Endpoint)
	}
	if o.PathStyle {
		return host, o.Bucket, nil
	}
	bucket, host, ok := strings.Cut(host, ".")
	if !ok {
		return "", "", fmt.Errorf("s3: Endpoint: %q does not begin with a bucket; PathStyle takes it from Bucket", o.Endpoint)
	}
	return host, bucket, nil
}

const expressSuffix = "--x-s3"

// Validate reports everything that is wrong with o.
func (o Options) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf("s3: "+format, args...)) }
	_, bucket, err := o.host()
	switch {
	case o.Endpoint == "":
		bad("Endpoint: not set")
	case err != nil:
		errs = append(errs, err)
	}
	if o.Region == "" {
		bad("Region: not set")
	}
	switch {
	case o.PathStyle && o.Bucket == "":
		bad("Bucket: not set, and PathStyle needs it")
	case !o.PathStyle && o.Bucket != "":
		bad("Bucket: set without PathStyle; the bucket is the first part of Endpoint")
	}
	if bucket != "" {
		if err := s3utils.CheckValidBucketName(bucket); err != nil {
			bad("Bucket: %q: %w", bucket, err)
		}
	}
	if o.Express && bucket != "" && !strings.HasSuffix(bucket, expressSuffix) {
		bad("Express: the name of the bucket %q does not end in %q", bucket, expressSuffix)
	}
	if (o.AccessKey == "") != (o.SecretKey == "") {
		bad("AccessKey, SecretKey: set both or none")
	}
	if o.Parallel < 0 {
		bad("Parallel: %d is negative", o.Parallel)
	}
	if o.RequestTimeout < 0 {
		bad("RequestTimeout: %v is negative", o.RequestTimeout)
	}
	return errors.Join(errs...)
}
