package top_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/lmcache-go/lmcache/internal/leak"
	"github.com/lmcache-go/lmcache/internal/top"
)

// pty is a pseudo-terminal: what its user sees and types is at keyboard.
type pty struct {
	keyboard *os.File
	terminal *os.File
	seen     chan string // all that was shown, once it is closed
}

func newPTY(t *testing.T, columns, rows uint16) *pty {
	t.Helper()
	keyboard, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	fd := int(keyboard.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	terminal, err := os.OpenFile("/dev/pts/"+strconv.Itoa(n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	p := &pty{keyboard, terminal, make(chan string, 1)}
	p.resize(t, columns, rows)
	return p
}

func (p *pty) resize(t *testing.T, columns, rows uint16) {
	t.Helper()
	if err := unix.IoctlSetWinsize(int(p.terminal.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: columns}); err != nil {
		t.Fatal(err)
	}
}

func (p *pty) mode(t *testing.T) unix.Termios {
	t.Helper()
	m, err := unix.IoctlGetTermios(int(p.terminal.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	return *m
}

// watch reads what is shown, until hangUp.
func (p *pty) watch() {
	var b bytes.Buffer
	_, _ = io.Copy(&b, p.keyboard) // ends with an error when the terminal is closed
	p.seen <- b.String()
}

func (p *pty) hangUp() string {
	p.terminal.Close()
	seen := <-p.seen
	p.keyboard.Close()
	return seen
}

// A terminal gives keys one by one, says when its size changes, and is as before when it
// is closed, also after a panic.
func TestTerminal(t *testing.T) {
	leak.Check(t)
	p := newPTY(t, 90, 30)
	go p.watch()
	before := p.mode(t)
	term, err := top.OpenTerminal(p.terminal, p.terminal)
	if err != nil {
		t.Fatal(err)
	}
	if w, h := term.Size(); w != 90 || h != 30 {
		t.Errorf("size %d x %d", w, h)
	}
	if p.mode(t).Lflag&(unix.ICANON|unix.ECHO|unix.ISIG) != 0 {
		t.Error("keys do not come one by one")
	}
	for _, key := range []string{"q", "\x03", "s"} {
		if _, err := p.keyboard.WriteString(key); err != nil {
			t.Fatal(err)
		}
		if got := <-term.Keys(); string(got) != key {
			t.Errorf("key %q, want %q", got, key)
		}
	}
	p.resize(t, 40, 10)
	if err := syscall.Kill(os.Getpid(), syscall.SIGWINCH); err != nil {
		t.Fatal(err)
	}
	<-term.Resized()
	if w, h := term.Size(); w != 40 || h != 10 {
		t.Errorf("size %d x %d", w, h)
	}
	if _, err := io.WriteString(term, "frame"); err != nil {
		t.Error(err)
	}
	func() {
		defer func() { _ = recover() }()
		defer func() {
			if err := term.Close(); err != nil {
				t.Error(err)
			}
		}()
		panic("out of order")
	}()
	if err := term.Close(); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff(before, p.mode(t)); diff != "" {
		t.Errorf("the terminal is not as before:\n%s", diff)
	}
	seen := p.hangUp()
	enter, leave := strings.Index(seen, "\x1b[?1049h\x1b[?25l"), strings.Index(seen, "\x1b[?25h\x1b[?1049l")
	if at := strings.Index(seen, "frame"); enter != 0 || at < enter || leave < at || strings.Count(seen, "\x1b[?1049l") != 1 {
		t.Errorf("shown: %q", seen)
	}
}

// Without a terminal to read from there are no keys, and the mode of none is changed.
func TestTerminalWithoutKeys(t *testing.T) {
	leak.Check(t)
	p := newPTY(t, 80, 24)
	go p.watch()
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	before := p.mode(t)
	for _, in := range []*os.File{nil, null} {
		term, err := top.OpenTerminal(in, p.terminal)
		if err != nil {
			t.Fatal(err)
		}
		if term.Keys() != nil || cmp.Diff(before, p.mode(t)) != "" {
			t.Error("keys without a terminal")
		}
		if err := term.Close(); err != nil {
			t.Error(err)
		}
	}
	p.hangUp()
}

// A terminal that is gone is an error, not a panic.
func TestTerminalGone(t *testing.T) {
	leak.Check(t)
	p := newPTY(t, 80, 24)
	go p.watch()
	term, err := top.OpenTerminal(p.terminal, p.terminal)
	if err != nil {
		t.Fatal(err)
	}
	p.terminal.Close()
	if _, err := io.WriteString(term, "frame"); !errors.Is(err, os.ErrClosed) {
		t.Errorf("%v", err)
	}
	if err := term.Close(); err == nil {
		t.Error("closing says nothing")
	}
	p.hangUp()
}
