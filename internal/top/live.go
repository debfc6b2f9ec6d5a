package top

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// Bounds of the interval that the keys + and - move.
const (
	MinInterval = 200 * time.Millisecond
	MaxInterval = 5 * time.Minute
)

// Source is what scrapes come from; a Client is one.
type Source interface {
	// Fetch reads once. It returns when ctx ends.
	Fetch(ctx context.Context) (*Scrape, error)
}

// Once is the frame of two scrapes an interval apart.
func Once(ctx context.Context, from Source, o Options, interval time.Duration) (*Frame, error) {
	before, err := from.Fetch(ctx)
	if err != nil {
		return nil, err
	}
	select {
	case <-time.After(interval):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	now, err := from.Fetch(ctx)
	if err != nil {
		return nil, err
	}
	return Build(before, now, o), nil
}

// Live is a view that is drawn again and again.
type Live struct {
	Source  Source
	Out     io.Writer                  // the terminal
	Size    func() (width, height int) // of the terminal
	Keys    <-chan []byte              // what is typed; nil: nothing
	Resized <-chan struct{}            // the size has changed; nil: never
	Options Options
	View    View // at the start; its size is found out
}

// fetched is the outcome of one fetch.
type fetched struct {
	scrape *Scrape
	err    error
	panic  any
}

// Run draws until somebody quits, which returns nil, or ctx ends, which returns its
// error. A server that does not answer is asked again at each interval. Fetches run on a
// goroutine of their own, which has ended when Run returns.
func (l *Live) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	results := make(chan fetched, 1)
	fetching := false
	defer func() {
		cancel()
		if fetching {
			<-results
		}
	}()
	fetch := func() {
		if fetching {
			return
		}
		fetching = true
		go func() {
			var f fetched
			defer func() {
				f.panic = recover() // it is the terminal's owner who must see it
				results <- f
			}()
			f.scrape, f.err = l.Source.Fetch(ctx)
		}()
	}
	s := screen{live: l, recorder: Recorder{Options: l.Options}, view: l.View, since: time.Now()}
	ticker := time.NewTicker(s.view.Interval)
	defer ticker.Stop()
	fetch()
	for {
		if err := s.draw(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case f := <-results:
			fetching = false
			if f.panic != nil {
				panic(f.panic)
			}
			if ctx.Err() == nil {
				s.take(f)
			}
		case <-ticker.C:
			if !s.view.Paused {
				fetch()
			}
		case <-l.Resized:
		case keys := <-l.Keys:
			interval := s.view.Interval
			if s.view.press(keys) {
				return nil
			}
			if s.view.Interval != interval {
				ticker.Reset(s.view.Interval)
			}
		}
	}
}

// screen is what a live view shows.
type screen struct {
	live     *Live
	recorder Recorder
	view     View
	frame    *Frame
	since    time.Time // of the last answer
}

// take notes the outcome of a fetch.
func (s *screen) take(f fetched) {
	if f.err != nil {
		s.view.Problem = f.err.Error()
		if e, ok := errors.AsType[*FetchError](f.err); ok { // the header says of whom
			s.view.Problem = e.Err.Error()
		}
		return
	}
	s.view.Problem, s.since = "", time.Now()
	s.frame = s.recorder.Add(f.scrape)
}

// draw writes the whole screen at once, between marks that let a terminal show it at once
// too. Lines are cleared before they are written: behind a full line the cursor still
// stands on its last character.
func (s *screen) draw() error {
	s.view.Width, s.view.Height = s.live.Size()
	s.view.Away = time.Since(s.since)
	var b bytes.Buffer
	b.WriteString("\x1b[?2026h\x1b[H\x1b[K")
	b.WriteString(strings.ReplaceAll(Render(s.frame, s.view), "\n", "\r\n\x1b[K"))
	b.WriteString("\x1b[?2026l")
	if _, err := s.live.Out.Write(b.Bytes()); err != nil {
		return fmt.Errorf("terminal: %w", err)
	}
	return nil
}

// press does what keys ask for; quit ends the view.
func (v *View) press(keys []byte) (quit bool) {
	if len(keys) > 1 && keys[0] == '\x1b' { // an arrow or the like
		return false
	}
	for _, k := range keys {
		switch {
		case k == 'q' || k == 'Q' || k == '\x03':
			return true
		case k == 'p' || k == ' ':
			v.Paused = !v.Paused
		case k == 's':
			v.Sort = v.order().next()
		case k == 't':
			v.zoom(tenantsPanel)
		case k >= '1' && k <= '9':
			v.zoom(int(k - '0'))
		case k == '0' || k == '\x1b':
			v.Zoom, v.Help = 0, false
		case k == '?' || k == 'h':
			v.Help = !v.Help
		case k == '+':
			v.Interval = min(v.Interval*2, MaxInterval)
		case k == '-':
			v.Interval = max(v.Interval/2, MinInterval)
		}
	}
	return false
}

// tenantsPanel is the number of the panel of tenants.
const tenantsPanel = 4

// zoom shows one panel only, or all again.
func (v *View) zoom(panel int) {
	v.Help = false
	if v.Zoom == panel {
		panel = 0
	}
	v.Zoom = panel
}
