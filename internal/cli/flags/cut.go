package flags

import "github.com/lmcache-go/lmcache/internal/cli"

// Cut holds the flags of cutting a part out of a recording.
type Cut struct {
	Files  []string `arg:"" name:"file" help:"Recording, or the files of one in any order"`
	From   float64  `name:"from" group:"Cut" default:"0" min:"0" help:"Begin at this second of the recording"`
	To     float64  `name:"to" group:"Cut" above:"0" help:"End before this second of the recording; its end by default"`
	Output string   `name:"output" group:"Output" placeholder:"FILE" help:"File of the part, which is replaced in one step; - is stdout"`
	JSON   bool     `name:"json" group:"Output" help:"Print one JSON document"`
	Quiet  bool     `name:"quiet" short:"q" group:"Output" help:"Print nothing on stdout"`
}

// Check reports values that do not fit each other.
func (c *Cut) Check(p *cli.Problems) {
	if c.To > 0 && c.To <= c.From {
		p.Flag("to", "must be more than --from, got %v and %v", c.To, c.From)
	}
	if c.Output == "" && !p.IsBad("output") {
		p.Flag("output", "is required")
	}
	if c.Output == "-" && c.JSON {
		p.Flag("json", "excludes --output -, as stdout holds the result")
	}
	noStdin(p, c.Files)
}
