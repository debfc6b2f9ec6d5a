package resp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"

	"github.com/redis/rueidis"

	"github.com/lmcache-go/lmcache/l2"
)

// said reports whether err is an answer of the server, nil included, and not what
// kept one from coming.
func said(err error) bool {
	_, ok := rueidis.IsRedisErr(err)
	return ok
}

// answer gives an error that the server answered its cause.
func answer(err error) error {
	text := err.Error()
	cause := l2.ErrIO
	word, _, _ := strings.Cut(text, " ")
	switch word {
	case "OOM":
		cause = l2.ErrNoSpace
	case "LOADING", "BUSY", "TRYAGAIN", "CLUSTERDOWN", "MASTERDOWN":
		cause = l2.ErrThrottled
	}
	return fmt.Errorf("resp: %w: %s", cause, text)
}

// outside gives what kept an answer from coming its cause.
func outside(ctx context.Context, err error) error {
	var ne net.Error
	switch {
	case errors.Is(err, context.Canceled) && ctx.Err() != nil, errors.Is(err, l2.ErrClosed):
		return err
	case errors.Is(err, rueidis.ErrClosing):
		return fmt.Errorf("resp: %w: %w", l2.ErrConnection, err)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &ne) && ne.Timeout():
		return fmt.Errorf("resp: %w: %w", l2.ErrTimeout, err)
	default:
		return fmt.Errorf("resp: %w: %w", l2.ErrConnection, err)
	}
}
