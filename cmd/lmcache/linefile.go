package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
)

// lineFile is a file of JSON lines that a flag names.
type lineFile struct {
	flag string
	f    *os.File // nil: there is none, and nothing is written
	w    *bufio.Writer
	buf  []byte
	err  error // the first one of a line
}

// createLines makes the file, if there is to be one.
func createLines(flag, path string) (*lineFile, error) {
	l := &lineFile{flag: flag}
	if path == "" {
		return l, nil
	}
	var err error
	if l.f, err = os.Create(path); err != nil {
		return nil, l.of(err)
	}
	l.w = bufio.NewWriter(l.f)
	return l, nil
}

// write writes a line, which add appends. After an error there are no more.
func (l *lineFile) write(add func([]byte) ([]byte, error)) {
	if l.f == nil || l.err != nil {
		return
	}
	var err error
	if l.buf, err = add(l.buf[:0]); err == nil {
		_, err = l.w.Write(append(l.buf, '\n'))
	}
	l.err = l.of(err)
}

// close says what has gone wrong with the file until now; nil may be closed too.
func (l *lineFile) close() error {
	if l == nil || l.f == nil {
		return nil
	}
	if err := errors.Join(l.w.Flush(), l.f.Close()); l.err == nil { // a writer tells its error again
		l.err = l.of(err)
	}
	return l.err
}

func (l *lineFile) of(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", l.flag, err)
}
