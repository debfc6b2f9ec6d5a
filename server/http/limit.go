package httpserver

import (
	"net"
	"sync"
)

// limit is a listener that lets a bounded number of connections be open. Further
// ones wait in the backlog of the kernel.
type limit struct {
	net.Listener
	slots  chan struct{}
	closed chan struct{}
	once   sync.Once
}

func newLimit(ln net.Listener, n int) *limit {
	return &limit{Listener: ln, slots: make(chan struct{}, n), closed: make(chan struct{})}
}

// Accept waits for a slot and then for a connection.
func (l *limit) Accept() (net.Conn, error) {
	select {
	case l.slots <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	c, err := l.Listener.Accept()
	if err != nil {
		<-l.slots
		return nil, err
	}
	return &limited{Conn: c, release: sync.OnceFunc(func() { <-l.slots })}, nil
}

// Close ends Accept, also one that waits for a slot.
func (l *limit) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

// limited gives its slot back when it is closed.
type limited struct {
	net.Conn
	release func()
}

// Close closes the connection.
func (c *limited) Close() error {
	defer c.release()
	return c.Conn.Close()
}
