package l2_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"testing"

	"github.com/lmcache-go/lmcache/l2"
)

func TestReasonOf(t *testing.T) {
	for _, tc := range []struct {
		err         error
		reason      l2.Reason
		unreachable bool
	}{
		{nil, l2.ReasonNone, false},
		{fmt.Errorf("key: %w", l2.ErrNotFound), l2.ReasonNotFound, false},
		{l2.ErrCorrupt, l2.ReasonCorrupt, false},
		{l2.ErrLayout, l2.ReasonLayout, false},
		{l2.ErrThrottled, l2.ReasonThrottled, false},
		{l2.ErrTooLarge, l2.ReasonTooLarge, false},
		{l2.ErrNoSpace, l2.ReasonNoSpace, false},
		{l2.ErrClosed, l2.ReasonClosed, false},
		{io.ErrUnexpectedEOF, l2.ReasonIO, false},
		{fmt.Errorf("%w: refused", l2.ErrConnection), l2.ReasonIO, true},
		{context.DeadlineExceeded, l2.ReasonTimeout, true},
		{fmt.Errorf("read: %w", os.ErrDeadlineExceeded), l2.ReasonTimeout, true},
	} {
		if got := l2.ReasonOf(tc.err); got != tc.reason {
			t.Errorf("%v: reason %q, want %q", tc.err, got, tc.reason)
		}
		if tc.err != nil && l2.Unreachable(tc.err) != tc.unreachable {
			t.Errorf("%v: unreachable %v", tc.err, !tc.unreachable)
		}
	}
	for reason, transient := range map[l2.Reason]bool{
		l2.ReasonIO: true, l2.ReasonTimeout: true, l2.ReasonThrottled: true,
		l2.ReasonNotFound: false, l2.ReasonCorrupt: false, l2.ReasonTooLarge: false, l2.ReasonNoSpace: false, l2.ReasonClosed: false,
	} {
		if reason.Transient() != transient {
			t.Errorf("%s: transient %v", reason, !transient)
		}
	}
}
