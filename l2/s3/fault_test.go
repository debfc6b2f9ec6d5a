package s3_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/lmcache-go/lmcache/internal/leak"
	"github.com/lmcache-go/lmcache/internal/servertest"
	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/l2/l2test"
	"github.com/lmcache-go/lmcache/l2/s3"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// store stores one object and returns what went wrong with it.
func store(t *testing.T, a *s3.Adapter, it l2.Item) (int64, error) {
	t.Helper()
	items := []l2.Item{it}
	if err := a.Store(t.Context(), items); err != nil {
		return 0, err
	}
	return items[0].N, items[0].Err
}

// An adapter of a service that is away opens, says why its calls fail, and works once
// the service is there; so it does after the service was killed.
func TestServerComesAndGoes(t *testing.T) {
	leak.Check(t)
	s := servertest.S3(t, "")
	s.Kill()
	a := open(t, options(s.Addr))
	l2test.Closing(t, a)
	for n := range 2 {
		if _, err := store(t, a, l2test.Item(t, n, "payload")); !l2.Unreachable(err) {
			t.Fatalf("without a server: %v", err)
		}
		s.Restart()
		servertest.Eventually(t, func() error {
			_, err := store(t, a, l2test.Item(t, n, "payload"))
			return err
		})
		s.Kill()
	}
}

// A service that accepts connections and does not answer costs a call its time limit,
// not more, and is a timeout.
func TestServerThatHangs(t *testing.T) {
	s := servertest.S3(t, "")
	o := options(s.Addr)
	o.RequestTimeout = 100 * time.Millisecond
	a := open(t, o)
	l2test.Closing(t, a)
	servertest.Eventually(t, func() error { // the first requests may take longer
		_, err := store(t, a, l2test.Item(t, 1, strings.Repeat("p", 100_000)))
		return err
	})
	s.Hang()
	calls := map[string]func(context.Context) error{
		"Lookup": func(ctx context.Context) error {
			return a.Lookup(ctx, []kv.Key{l2test.Key(t, 3), l2test.Key(t, 4)}, make([]l2.Found, 2))
		},
		"Load":   func(ctx context.Context) error { return a.Load(ctx, []l2.Item{l2test.Room(t, 1, 100_000)}) },
		"Store":  func(ctx context.Context) error { return a.Store(ctx, []l2.Item{l2test.Item(t, 2, "other")}) },
		"Delete": func(ctx context.Context) error { return a.Delete(ctx, []kv.Key{l2test.Key(t, 1)}, make([]int64, 1)) },
	}
	for name, call := range calls {
		if err := call(t.Context()); l2.ReasonOf(err) != l2.ReasonTimeout {
			t.Errorf("%s: %v, want a timeout", name, err)
		}
	}
	s.Resume()
	servertest.Eventually(t, func() error {
		_, err := store(t, a, l2test.Item(t, 2, "other"))
		return err
	})
}

func TestWrongKeys(t *testing.T) {
	s := servertest.S3(t, "")
	o := options(s.Addr)
	o.SecretKey = "another-secret"
	a := open(t, o)
	l2test.Closing(t, a)
	_, err := store(t, a, l2test.Item(t, 1, "payload"))
	if err == nil || l2.Unreachable(err) || strings.Contains(err.Error(), "another-secret") {
		t.Errorf("wrong keys: %v", err)
	}
	found := make([]l2.Found, 1)
	if err := a.Lookup(t.Context(), []kv.Key{l2test.Key(t, 1)}, found); err != nil || found[0].OK || l2.ReasonOf(found[0].Err) != l2.ReasonIO {
		t.Errorf("a lookup with wrong keys: %v, %+v: it is no miss", err, found[0])
	}
	o = options(s.Addr)
	o.Bucket = "nobody"
	b := open(t, o)
	l2test.Closing(t, b)
	items := []l2.Item{l2test.Room(t, 1, 10)}
	if err := b.Load(t.Context(), items); err != nil || l2.ReasonOf(items[0].Err) != l2.ReasonIO {
		t.Errorf("a bucket that is not there: %v, %v: it is no miss", err, items[0].Err)
	}
}

// client is a plain client of a server.
func client(t testing.TB, addr string) *minio.Client {
	t.Helper()
	c, err := minio.New(addr, &minio.Options{
		Creds: credentials.NewStaticV4(servertest.S3AccessKey, servertest.S3SecretKey, ""), Region: servertest.S3Region,
		BucketLookup: minio.BucketLookupPath,
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// What somebody else keeps under the name is not served, and an object of another
// size is replaced by the next store.
func TestForeignObjects(t *testing.T) {
	s := servertest.S3(t, "")
	a := open(t, options(s.Addr))
	l2test.Closing(t, a)
	c := client(t, s.Addr)
	for name, text := range map[string]string{
		l2.Format{}.RemoteName(l2test.Key(t, 1)): strings.Repeat("x", 5000),
		l2.Format{}.RemoteName(l2test.Key(t, 2)): "short",
		"something/else":                         "x",
		"@v1@m@zz@0@00":                          "x",
	} {
		if _, err := c.PutObject(t.Context(), servertest.S3Bucket, name, strings.NewReader(text), int64(len(text)), minio.PutObjectOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	items := []l2.Item{l2test.Room(t, 1, 100), l2test.Room(t, 2, 100), l2test.Room(t, 3, 100)}
	if err := a.Load(t.Context(), items); err != nil {
		t.Fatal(err)
	}
	for i, want := range []l2.Reason{l2.ReasonCorrupt, l2.ReasonCorrupt, l2.ReasonNotFound} {
		if got := l2.ReasonOf(items[i].Err); got != want {
			t.Errorf("object %d: %v, want %s", i+1, items[i].Err, want)
		}
	}
	page, err := a.List(t.Context(), l2.ListQuery{PageSize: 100})
	if err != nil || len(page.Entries) != 2 {
		t.Errorf("listing: %v, %v", page, err)
	}
	if n, err := store(t, a, l2test.Item(t, 2, "payload")); n != 7 || err != nil {
		t.Errorf("Store over an object of another size: %d, %v", n, err)
	}
}

// An object that another process has stored is not sent again.
func TestStoreOfWhatAnotherStored(t *testing.T) {
	s := servertest.S3(t, "")
	a, b := open(t, options(s.Addr)), open(t, options(s.Addr))
	l2test.Closing(t, a)
	l2test.Closing(t, b)
	if n, err := store(t, a, l2test.Item(t, 1, "payload")); n != 7 || err != nil {
		t.Fatalf("%d, %v", n, err)
	}
	if n, err := store(t, b, l2test.Item(t, 1, "payload")); n != 0 || err != nil {
		t.Errorf("once more: %d, %v; want 0 bytes", n, err)
	}
}

// The bucket may be in the host's name.
func TestVirtualHost(t *testing.T) {
	s := servertest.S3(t, "s3.test")
	o := options(s.Addr)
	o.Endpoint, o.PathStyle, o.Bucket = "s3://"+servertest.S3Bucket+".s3.test", false, ""
	tr := &http.Transport{DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		if host, _, _ := net.SplitHostPort(addr); host != servertest.S3Bucket+".s3.test" {
			return nil, errors.New("host " + host)
		}
		return (&net.Dialer{}).DialContext(ctx, network, s.Addr)
	}}
	t.Cleanup(tr.CloseIdleConnections)
	o.Transport = tr
	a := open(t, o)
	l2test.Closing(t, a)
	if n, err := store(t, a, l2test.Item(t, 1, "payload")); n != 7 || err != nil {
		t.Fatalf("%d, %v", n, err)
	}
	items := []l2.Item{l2test.Room(t, 1, 7)}
	if err := a.Load(t.Context(), items); err != nil || items[0].Err != nil || string(items[0].Data) != "payload" {
		t.Errorf("%v, %+v", err, items[0])
	}
}

// busy answers 503 a number of times.
type busy struct {
	left atomic.Int32
	next http.RoundTripper
	seen atomic.Int32
}

func (b *busy) RoundTrip(r *http.Request) (*http.Response, error) {
	b.seen.Add(1)
	if b.left.Add(-1) < 0 {
		return b.next.RoundTrip(r)
	}
	if r.Body != nil {
		_ = r.Body.Close()
	}
	return &http.Response{
		Status: "503 Slow Down", StatusCode: http.StatusServiceUnavailable, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"Retry-After": {"1"}}, Request: r,
		Body: io.NopCloser(strings.NewReader(`<Error><Code>SlowDown</Code><Message>slower</Message></Error>`)),
	}, nil
}

// A service that asks for time gets it, and is throttled if it keeps asking.
func TestServiceAsksForTime(t *testing.T) {
	s := servertest.S3(t, "")
	b := &busy{next: http.DefaultTransport}
	o := options(s.Addr)
	o.Transport = b
	a := open(t, o)
	l2test.Closing(t, a)
	b.left.Store(1)
	begin := time.Now()
	if n, err := store(t, a, l2test.Item(t, 1, "payload")); n != 7 || err != nil {
		t.Fatalf("%d, %v", n, err)
	}
	if took := time.Since(begin); took < time.Second {
		t.Errorf("tried again after %v, was asked to wait a second", took)
	}
	b.left.Store(1000)
	if _, err := store(t, a, l2test.Item(t, 2, "payload")); l2.ReasonOf(err) != l2.ReasonThrottled {
		t.Errorf("a service that is always busy: %v", err)
	}
	found := make([]l2.Found, 1)
	if err := a.Lookup(t.Context(), []kv.Key{l2test.Key(t, 2)}, found); err != nil || found[0].OK || l2.ReasonOf(found[0].Err) != l2.ReasonThrottled {
		t.Errorf("a lookup in a service that is always busy: %v, %+v: it is no miss", err, found[0])
	}
	b.left.Store(0)
	if err := a.Lookup(t.Context(), []kv.Key{l2test.Key(t, 2)}, found); err != nil || found[0] != (l2.Found{}) {
		t.Errorf("an object that is not there: %v, %+v", err, found[0])
	}
}

// What was seen is not asked for again, until it fails.
func TestPresence(t *testing.T) {
	s := servertest.S3(t, "")
	count := &busy{next: http.DefaultTransport}
	o := options(s.Addr)
	o.Transport = count
	a := open(t, o)
	l2test.Closing(t, a)
	if _, err := store(t, a, l2test.Item(t, 1, "payload")); err != nil {
		t.Fatal(err)
	}
	found := make([]l2.Found, 1)
	look := func() (asked int32) {
		before := count.seen.Load()
		if err := a.Lookup(t.Context(), []kv.Key{l2test.Key(t, 1)}, found); err != nil {
			t.Fatal(err)
		}
		return count.seen.Load() - before
	}
	if n := look(); n != 0 || !found[0].OK {
		t.Errorf("%d requests for what was just stored, found %v", n, found[0])
	}
	if err := client(t, s.Addr).RemoveObject(t.Context(), servertest.S3Bucket, l2.Format{}.RemoteName(l2test.Key(t, 1)), minio.RemoveObjectOptions{}); err != nil {
		t.Fatal(err)
	}
	items := []l2.Item{l2test.Room(t, 1, 7)}
	if err := a.Load(t.Context(), items); err != nil || l2.ReasonOf(items[0].Err) != l2.ReasonNotFound {
		t.Fatalf("%v, %v", err, items[0].Err)
	}
	if n := look(); n == 0 || found[0].OK {
		t.Errorf("%d requests after a load failed, found %v", n, found[0])
	}
}

// during makes a call of its own before a request of one method goes out.
type during struct {
	method string
	call   func()
}

func (d *during) RoundTrip(r *http.Request) (*http.Response, error) {
	if f := d.call; f != nil && r.Method == d.method {
		d.call = nil
		f()
	}
	return http.DefaultTransport.RoundTrip(r)
}

// A lookup that sees an object at the moment at which it is deleted does not keep the
// next store from storing it.
func TestLookupDuringDelete(t *testing.T) {
	s := servertest.S3(t, "")
	d := &during{method: http.MethodDelete}
	o := options(s.Addr)
	o.Transport = d
	a := open(t, o)
	l2test.Closing(t, a)
	if _, err := store(t, a, l2test.Item(t, 1, "payload")); err != nil {
		t.Fatal(err)
	}
	keys, found := []kv.Key{l2test.Key(t, 1)}, make([]l2.Found, 1)
	d.call = func() {
		if err := a.Lookup(t.Context(), keys, found); err != nil || !found[0].OK {
			t.Errorf("before it is gone: %+v, %v", found, err)
		}
	}
	if err := a.Delete(t.Context(), keys, make([]int64, 1)); err != nil || d.call != nil {
		t.Fatalf("%v", err)
	}
	if n, err := store(t, a, l2test.Item(t, 1, "payload")); n != 7 || err != nil {
		t.Errorf("stored again: %d bytes, %v", n, err)
	}
	items := []l2.Item{l2test.Room(t, 1, 7)}
	if err := a.Load(t.Context(), items); err != nil || items[0].Err != nil {
		t.Errorf("loaded: %v, %v", err, items[0].Err)
	}
}

// simple is a service that refuses conditions.
type simple struct{ refused atomic.Int32 }

func (s *simple) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Header.Get("If-None-Match") == "" {
		return http.DefaultTransport.RoundTrip(r)
	}
	s.refused.Add(1)
	if err := r.Body.Close(); err != nil {
		return nil, err
	}
	return &http.Response{StatusCode: http.StatusNotImplemented, Header: http.Header{}, Body: http.NoBody, Request: r}, nil
}

// A service that knows no conditions is written to without, and asked once.
func TestServiceWithoutConditions(t *testing.T) {
	s := servertest.S3(t, "")
	refuses := &simple{}
	o := options(s.Addr)
	o.Transport = refuses
	a := open(t, o)
	l2test.Closing(t, a)
	for n := range 3 {
		if n, err := store(t, a, l2test.Item(t, n, "payload")); n != 7 || err != nil {
			t.Fatalf("%d bytes, %v", n, err)
		}
	}
	if n := refuses.refused.Load(); n != 1 {
		t.Errorf("%d requests had a condition", n)
	}
	items := []l2.Item{l2test.Room(t, 2, 7)}
	if err := a.Load(t.Context(), items); err != nil || items[0].Err != nil {
		t.Errorf("loaded: %v, %v", err, items[0].Err)
	}
}

func TestValidate(t *testing.T) {
	for name, tc := range map[string]struct {
		o    s3.Options
		want []string
	}{
		"nothing":          {s3.Options{}, []string{"Endpoint: not set", "Region: not set"}},
		"no bucket":        {s3.Options{Endpoint: "localhost", Region: "r"}, []string{"does not begin with a bucket"}},
		"a path":           {s3.Options{Endpoint: "b.host/path", Region: "r"}, []string{"is not a host"}},
		"path style":       {s3.Options{Endpoint: "host", Region: "r", PathStyle: true}, []string{"Bucket: not set"}},
		"bucket twice":     {s3.Options{Endpoint: "bucket.host", Region: "r", Bucket: "bucket"}, []string{"Bucket: set without PathStyle"}},
		"a short name":     {s3.Options{Endpoint: "b.host", Region: "r"}, []string{`Bucket: "b": `}},
		"no express":       {s3.Options{Endpoint: "bucket.host", Region: "r", Express: true}, []string{`does not end in "--x-s3"`}},
		"half a key":       {s3.Options{Endpoint: "bucket.host", Region: "r", AccessKey: "a"}, []string{"set both or none"}},
		"negative numbers": {s3.Options{Endpoint: "bucket.host", Region: "r", Parallel: -1, RequestTimeout: -1}, []string{"Parallel", "RequestTimeout"}},
	} {
		_, err := s3.Open(tc.o)
		if err == nil {
			t.Errorf("%s: no error", name)
			continue
		}
		for _, want := range tc.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want %q in it", name, err, want)
			}
		}
	}
}
