package flags

import "github.com/lmcache-go/lmcache/internal/cli"

// BenchL2 holds the flags of the benchmark of one adapter of the second tier.
type BenchL2 struct {
	L2Adapter  []string `name:"l2-adapter" json:"" group:"Benchmark" placeholder:"JSON" help:"Adapter that is measured, as in server; several are measured one after the other. Without one, L2_ADAPTER_JSON from the environment"`
	Keys       int      `name:"num-keys" group:"Benchmark" default:"32" min:"1" max:"1000000" help:"Keys of a submission"`
	InFlight   int      `name:"in-flight" group:"Benchmark" default:"1" min:"1" max:"64" help:"Submissions of a round, at the same time"`
	DataKB     int      `name:"data-size-kb" group:"Benchmark" default:"256" min:"1" max:"1048576" unit:"KiB" help:"Size of an object"`
	Align      int      `name:"l1-align-bytes" group:"Benchmark" default:"1" min:"1" max:"2097152" unit:"bytes" help:"What the room for an object is rounded up to; a power of two"`
	HugePages  bool     `name:"l1-use-hugepages" group:"Benchmark" help:"Memory in huge pages"`
	Rounds     int      `name:"rounds" group:"Benchmark" default:"1" min:"1" max:"100000" help:"Rounds of each operation that are measured"`
	Warmup     int      `name:"warmup-rounds" group:"Benchmark" default:"1" min:"0" max:"100000" help:"Rounds before them that are not"`
	MaxHitRate float64  `name:"lookup-max-hit-rate" group:"Benchmark" default:"0" min:"0" max:"1" help:"Part of the keys of a lookup that is there at most; 0: all of them are"`
	SkipVerify bool     `name:"skip-verify" group:"Benchmark" help:"Do not compare what is loaded with what was stored"`
	Only       string   `name:"only" group:"Benchmark" choices:"store,lookup,load" help:"Measure this operation alone"`
	NoRaw      bool     `name:"no-raw" group:"Benchmark" help:"Measure no plain program beside the adapter: one that writes a file, or a plain client of its server"`

	Flamegraph       bool   `name:"flamegraph" treat:"refused" why:"profiles are taken with Go's tools" upstream:"false"`
	FlamegraphOutput string `name:"flamegraph-output" treat:"refused" why:"profiles are taken with Go's tools" upstream:""`
}

// Check reports what depends on the machine and on more than one flag.
func (b *BenchL2) Check(p *cli.Problems) {
	if b.Align&(b.Align-1) != 0 && !p.IsBad("l1-align-bytes") {
		p.Flag("l1-align-bytes", "must be a power of two, got %d", b.Align)
	}
}
