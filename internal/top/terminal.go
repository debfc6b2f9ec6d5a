package top

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"

	"golang.org/x/term"
)

// Terminal is a terminal that a live view has for itself, until Close.
type Terminal struct {
	out      *os.File
	in       *os.File    // what keys are read from; nil: nothing
	before   *term.State // of in
	keys     chan []byte
	stopKeys func() error
	resized  chan struct{}
	stop     func()
	closed   sync.Once
}

// OpenTerminal takes a terminal over: out is switched to its other screen, without a
// cursor. If in is a terminal too, its keys come one by one; Ctrl-C is a key then.
func OpenTerminal(in, out *os.File) (*Terminal, error) {
	t := &Terminal{out: out, resized: make(chan struct{}, 1)}
	if in != nil && term.IsTerminal(int(in.Fd())) {
		if err := t.openKeys(in); err != nil {
			return nil, err
		}
	}
	t.stop = notifyResize(t.resized)
	if _, err := out.WriteString("\x1b[?1049h\x1b[?25l\x1b[2J"); err != nil {
		return nil, errors.Join(fmt.Errorf("terminal: %w", err), t.Close())
	}
	return t, nil
}

// openKeys begins to read keys. It opens the terminal a second time if it can: a read of
// that file ends when it is closed, while one of the standard input never does.
func (t *Terminal) openKeys(in *os.File) error {
	before, err := term.MakeRaw(int(in.Fd()))
	if err != nil {
		return fmt.Errorf("terminal: %w", err)
	}
	t.in, t.before, t.keys = in, before, make(chan []byte)
	from, own := in, false
	if again, err := os.OpenFile("/dev/fd/"+strconv.Itoa(int(in.Fd())), os.O_RDONLY, 0); err == nil {
		from, own = again, true
	}
	done := make(chan struct{})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		buf := make([]byte, 64)
		for {
			n, err := from.Read(buf)
			if err != nil {
				return
			}
			select {
			case t.keys <- append([]byte(nil), buf[:n]...):
			case <-done:
				return
			}
		}
	}()
	t.stopKeys = func() error {
		close(done)
		if !own {
			return nil // the reader ends with the process
		}
		err := from.Close()
		<-ended
		return err
	}
	return nil
}

// Keys is what is typed.
func (t *Terminal) Keys() <-chan []byte { return t.keys }

// Resized says that the size has changed.
func (t *Terminal) Resized() <-chan struct{} { return t.resized }

// Size is the size of the terminal in characters; 80 by 24 if it does not say.
func (t *Terminal) Size() (width, height int) {
	width, height, err := term.GetSize(int(t.out.Fd()))
	if err != nil || width <= 0 || height <= 0 {
		return 80, 24
	}
	return width, height
}

// Write draws on it.
func (t *Terminal) Write(p []byte) (int, error) { return t.out.Write(p) }

// Close gives the terminal back as it was. It is idempotent, and may be deferred: after a
// panic it does the same.
func (t *Terminal) Close() (err error) {
	t.closed.Do(func() {
		if t.stop != nil {
			t.stop()
		}
		_, err = t.out.WriteString("\x1b[?2026l\x1b[0m\x1b[?25h\x1b[?1049l")
		if t.before != nil {
			err = errors.Join(err, term.Restore(int(t.in.Fd()), t.before), t.stopKeys())
		}
	})
	return err
}
