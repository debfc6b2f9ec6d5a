package flags

import "github.com/lmcache-go/lmcache/internal/cli"

// BenchL1 holds the flags of the benchmark of the first tier, besides those of
// the tier.
type BenchL1 struct {
	ObjectKB int         `name:"object-size-kb" group:"Benchmark" default:"2048" min:"1" max:"1048576" unit:"KiB" help:"Size of an object"`
	Keys     int         `name:"keys" group:"Benchmark" default:"4096" min:"1" max:"100000000" help:"Different keys that are stored in turn; more than fit evict each other"`
	Batch    int         `name:"batch" group:"Benchmark" default:"16" min:"1" max:"65536" help:"Keys of one call"`
	Threads  int         `name:"threads" group:"Benchmark" default:"1" min:"1" max:"1024" help:"Callers side by side"`
	Duration cli.Seconds `name:"duration" group:"Benchmark" default:"5s" above:"0" help:"How long each part is measured, in turns with its baseline"`
	Mix      string      `name:"mix" group:"Benchmark" default:"both" choices:"store,read,both" help:"Which parts are measured"`
	Events   bool        `name:"with-events" group:"Benchmark" help:"Measure each part with the default subscribers too, against the part without them"`
}

// ObjectBytes is the size of an object in bytes.
func (b *BenchL1) ObjectBytes() int64 { return int64(b.ObjectKB) << 10 }

// L1Bytes is the size of L1 in bytes: 1 GiB unless the flag says another.
func (b *BenchL1) L1Bytes(l *L1) int64 {
	if l.SizeGB > 0 {
		return l.Bytes()
	}
	return defaultSize
}
