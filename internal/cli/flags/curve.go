package flags

import (
	"math"
	"strings"

	"github.com/lmcache-go/lmcache/internal/cli"
)

// Curve holds the flags of the miss-ratio curve of a recording.
type Curve struct {
	Files     []string  `arg:"" name:"file" help:"Recording, or the files of one in any order"`
	Sizes     string    `name:"sizes" group:"Curve" placeholder:"SIZE,…" help:"Sizes of L1 in GiB or with a unit (10,20,512MiB), and inf; by default a quarter of the base to four times of it, and inf"`
	Base      cli.Bytes `name:"l1-size-gb" group:"Curve" unit:"GiB" above:"0" help:"Base of the default sizes; the recorded size by default"`
	Policies  string    `name:"eviction-policy" group:"Curve" placeholder:"NAME,…" help:"Policies that the cache is run with; by default LRU, RecencyFrequency and the recorded one"`
	Mode      string    `name:"eviction-mode" group:"Curve" choices:"exact,watermark" help:"When objects go, for the policies that are named; exact by default"`
	Watermark float64   `name:"eviction-trigger-watermark" group:"Curve" default:"0.8" above:"0" max:"1" help:"Part of L1 in use at which background eviction begins"`
	Ratio     float64   `name:"eviction-ratio" group:"Curve" default:"0.2" min:"0" max:"1" help:"Part of the objects' bytes that a round of background eviction takes"`
	Sample    float64   `name:"sample" group:"Curve" default:"1" above:"0" max:"1" help:"Part of the keys that counts; less is faster and less exact"`
	Parallel  int       `name:"parallel" group:"Curve" default:"0" min:"0" max:"1024" help:"Runs at a time; 0: as many as there are processors"`

	Dir        string `name:"output-dir" group:"Output" default:"." help:"Directory of trace_replay_mrc.csv; it is made before the run"`
	NoCSV      bool   `name:"no-csv" group:"Output" help:"Write no trace_replay_mrc.csv"`
	HTML       string `name:"html" group:"Output" placeholder:"PATH" help:"Write the plot and the table as one HTML file that needs nothing else"`
	JSON       bool   `name:"json" group:"Output" help:"Print one JSON document"`
	Quiet      bool   `name:"quiet" short:"q" group:"Output" help:"Print nothing on stdout"`
	NoProgress bool   `name:"no-progress" group:"Output" help:"Show no progress on stderr"`

	Bytes []int64  `kong:"-"` // of Sizes; math.MaxInt64 is infinite
	Names []string `kong:"-"` // of Policies
}

// Check reports values that do not fit each other, and takes the lists apart.
func (c *Curve) Check(p *cli.Problems) {
	c.Bytes = sizes(p, "sizes", list(c.Sizes))
	if p.IsSet("sizes") && p.IsSet("l1-size-gb") {
		p.Flag("l1-size-gb", "excludes --sizes, whose default follows from it")
	}
	for _, name := range list(c.Policies) {
		switch name {
		case "LRU", "IsolatedLRU", "RecencyFrequency", policyNoop:
			c.Names = append(c.Names, name)
		default:
			p.Flag("eviction-policy", "must be one of LRU, IsolatedLRU, RecencyFrequency, noop, got %s", name)
		}
	}
	for _, name := range []string{"eviction-trigger-watermark", "eviction-ratio"} {
		if p.IsSet(name) && c.Mode != modeWatermark {
			p.Flag(name, "takes effect with --eviction-mode %s only", modeWatermark)
		}
	}
	noStdin(p, c.Files)
}

// sizes reads sizes of L1; math.MaxInt64 is infinite.
func sizes(p *cli.Problems, flag string, texts []string) (list []int64) {
	for _, text := range texts {
		if strings.EqualFold(text, "inf") {
			list = append(list, math.MaxInt64)
			continue
		}
		b, err := cli.ParseBytes(text, "GiB")
		switch {
		case err != nil:
			p.Flag(flag, "%v", err)
		case b <= 0:
			p.Flag(flag, "must be more than 0, got %s", text)
		default:
			list = append(list, int64(b))
		}
	}
	return list
}

// noStdin refuses stdin as one of several files, or where a file is read twice.
func noStdin(p *cli.Problems, files []string) {
	for _, f := range files {
		if f == "-" {
			p.Usage("- (stdin) is not possible here; name the files of the recording")
		}
	}
}

// list takes a list with commas apart.
func list(text string) (all []string) {
	for part := range strings.SplitSeq(text, ",") {
		if part = strings.TrimSpace(part); part != "" {
			all = append(all, part)
		}
	}
	return all
}
