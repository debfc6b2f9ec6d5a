package flags

import (
	"math"
	"strings"

	"github.com/lmcache-go/lmcache/internal/cli"
)

// Replay holds the flags of the replay of a recording, besides those of the tiers
// and of observability.
type Replay struct {
	Files      []string `arg:"" name:"file" help:"Recording, or the files of one in any order"`
	Pacing     string   `name:"pacing" group:"Replay" default:"realtime" choices:"realtime,fast,virtual" help:"When calls are made: at the recorded times, one after the other, or in virtual time, which needs no memory and gives equal results on every run"`
	Speed      float64  `name:"speed" group:"Replay" default:"1" above:"0" help:"Divides the recorded times of --pacing realtime"`
	Workers    int      `name:"workers" group:"Replay" default:"1" min:"1" max:"1024" help:"Calls of --pacing fast at a time; those that share a key, an owner or a request keep their order"`
	Fill       string   `name:"fill" group:"Replay" default:"zero" choices:"zero,key" help:"Bytes of stored objects: zero, or derived from the key"`
	Verify     bool     `name:"verify" group:"Replay" help:"Check the bytes of every read; implies --fill key"`
	Seed       uint64   `name:"seed" group:"Replay" default:"1" help:"Seed of the bytes of --fill key, and of all randomness of --pacing virtual"`
	From       float64  `name:"from" group:"Replay" default:"0" min:"0" help:"Begin at this second of the recording"`
	To         float64  `name:"to" group:"Replay" above:"0" help:"End at this second of the recording"`
	Strict     bool     `name:"strict" group:"Replay" help:"Marks of losses, skipped or damaged records and ends of reads without a beginning are errors"`
	SameConfig bool     `name:"require-digest" group:"Replay" help:"Refuse a recording that was made under another configuration"`

	L2Models         []string `name:"l2-model" group:"Replay" placeholder:"NAME=LATENCY:BANDWIDTH" help:"How long calls on adapters of this type take in virtual time, such as fs=200us:5GB/s; fs=probe measures the adapter before the run; types have figures of their own"`
	DivergenceOut    string   `name:"divergence-out" group:"Replay" placeholder:"PATH" help:"File that gets a JSON line for each outcome that is not the recorded one"`
	FailOnDivergence bool     `name:"fail-on-divergence" group:"Replay" help:"Such an outcome is an error"`
	Sweep            []string `name:"sweep" group:"Replay" sep:"none" placeholder:"FLAG=V1,V2,…" help:"Replay once per value in virtual time, and for each combination if there are several of these; writes trace_replay_sweep.csv"`
	MRC              []string `name:"mrc" group:"Replay" nargs:"*" placeholder:"SIZES" help:"Compute the hit ratio of L1 of other sizes instead (10,20,512MiB,inf; by default a quarter of --l1-size-gb to four times of it, and inf), as trace mrc does; writes trace_replay_mrc.csv"`
	Parallel         int      `name:"parallel" group:"Replay" default:"0" min:"0" max:"1024" help:"Configurations of --sweep, or sizes of --mrc, at a time; 0: one per processor"`

	Verbose    bool   `name:"verbose" group:"Output" help:"Print a line for each record"`
	JSONL      string `name:"jsonl-out" group:"Output" placeholder:"PATH" help:"File that gets a JSON line for each record"`
	Keys       bool   `name:"jsonl-keys" group:"Output" help:"Lines of --jsonl-out also have the keys of the call and what left L1, which trace diff then names"`
	Dir        string `name:"output-dir" group:"Output" placeholder:"DIR" default:"." help:"Directory of the files that are written; it is made before the run"`
	NoCSV      bool   `name:"no-csv" group:"Output" help:"Write no CSV file"`
	JSON       bool   `name:"json" group:"Output" help:"Write trace_replay_summary.json"`
	HTML       string `name:"html" group:"Output" placeholder:"PATH" help:"Write the result of --sweep or --mrc as one HTML file that needs nothing else"`
	Quiet      bool   `name:"quiet" short:"q" group:"Output" help:"Print nothing on stdout, and no banner"`
	NoProgress bool   `name:"no-progress" group:"Output" help:"Show no progress on stderr"`

	Sizes []int64 `kong:"-"` // of MRC; math.MaxInt64 is infinite

	// What has no meaning here.
	TraceLevel  string `name:"trace-level" treat:"ignored" why:"a replay is not recorded"`
	TraceOutput string `name:"trace-output" treat:"ignored" why:"a replay is not recorded"`
}

// Curve reports whether a curve is asked for instead of a replay.
func (r *Replay) Curve(p *cli.Problems) bool { return p.IsSet("mrc") }

// checkCurve reads the sizes of a curve, and reports what means nothing for one.
func (r *Replay) checkCurve(p *cli.Problems) {
	r.Sizes = sizes(p, "mrc", list(strings.Join(r.MRC, ",")))
	if len(r.Sweep) > 0 {
		p.Flag("mrc", "excludes --sweep")
	}
	for _, name := range []string{"jsonl-out", "jsonl-keys", "divergence-out", "fail-on-divergence", "json", "verbose", "from", "to", "workers", "strict", "require-digest", "seed"} {
		if p.IsSet(name) {
			p.Flag(name, "has no effect with --mrc")
		}
	}
	if p.IsSet("l2-adapter") {
		p.Flag("l2-adapter", "has no effect with --mrc, which is about L1 alone")
	}
}

// Check reports values that do not fit each other.
func (r *Replay) Check(p *cli.Problems) {
	if r.To > 0 && r.To < r.From {
		p.Flag("to", "must not be less than --from, got %v and %v", r.To, r.From)
	}
	if math.IsInf(r.Speed, 0) || math.IsNaN(r.Speed) {
		p.Flag("speed", "must be a number, got %v", r.Speed)
	}
	if r.Pacing != "realtime" && p.IsSet("speed") {
		p.Flag("speed", "has no effect with --pacing %s", r.Pacing)
	}
	if len(r.Sweep) > 0 && r.Pacing != "virtual" {
		p.Flag("sweep", "needs --pacing virtual, got %s", r.Pacing)
	}
	curve := r.Curve(p)
	if len(r.Sweep) == 0 && !curve {
		if p.IsSet("parallel") {
			p.Flag("parallel", "has no effect without --sweep or --mrc")
		}
		if p.IsSet("html") {
			p.Flag("html", "needs --sweep or --mrc")
		}
	}
	if curve {
		r.checkCurve(p)
	}
	if r.Pacing != "fast" && r.Workers > 1 {
		p.Flag("workers", "takes effect with --pacing fast only")
	}
	if r.Keys && r.JSONL == "" {
		p.Flag("jsonl-keys", "has no effect without --jsonl-out")
	}
	for _, name := range []string{"jsonl-out", "jsonl-keys", "divergence-out", "fail-on-divergence", "json", "verbose"} {
		if len(r.Sweep) > 0 && p.IsSet(name) {
			p.Flag(name, "has no effect with --sweep, which compares configurations with each other")
		}
	}
	if r.Pacing == "virtual" {
		for _, name := range []string{"verify", "fill"} {
			if p.IsSet(name) {
				p.Flag(name, "has no effect with --pacing virtual, which has no bytes")
			}
		}
	} else if p.IsSet("l2-model") {
		p.Flag("l2-model", "takes effect with --pacing virtual only")
	}
	if r.Verify && p.IsSet("fill") && r.Fill == "zero" {
		p.Flag("verify", "needs --fill key, got zero")
	}
	for _, f := range r.Files {
		if f == "-" {
			p.Usage("- (stdin) cannot be replayed, as it is read twice")
		}
	}
}
