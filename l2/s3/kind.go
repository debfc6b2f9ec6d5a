package s3

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"github.com/minio/minio-go/v7/pkg/s3utils"

	"github.com/lmcache-go/lmcache/l2"
)

// Kind is the type s3 of a configuration.
func Kind() l2.Kind {
	return l2.Kind{
		Names: []string{"s3"}, Workers: DefaultParallel, Parse: parse,
		Aliases: map[string]string{"s3_num_io_threads": "num_workers"},
	}
}

func parse(f *l2.Fields, s *l2.Settings) l2.OpenFunc {
	o := Options{
		Endpoint: f.Need("s3_endpoint"), Region: f.Need("s3_region"),
		PathStyle: f.Bool("s3_path_style", false), Bucket: f.String("s3_bucket", ""),
		Express: f.Bool("s3_enable_s3express", false), NoTLS: f.Bool("disable_tls", false),
		AccessKey: f.Secret("aws_access_key_id"), SecretKey: f.Secret("aws_secret_access_key"),
		PreferHTTP2:    f.Bool("s3_prefer_http2", true),
		RequestTimeout: f.Seconds("request_timeout", DefaultRequestTimeout, l2.Bounds{Above: true, Max: 24 * time.Hour.Seconds()}),
		Parallel:       max(s.Workers, DefaultParallel),
		Format:         f.Format(),
	}
	_, bucket, err := o.host()
	switch {
	case o.Endpoint != "" && err != nil:
		f.Bad("s3_endpoint", "must be BUCKET.HOST, or HOST with s3_path_style")
	case bucket != "" && s3utils.CheckValidBucketName(bucket) != nil:
		key := "s3_endpoint"
		if o.PathStyle {
			key = "s3_bucket"
		}
		f.Bad(key, "%q is no name of a bucket: 3 to 63 letters, digits, dots and dashes", bucket)
	case o.Express && bucket != "" && !strings.HasSuffix(bucket, expressSuffix):
		f.Bad("s3_enable_s3express", "the bucket's name must end in %q", expressSuffix)
	}
	switch {
	case o.PathStyle && o.Bucket == "":
		f.Bad("s3_bucket", "is required with s3_path_style")
	case !o.PathStyle && o.Bucket != "":
		f.Bad("s3_bucket", "has no effect without s3_path_style; the bucket is the first part of s3_endpoint")
	}
	if (o.AccessKey == "") != (o.SecretKey == "") {
		f.Bad("aws_access_key_id", "needs aws_secret_access_key, and the other way round")
	}
	s.Capacity = f.GiB("max_capacity_gb", 0)
	return func(context.Context, *slog.Logger) (l2.Adapter, error) { return Open(o) }
}
