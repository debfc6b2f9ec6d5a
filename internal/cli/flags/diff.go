package flags

import "github.com/lmcache-go/lmcache/internal/cli"

// Diff holds the flags of the comparison of two replays.
type Diff struct {
	A string `arg:"" name:"a" help:"What trace replay --jsonl-out wrote; - reads stdin"`
	B string `arg:"" name:"b" help:"The same of another replay of the same recording"`

	ChunkTokens      int64  `name:"chunk-size" group:"Compare" min:"1" max:"65536" help:"Tokens of a chunk, to show the prefix hits in tokens; by default what the recording says"`
	DivergenceOut    string `name:"divergence-out" group:"Compare" placeholder:"PATH" help:"File that gets a JSON line for each outcome of B that is not that of A"`
	FailOnDivergence bool   `name:"fail-on-divergence" group:"Compare" help:"Such an outcome is an error"`

	JSON  bool `name:"json" group:"Output" help:"Print one JSON document"`
	Quiet bool `name:"quiet" short:"q" group:"Output" help:"Print nothing on stdout"`
}

// Check reports values that do not fit each other.
func (d *Diff) Check(p *cli.Problems) {
	if d.A == "-" && d.B == "-" {
		p.Usage("- (stdin) can be one of the two only")
	}
}
