package flags

import "github.com/lmcache-go/lmcache/internal/cli"

// Trace holds the flags of recording the calls of the storage manager.
type Trace struct {
	TraceLevel    string    `name:"trace-level" group:"Trace Recording" placeholder:"LEVEL" help:"Record all calls of this level, for lmcache trace replay; storage is the only one"`
	TraceOutput   string    `name:"trace-output" group:"Trace Recording" placeholder:"PATH" help:"File of the recording, which is overwritten; by default a new one in the directory for temporary files"`
	TraceQueue    int       `name:"trace-queue-size" group:"Trace Recording" default:"65536" min:"1" help:"Calls and outcomes that may wait to be written"`
	TraceOverflow string    `name:"trace-overflow" group:"Trace Recording" default:"wait" choices:"wait,drop" help:"What a call does when the queue is full: wait up to 100 ms for room, or be lost at once; what is lost is counted and marked"`
	TraceFormat   string    `name:"trace-format" group:"Trace Recording" default:"extended" choices:"extended,plain" help:"With outcomes, owners and marks of losses, which LMCache ignores, or exactly what LMCache writes"`
	TraceArgs     string    `name:"trace-args" group:"Trace Recording" default:"documented" choices:"documented,0.5.6" help:"Form of the arguments: as LMCache documents them, or as LMCache 0.5.6 writes and replays them"`
	TraceMaxBytes cli.Bytes `name:"trace-max-bytes" group:"Trace Recording" default:"0" min:"0" unit:"B" help:"Begin a new file before one is larger than this; 0: never"`
	TraceMaxFiles int       `name:"trace-max-files" group:"Trace Recording" default:"0" min:"0" help:"Keep only so many files, the newest; 0: all"`
}

// traceStorage is the one level.
const traceStorage = "storage"

// Records reports whether a recording is wanted.
func (t *Trace) Records() bool { return t.TraceLevel != "" }

// Check reports values that do not fit each other.
func (t *Trace) Check(p *cli.Problems, o *Observability) {
	if !t.Records() {
		for _, name := range []string{
			"trace-output", "trace-queue-size", "trace-overflow", "trace-format", "trace-args", "trace-max-bytes", "trace-max-files",
		} {
			if p.IsSet(name) {
				p.Flag(name, "takes effect with --trace-level only")
			}
		}
		return
	}
	if t.TraceLevel != traceStorage {
		p.Usage("unsupported trace level '%s'; only '%s' is supported", t.TraceLevel, traceStorage)
	}
	if o.Disable {
		p.Usage("--trace-level requires the observability EventBus; remove --disable-observability.")
	}
	if t.TraceMaxFiles > 0 && t.TraceMaxBytes == 0 {
		p.Flag("trace-max-files", "has no effect without --trace-max-bytes")
	}
}
