// Command lmcache is a KV cache for LLM inference: its server, and the tools
// around it. Run it without arguments for the list of commands.
package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/lmcache-go/lmcache/internal/cli"
)

func main() { os.Exit(program(cli.SystemIO(), os.Args[1:])) }

// program runs the command line and returns the exit code. A panic ends it with
// one line and no stack trace.
func program(std *cli.IO, args []string) (code int) {
	defer func() {
		if r := recover(); r != nil {
			code = bug(std.Stderr, r)
		}
	}()
	ctx, stop := withSignals(context.Background())
	defer stop()
	return newApp(std).Run(ctx, args)
}

// issues is where a bug is reported.
const issues = "https://github.com/lmcache-go/lmcache/issues"

// bug says that this program has one.
func bug(w io.Writer, what any) int {
	_, _ = fmt.Fprintf(w, "lmcache: error: internal error: %v (%s; please report it at %s)\n", what, readBuild().short(), issues)
	return cli.ExitBug
}
