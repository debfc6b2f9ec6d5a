package s3_test

import (
	"testing"

	"github.com/lmcache-go/lmcache/internal/servertest"
	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/l2/l2test"
	"github.com/lmcache-go/lmcache/l2/s3"
)

func options(addr string) s3.Options {
	return s3.Options{
		Endpoint: addr, Region: servertest.S3Region, PathStyle: true, Bucket: servertest.S3Bucket, NoTLS: true,
		AccessKey: servertest.S3AccessKey, SecretKey: servertest.S3SecretKey,
	}
}

func open(tb testing.TB, o s3.Options) *s3.Adapter {
	tb.Helper()
	a, err := s3.Open(o)
	if err != nil {
		tb.Fatal(err)
	}
	return a
}

// onServer opens an adapter on an empty server of its own.
func onServer(change func(*s3.Options)) l2test.Opener {
	return func(tb testing.TB) l2.Adapter { return persistent(change)(tb)(tb) }
}

func persistent(change func(*s3.Options)) func(testing.TB) l2test.Opener {
	return func(tb testing.TB) l2test.Opener {
		o := options(servertest.S3(tb, "").Addr)
		if change != nil {
			change(&o)
		}
		return func(tb testing.TB) l2.Adapter { return open(tb, o) }
	}
}

func TestS3(t *testing.T) {
	l2test.Run(t, onServer(nil), l2test.Persistent(persistent(nil)), l2test.Calls(300), l2test.MayRefuse())
}

func TestS3Raw(t *testing.T) {
	raw := func(o *s3.Options) { o.Format = l2.Format{Raw: true} }
	l2test.Run(t, onServer(raw), l2test.Persistent(persistent(raw)), l2test.Calls(30))
}
