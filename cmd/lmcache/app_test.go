package main

import (
	"bytes"
	"testing"

	"github.com/lmcache-go/lmcache/internal/cli"
)

// run is one run of the program with its own files and environment.
type run struct {
	app            *cli.App
	stdout, stderr bytes.Buffer
}

// newRun returns the program over an environment.
func newRun(t *testing.T, env map[string]string) *run {
	t.Helper()
	r := new(run)
	r.app = newApp(&cli.IO{
		Stdin: bytes.NewReader(nil), Stdout: &r.stdout, Stderr: &r.stderr,
		LookupEnv: func(name string) (string, bool) { v, ok := env[name]; return v, ok },
	})
	return r
}
