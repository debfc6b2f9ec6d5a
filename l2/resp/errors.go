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

// foreign reports whether the server says that a value is no string.
func foreign(err error) bool { return said(err) && word(err) == "WRONGTYPE" }

// word is the first one of an error that the server answered: its kind.
func word(err error) string {
	w, _, _ := strings.Cut(err.Error(), " ")
	return w
}

// failure gives whatever kept a command from its result its cause; nil stays nil.
func failure(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case rueidis.IsRedisNil(err):
		return l2.ErrNotFound
	case said(err):
		return answer(err)
	default:
		return outside(ctx, err)
	}
}

// answer gives an error that the server answered its cause.
func answer(err error) error {
	text := err.Error()
	cause := l2.ErrRefused
	switch word(err) {
	case "OOM":
		cause = l2.ErrNoSpace
	case "LOADING", "BUSY", "TRYAGAIN", "CLUSTERDOWN", "MASTERDOWN": // it will, a little later
		cause = l2.ErrThrottled
	case "MOVED", "ASK":
		text += " (the server is a node of a cluster: cluster_mode)"
	}
	return fmt.Errorf("resp: %w: %s", cause, text)
}

// at is the error of a server that was tried.
func at(servers []string, err error) error {
	return placed{strings.Join(servers, ","), err}
}

// placed is an error of this package with the place where it happened.
type placed struct {
	place string
	err   error
}

func (p placed) Error() string {
	return "resp: " + p.place + ": " + strings.TrimPrefix(p.err.Error(), "resp: ")
}
func (p placed) Unwrap() error { return p.err }

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
