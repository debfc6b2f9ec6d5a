package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"

	"github.com/minio/minio-go/v7"

	"github.com/lmcache-go/lmcache/l2"
)

// status is the HTTP status of an answer that is an error; 0: there was no answer.
func status(err error) int {
	if r, ok := errors.AsType[minio.ErrorResponse](err); ok {
		return r.StatusCode
	}
	return 0
}

// cause gives an error of the library its cause. lost says that the service did not
// answer.
func cause(ctx context.Context, err error) (lost bool, _ error) {
	if r, ok := errors.AsType[minio.ErrorResponse](err); ok && r.StatusCode != 0 {
		return false, fmt.Errorf("s3: %w: %s: %s", of(r), r.Code, r.Message)
	}
	var ne net.Error
	switch {
	case errors.Is(err, context.Canceled) && ctx.Err() != nil:
		return true, err
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &ne) && ne.Timeout():
		return true, fmt.Errorf("s3: %w: %w", l2.ErrTimeout, err)
	default:
		return true, fmt.Errorf("s3: %w: %w", l2.ErrConnection, err)
	}
}

func of(r minio.ErrorResponse) error {
	switch {
	case r.StatusCode == http.StatusNotFound && r.Code != "NoSuchBucket":
		return l2.ErrNotFound
	case r.StatusCode == http.StatusServiceUnavailable, r.StatusCode == http.StatusTooManyRequests, r.Code == "SlowDown":
		return l2.ErrThrottled
	case r.Code == "EntityTooLarge":
		return l2.ErrTooLarge
	case r.Code == "QuotaExceeded", r.StatusCode == http.StatusInsufficientStorage:
		return l2.ErrNoSpace
	case r.StatusCode >= 400 && r.StatusCode < 500:
		return l2.ErrRefused
	default:
		return l2.ErrIO
	}
}

// outcome is what an error means for its key, and for the call: nothing, if the
// service answered.
func outcome(ctx context.Context, err error) (key, call error) {
	lost, err := cause(ctx, err)
	if lost {
		return err, err
	}
	return err, nil
}

// broken is outcome for an error in the middle of a body.
func broken(ctx context.Context, err error) (key, call error) {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("s3: %w: the answer ended early", l2.ErrIO), nil
	}
	return outcome(ctx, err)
}
