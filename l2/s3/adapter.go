package s3

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// Adapter keeps objects in a bucket.
type Adapter struct {
	o      Options
	bucket string
	c      *minio.Core
	idle   func() // closes connections that nobody uses
	seen   presence
	gate   l2.Gate
	plain  atomic.Bool // the service knows no conditions: what is there is written again
}

var (
	_ l2.Adapter     = (*Adapter)(nil)
	_ l2.Formatter   = (*Adapter)(nil)
	_ l2.Lister      = (*Adapter)(nil)
	_ l2.PageScanner = (*Adapter)(nil)
	_ l2.Describer   = (*Adapter)(nil)
)

// retries is how often the library tries a request in all.
const retries = 3

// Open returns an adapter. It sends nothing: the first call does.
func Open(o Options) (*Adapter, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	o = o.withDefaults()
	host, bucket, err := o.host()
	if err != nil {
		return nil, err
	}
	a := &Adapter{o: o, bucket: bucket, idle: func() {}}
	rt := o.Transport
	if rt == nil {
		t, err := transport(o)
		if err != nil {
			return nil, err
		}
		rt, a.idle = t, t.CloseIdleConnections
	}
	lookup := minio.BucketLookupDNS
	if o.PathStyle {
		lookup = minio.BucketLookupPath
	}
	a.c, err = minio.NewCore(host, &minio.Options{
		Creds: creds(o), Secure: !o.NoTLS, Region: o.Region, BucketLookup: lookup,
		Transport: &patient{next: rt}, MaxRetries: retries,
	})
	if err != nil {
		return nil, err
	}
	return a, nil
}

func creds(o Options) *credentials.Credentials {
	switch {
	case o.Credentials != nil:
		return o.Credentials
	case o.AccessKey != "":
		return credentials.NewStaticV4(o.AccessKey, o.SecretKey, "")
	}
	return credentials.NewChainCredentials([]credentials.Provider{
		&credentials.EnvAWS{},
		&credentials.FileAWSCredentials{},
		&credentials.IAM{},
	})
}

func transport(o Options) (*http.Transport, error) {
	t, err := minio.DefaultTransport(!o.NoTLS)
	if err != nil {
		return nil, err
	}
	t.MaxIdleConnsPerHost = 2 * o.Parallel
	t.MaxIdleConns = t.MaxIdleConnsPerHost
	t.WriteBufferSize, t.ReadBufferSize = 256<<10, 64<<10 // objects are large
	t.ForceAttemptHTTP2 = o.PreferHTTP2
	return t, nil
}

// Format implements [l2.Formatter].
func (a *Adapter) Format() l2.Format { return a.o.Format }

func (a *Adapter) name(k kv.Key) string { return a.o.Format.RemoteName(k) }

// nameable reports whether a key has a name that means the same everywhere: services
// that are gateways to a file system take "a//b" and "../a" for paths.
func (a *Adapter) nameable(k kv.Key) bool {
	for part := range strings.SplitSeq(a.name(k), "/") {
		if part == "" || part == "." || part == ".." {
			return false
		}
	}
	return true
}

// errName is of keys that are not nameable. They are never found.
var errName = fmt.Errorf("s3: %w: the name of the model would be a path with an empty part or dots in it", l2.ErrIO)

// enter begins a call, which ends with gate.Leave.
func (a *Adapter) enter(ctx context.Context) error {
	if err := a.gate.Enter(); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		a.gate.Leave()
		return err
	}
	return nil
}

// each runs f for the numbers up to n, so many at a time, and returns an error if all
// of them failed to reach the service.
func (a *Adapter) each(ctx context.Context, n, parallel int, f func(context.Context, int) error) error {
	if err := a.enter(ctx); err != nil {
		return err
	}
	defer a.gate.Leave()
	lost := make([]error, n)
	one := func(i int) {
		ctx, cancel := context.WithTimeout(ctx, a.o.RequestTimeout)
		defer cancel()
		lost[i] = f(ctx, i)
	}
	if parallel = min(parallel, n); parallel <= 1 {
		for i := range n {
			one(i)
		}
	} else {
		var wg sync.WaitGroup
		next := make(chan int)
		for range parallel {
			wg.Go(func() {
				for i := range next {
					one(i)
				}
			})
		}
		for i := range n {
			next <- i
		}
		close(next)
		wg.Wait()
	}
	for _, err := range lost {
		if err == nil {
			return nil
		}
	}
	if n == 0 {
		return nil
	}
	return lost[0]
}

// Close implements [l2.Adapter]. Requests in progress end with their time limit at the
// latest.
func (a *Adapter) Close() error {
	a.gate.Close()
	a.idle()
	return nil
}

// Describe implements [l2.Describer].
func (a *Adapter) Describe() map[string]any {
	return map[string]any{"bucket": a.bucket, "service": a.c.EndpointURL().String(), "remembered_keys": a.seen.len()}
}
