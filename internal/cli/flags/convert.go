package flags

import "github.com/lmcache-go/lmcache/internal/cli"

// Convert holds the flags of conversion between request traces and recordings.
type Convert struct {
	File          string `arg:"" optional:"" name:"file" help:"Requests as Mooncake JSON lines, plain or gzip, or a recording; - reads stdin; without it the built-in requests are taken"`
	ChunkSize     int    `name:"chunk-size" group:"Convert" default:"512" min:"1" max:"65536" help:"Tokens per chunk"`
	BlockTokens   int    `name:"block-tokens" group:"Convert" default:"512" min:"1" max:"65536" help:"Tokens per hash id of the requests"`
	BytesPerToken int    `name:"bytes-per-token" group:"Convert" default:"1024" min:"1" max:"1048576" help:"Bytes of KV cache per token"`
	Model         string `name:"model" group:"Convert" default:"workload" help:"Name of the model in the keys"`
	HashAlgorithm string `name:"hash-algorithm" group:"Convert" default:"blake3" choices:"blake3,sha256_cbor,builtin" help:"How chunks are hashed"`
	Reads         bool   `name:"reads" group:"Convert" help:"Also read what is found, chunk by chunk, for replays that measure or verify reads"`
	Limit         int64  `name:"limit" group:"Convert" above:"0" help:"Only the first N requests; all by default"`
	TraceFormat   string `name:"trace-format" group:"Convert" default:"extended" choices:"extended,plain" help:"Form of the recording: with owners, or exactly what LMCache writes"`
	TraceArgs     string `name:"trace-args" group:"Convert" default:"documented" choices:"documented,0.5.6" help:"Form of the arguments: as LMCache documents them, or as LMCache 0.5.6 writes and replays them"`
	Output        string `name:"output" group:"Output" placeholder:"FILE" help:"File of the result, which is replaced in one step; - is stdout"`
	JSON          bool   `name:"json" group:"Output" help:"Print one JSON document"`
	Quiet         bool   `name:"quiet" short:"q" group:"Output" help:"Print nothing on stdout"`
	NoProgress    bool   `name:"no-progress" group:"Output" help:"Show no progress on stderr"`

	OnlyRequests []string `kong:"-"` // flags that were given and mean nothing for a recording
}

// Check reports values that do not fit each other.
func (c *Convert) Check(p *cli.Problems) {
	if c.Output == "" && !p.IsBad("output") {
		p.Flag("output", "is required")
	}
	if c.Output == "-" && c.JSON {
		p.Flag("json", "excludes --output -, as stdout holds the result")
	}
	if c.TraceFormat == "plain" && c.TraceArgs == "documented" && !c.Reads {
		p.Flag("trace-format", "plain needs --reads or --trace-args 0.5.6: its documented form cannot say that a lookup leases nothing")
	}
	for _, name := range []string{"block-tokens", "bytes-per-token", "model", "hash-algorithm", "reads", "limit", "trace-format", "trace-args"} {
		if p.IsArgument(name) {
			c.OnlyRequests = append(c.OnlyRequests, name)
		}
	}
}
