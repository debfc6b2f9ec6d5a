package export

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

var errDown = errors.New("down")

// What fails is counted each time, and said at once and then once a minute with
// what was left unsaid.
func TestDeliveryWarnsOnceAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		d := newDelivery("spans", "http://h:4317", slog.New(slog.NewTextHandler(&log, nil)))
		fail := func(context.Context) error { return errDown }
		for range 150 { // 1 at 0 s, then 60 in each minute
			d.do(t.Context(), 2, fail)
			time.Sleep(time.Second)
		}
		d.do(t.Context(), 5, func(context.Context) error { return nil })
		d.report()
		d.report()
		var got []string
		for line := range strings.Lines(log.String()) {
			_, text, _ := strings.Cut(line, "export: ")
			text, _, _ = strings.Cut(text, " export(s)")
			got = append(got, text)
		}
		if want := "1 60 60 29"; strings.Join(got, " ") != want {
			t.Errorf("warnings about %q exports, want %s:\n%s", got, want, log.String())
		}
		if s := d.stats(); s != (Delivery{To: "http://h:4317", Delivered: 1, Failed: 150, Lost: 300}) || d.items.Load() != 305 {
			t.Errorf("%+v, %d items", s, d.items.Load())
		}
		d.cut(errCut)
	})
}

// A shutdown lasts no longer than its limit, however long ctx: what can be cut is
// cut, what cannot is left after a grace.
func TestShutdownLimit(t *testing.T) {
	for _, c := range []struct {
		name   string
		stuck  bool
		ctx    time.Duration
		want   time.Duration
		errors bool
	}{
		{"cut at the limit", false, time.Hour, shutdownLimit, false},
		{"cut when ctx ends", false, time.Second, time.Second, false},
		{"stuck", true, time.Hour, shutdownLimit + cutGrace, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDelivery("spans", "x", slog.New(slog.DiscardHandler))
				free := make(chan struct{})
				defer close(free)
				provider := func(ctx context.Context) error {
					d.do(ctx, 1, func(ctx context.Context) error {
						if c.stuck {
							<-free
							return nil
						}
						<-ctx.Done()
						return context.Cause(ctx)
					})
					return nil
				}
				ctx, cancel := context.WithTimeout(t.Context(), c.ctx)
				defer cancel()
				began := time.Now()
				err := shutdown(ctx, provider, []*delivery{d})
				if took := time.Since(began); took != c.want || (err != nil) != c.errors {
					t.Errorf("took %v, want %v: %v", took, c.want, err)
				}
				if d.do(t.Context(), 1, func(context.Context) error { t.Error("exported after the shutdown"); return nil }); d.failed.Load() == 0 {
					t.Error("nothing was counted")
				}
			})
		})
	}
}
