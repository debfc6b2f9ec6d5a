package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/lmcache-go/lmcache/trace/replay"
)

// divergences is the file of divergences.
type divergences struct {
	f   *os.File // nil: none
	w   *bufio.Writer
	err error
}

func openDivergences(path string) (*divergences, error) {
	if path == "" {
		return &divergences{}, nil
	}
	f, err := os.Create(path)
	if err != nil {
		return nil, fmt.Errorf("--divergence-out: %w", err)
	}
	return &divergences{f: f, w: bufio.NewWriter(f)}, nil
}

func (d *divergences) one(x replay.Divergence) {
	if d.w == nil || d.err != nil {
		return
	}
	line, err := json.Marshal(x)
	if err == nil {
		_, err = d.w.Write(append(line, '\n'))
	}
	d.err = err
}

func (d *divergences) close() error {
	if d == nil || d.f == nil {
		return nil
	}
	if err := errors.Join(d.err, d.w.Flush(), d.f.Close()); err != nil {
		return fmt.Errorf("--divergence-out: %w", err)
	}
	return nil
}
