package main

import (
	"encoding/json"

	"github.com/lmcache-go/lmcache/trace/replay"
)

// divergences is the file of divergences.
type divergences struct{ *lineFile }

func openDivergences(path string) (divergences, error) {
	f, err := createLines("--divergence-out", path)
	return divergences{f}, err
}

func (d divergences) one(x replay.Divergence) {
	d.write(func(b []byte) ([]byte, error) {
		line, err := json.Marshal(x)
		return append(b, line...), err
	})
}
