package main

import (
	"github.com/alecthomas/kong"

	"github.com/lmcache-go/lmcache/internal/cli"
)

// grammar is the command line: its flags before any command, and the commands.
type grammar struct {
	Config string `name:"config" group:"General" placeholder:"FILE" help:"Configuration file (YAML) with values for flags"`

	Server serverCommand `cmd:"" help:"Run the cache server."`
	Bench  struct {
		Workload workloadCommand `cmd:"" help:"Run a request trace against an engine in this process."`
		L1       benchL1Command  `cmd:"" name:"l1" help:"Measure the first tier, each figure beside a raw baseline."`
		L2       benchL2Command  `cmd:"" name:"l2" help:"Measure an adapter of the second tier beside a plain program."`
	} `cmd:"" help:"Measure parts of the cache."`
	Trace   traceCommands   `cmd:"" help:"Look at recordings of the storage manager's calls, and replay them."`
	Metrics metricsCommands `cmd:"" help:"Print the reference, the dashboard and the alert rules of the metrics, or compare them."`
	Ping    struct {
		KVCache pingKVCacheCommand `cmd:"" name:"kvcache" help:"Ask a cache server whether it is healthy."`
		Engine  pingEngineCommand  `cmd:"" name:"engine" help:"Ask an inference server whether it is healthy."`
	} `cmd:"" help:"Ask a server whether it is healthy, and how long the answer takes."`
	Describe struct {
		KVCache describeKVCacheCommand `cmd:"" name:"kvcache" help:"Show what a cache server holds, and for whom."`
		Engine  describeEngineCommand  `cmd:"" name:"engine" help:"Show which models an inference server serves."`
	} `cmd:"" help:"Show the state of a running server."`
	KVCache struct {
		Clear    clearCommand    `cmd:"" help:"Empty the first tier."`
		Objects  objectsCommand  `cmd:"" help:"List what an outer tier holds."`
		Delete   deleteCommand   `cmd:"" help:"Remove objects by key."`
		Prefetch prefetchCommand `cmd:"" help:"Load a prompt from outer tiers into the first one."`
	} `cmd:"" name:"kvcache" help:"Change what a running server holds."`
	Query struct {
		KVCache queryKVCacheCommand `cmd:"" name:"kvcache" help:"Show what of a prompt is cached, and why not the rest."`
	} `cmd:"" help:"Ask a running server about a prompt."`
	Quota struct {
		Set    quotaSetCommand    `cmd:"" help:"Limit what a tenant may have in each tier."`
		Get    quotaGetCommand    `cmd:"" help:"Show the limit of a tenant, and what it uses."`
		List   quotaListCommand   `cmd:"" help:"Show all limits."`
		Delete quotaDeleteCommand `cmd:"" help:"Remove the limit of a tenant."`
	} `cmd:"" help:"Limits per tenant of a running server."`
	Top     topCommand     `cmd:"" help:"Show a running server live."`
	Version versionCommand `cmd:"" help:"Print the version, the commit and the platform."`
	Help    cli.Help       `cmd:"" help:"Print the help of a command."`
}

// newApp returns the program over the given files and environment.
func newApp(std *cli.IO) *cli.App {
	return &cli.App{
		Name:        "lmcache",
		Description: "lmcache keeps the KV cache of LLM inference in tiers and gives it back.",
		New:         func() any { return new(grammar) },
		Notes:       notes(),
		Groups:      groups(),
		IO:          std,
		Aliases:     map[string]string{"--version": "version"},
	}
}

// groups are the titles of flags in the order of the help.
func groups() []kong.Group {
	var out []kong.Group
	for _, title := range []string{"Server", "Workload", "Benchmark", "Replay", "Compare", "Curve", "Cut", "Convert", "View", "Client", "L1 and eviction", "HTTP", "Observability", "Trace Recording", "Output", "General"} {
		out = append(out, kong.Group{Key: title, Title: title})
	}
	return out
}

// notes are the commands that are known and not there: those that only LMCache's
// Python package has, and those that a later version will bring.
func notes() cli.CommandNotes {
	const (
		foreign = "is part of LMCache's Python package and not of lmcache-go"
		later   = "is not available in this version yet"
	)
	n := cli.CommandNotes{}
	for _, name := range []string{"coordinator", "tool", "mock", "bench engine", "query coordinator", "trace replay-events"} {
		n[name] = foreign
	}
	for _, name := range []string{
		"query engine", "trace merge", "trace anonymise",
		"bench server", "bench gpu",
		"doctor", "config", "completion",
	} {
		n[name] = later
	}
	return n
}
