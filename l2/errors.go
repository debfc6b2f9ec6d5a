package l2

import (
	"context"
	"errors"
	"net"
	"os"
)

// Causes that an adapter wraps. [ReasonOf] finds them again.
var (
	ErrNotFound  = errors.New("not found")
	ErrIO        = errors.New("input/output error")
	ErrCorrupt   = errors.New("corrupt object")
	ErrTimeout   = errors.New("timed out")
	ErrThrottled = errors.New("throttled by the store")
	ErrTooLarge  = errors.New("object too large for the store")
	ErrNoSpace   = errors.New("no space left in the store")
	ErrLayout    = errors.New("object of another layout")
	ErrSerde     = errors.New("conversion failed")
	ErrClosed    = errors.New("adapter is closed")
	ErrCursor    = errors.New("not a place in this listing") // of a Lister: the caller's mistake
)

// ErrRefused says that the store answered that it does not do what was asked: wrong
// credentials, no permission, a bucket that does not exist. It is an ErrIO too.
var ErrRefused error = refused{}

type refused struct{}

func (refused) Error() string        { return "refused by the store" }
func (refused) Is(target error) bool { return target == ErrIO }

// ErrConnection marks causes that say that the store cannot be reached at all:
// refused and reset connections, names that do not resolve, TLS that fails. They open
// the circuit breaker, as ErrTimeout does. It is wrapped beside ErrIO or alone.
var ErrConnection = errors.New("store cannot be reached")

// Reason is why an operation on one key failed, as events, metrics and logs spell it.
type Reason string

// Reasons.
const (
	ReasonNone      Reason = ""
	ReasonNotFound  Reason = "not_found"
	ReasonIO        Reason = "io"
	ReasonCorrupt   Reason = "corrupt"
	ReasonTimeout   Reason = "timeout"
	ReasonThrottled Reason = "throttled"
	ReasonTooLarge  Reason = "too_large"
	ReasonNoSpace   Reason = "no_space"
	ReasonLayout    Reason = "layout_mismatch"
	ReasonSerde     Reason = "serde_failure"
	ReasonClosed    Reason = "closed"
)

// ReasonOf classifies an error of an adapter. What it does not know is ReasonIO.
func ReasonOf(err error) Reason {
	switch {
	case err == nil:
		return ReasonNone
	case errors.Is(err, ErrNotFound):
		return ReasonNotFound
	case errors.Is(err, ErrCorrupt):
		return ReasonCorrupt
	case errors.Is(err, ErrLayout):
		return ReasonLayout
	case errors.Is(err, ErrSerde):
		return ReasonSerde
	case errors.Is(err, ErrTooLarge):
		return ReasonTooLarge
	case errors.Is(err, ErrNoSpace):
		return ReasonNoSpace
	case errors.Is(err, ErrThrottled):
		return ReasonThrottled
	case errors.Is(err, ErrClosed):
		return ReasonClosed
	case errors.Is(err, ErrTimeout), errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return ReasonTimeout
	}
	var ne net.Error
	if errors.As(err, &ne) && ne.Timeout() {
		return ReasonTimeout
	}
	return ReasonIO
}

// Transient reports whether the same call may succeed a little later.
func (r Reason) Transient() bool {
	return r == ReasonIO || r == ReasonTimeout || r == ReasonThrottled
}

// Unreachable reports whether err says that the store cannot be talked to, rather
// than what it said: such errors open the circuit breaker.
func Unreachable(err error) bool {
	return errors.Is(err, ErrConnection) || ReasonOf(err) == ReasonTimeout
}
