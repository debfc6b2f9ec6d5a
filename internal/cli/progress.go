package cli

import (
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
)

const (
	barDelay  = time.Second            // work that is shorter shows no bar
	barPause  = 100 * time.Millisecond // between two drawings of the bar
	linePause = 10 * time.Second       // between two lines
	lineStep  = 10                     // percent between two lines
)

// Progress shows on stderr how far a piece of work of known size is: a bar on a
// terminal, elsewhere a line for every ten percent and at most one in ten
// seconds. Its methods may be called from several goroutines. A nil Progress
// shows nothing.
type Progress struct {
	w        io.Writer
	label    string
	total    int64
	terminal bool

	mu struct {
		sync.Mutex
		start    time.Time
		bar      *progressbar.ProgressBar
		lastLine time.Time
		percent  int64 // of the last line
		done     int64
	}
}

// Progress returns the display of a work of total steps, or nil if the flags
// turn it off or there is nothing to show.
func (o *Output) Progress(io *IO, label string, total int64) *Progress {
	if o.Quiet || o.NoProgress || total <= 0 {
		return nil
	}
	return newProgress(io.Stderr, IsTerminal(io.Stderr), label, total)
}

func newProgress(w io.Writer, terminal bool, label string, total int64) *Progress {
	p := &Progress{w: w, label: label, total: total, terminal: terminal}
	p.mu.start = time.Now()
	p.mu.lastLine = p.mu.start
	return p
}

// Set says how many steps are done. Values that are not more than the last one
// change nothing.
func (p *Progress) Set(done int64) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if done <= p.mu.done {
		return
	}
	p.mu.done = min(done, p.total)
	if p.terminal {
		p.drawLocked()
		return
	}
	now := time.Now()
	percent := p.mu.done * 100 / p.total / lineStep * lineStep
	if percent <= p.mu.percent || now.Sub(p.mu.lastLine) < linePause {
		return
	}
	p.mu.percent, p.mu.lastLine = percent, now
	_, _ = fmt.Fprintf(p.w, "%s: %d %% (%d of %d)\n", p.label, percent, p.mu.done, p.total)
}

// drawLocked brings the bar up to date once the work has gone on for a second.
func (p *Progress) drawLocked() {
	if p.mu.bar == nil {
		if time.Since(p.mu.start) < barDelay {
			return
		}
		p.mu.bar = progressbar.NewOptions64(p.total,
			progressbar.OptionSetWriter(p.w),
			progressbar.OptionSetDescription(p.label),
			progressbar.OptionSetWidth(30),
			progressbar.OptionShowCount(),
			progressbar.OptionThrottle(barPause),
			progressbar.OptionClearOnFinish(),
		)
	}
	_ = p.mu.bar.Set64(p.mu.done) // a terminal that takes no more output is no reason to stop the work
}

// Close removes the bar, so that what follows starts on a line of its own.
func (p *Progress) Close() {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mu.bar != nil {
		_ = p.mu.bar.Clear()
		p.mu.bar = nil
	}
}
