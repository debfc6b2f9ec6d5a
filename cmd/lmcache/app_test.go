package main

import (
	"bytes"
	"testing"

	"github.com/lmcache-go/lmcache/internal/cli"
)

// wholeGrammar has every command whose flags are defined.
type wholeGrammar struct {
	grammar
	Bench struct {
		Workload workloadCommand `cmd:"" help:"Run a request trace against an engine in this process."`
	} `cmd:"" help:"Measure parts of the cache."`
}

// run is one run of the program with its own files and environment.
type run struct {
	app            *cli.App
	stdout, stderr bytes.Buffer
}

// newRun returns the program with the whole grammar over an environment.
func newRun(t *testing.T, env map[string]string) *run {
	t.Helper()
	r := new(run)
	r.app = newApp(&cli.IO{
		Stdin: bytes.NewReader(nil), Stdout: &r.stdout, Stderr: &r.stderr,
		LookupEnv: func(name string) (string, bool) { v, ok := env[name]; return v, ok },
	})
	r.app.New = func() any { return new(wholeGrammar) }
	return r
}
