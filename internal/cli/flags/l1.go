package flags

import (
	"io/fs"
	"os"
	"strconv"

	"github.com/lmcache-go/lmcache/internal/cli"
	"github.com/lmcache-go/lmcache/internal/machine"
)

// L1 holds the flags of the first tier. Eviction belongs to it.
type L1 struct {
	L1Memory
	SizeGB          cli.Bytes   `name:"l1-size-gb" group:"L1 and eviction" unit:"GiB" above:"0" help:"Size of the cache in host memory, rounded up to 64 MiB ${l1_size_note}"`
	AlignBytes      int         `name:"l1-align-bytes" group:"L1 and eviction" default:"4096" min:"64" max:"2097152" help:"Alignment of objects in bytes; a power of two"`
	WriteTTL        cli.Seconds `name:"l1-write-ttl-seconds" group:"L1 and eviction" default:"600" above:"0" help:"How long an unfinished write keeps its memory"`
	ReadTTL         cli.Seconds `name:"l1-read-ttl-seconds" group:"L1 and eviction" default:"300" above:"0" help:"How long a reader keeps objects from being evicted"`
	Policy          string      `name:"eviction-policy" group:"L1 and eviction" choices:"LRU,IsolatedLRU,RecencyFrequency,noop" refused:"ARC" help:"Which objects go when memory is needed ${policy_note}"`
	Mode            string      `name:"eviction-mode" group:"L1 and eviction" choices:"exact,watermark" help:"When objects go: exact evicts only for a write that needs the bytes (default), watermark also in the background (default if one of its two flags is given)"`
	Watermark       float64     `name:"eviction-trigger-watermark" group:"L1 and eviction" default:"0.8" above:"0" max:"1" help:"Part of L1 in use at which background eviction begins"`
	Ratio           float64     `name:"eviction-ratio" group:"L1 and eviction" default:"0.2" min:"0" max:"1" help:"Part of the objects' bytes that a round of background eviction takes; rounds go on until usage is below the watermark"`
	ShutdownTimeout cli.Seconds `name:"shutdown-timeout-seconds" group:"L1 and eviction" default:"30" min:"0" help:"How long a clean stop waits for work in progress"`
}

// sizeStep is what the size of L1 is rounded up to, in bytes.
const sizeStep = 64 << 20

// Bytes is the size of L1 after rounding; 0 if none was given.
func (l *L1) Bytes() int64 { return roundUp(int64(l.SizeGB)) }

func roundUp(n int64) int64 { return (n + sizeStep - 1) / sizeStep * sizeStep }

// CheckVirtual is Check for an L1 that takes no memory: any size fits any machine.
func (l *L1) CheckVirtual(p *cli.Problems) { l.check(p, nowhere()) }

// Check reports values that do not fit each other or this machine.
func (l *L1) Check(p *cli.Problems) { l.check(p, thisHost()) }

func (l *L1) check(p *cli.Problems, h host) {
	if n := l.AlignBytes; !p.IsBad("l1-align-bytes") && n&(n-1) != 0 {
		p.Flag("l1-align-bytes", "must be a power of two, got %d", n)
	}
	l.checkEviction(p)
	size := int64(0)
	if l.SizeGB > 0 && !p.IsBad("l1-size-gb") {
		size = l.Bytes()
		checkMemory(p, h.root, "l1-size-gb", size)
	}
	l.L1Memory.check(p, h, size)
}

// Modes of eviction.
const (
	modeExact     = "exact"
	modeWatermark = "watermark"
)

// WatermarkFlags are the flags that take effect in the mode watermark only.
func WatermarkFlags() []string { return []string{"eviction-trigger-watermark", "eviction-ratio"} }

// checkEviction finds the mode, if none is given, and reports what could not take
// effect in it.
func (l *L1) checkEviction(p *cli.Problems) {
	var given []string
	for _, name := range WatermarkFlags() {
		if p.IsSet(name) && !p.IsBad(name) {
			given = append(given, name)
		}
	}
	if !p.IsBad("eviction-mode") {
		l.SettleEviction(given, p.Flag)
	}
}

// SettleEviction finds the mode, if it is empty, from those of WatermarkFlags that are
// given, and reports the flags that could not take effect in the mode or with the policy.
func (l *L1) SettleEviction(given []string, report func(flag, format string, args ...any)) {
	if l.Mode == "" {
		l.Mode = modeExact
		if len(given) > 0 {
			l.Mode = modeWatermark
		}
	} else if l.Mode == modeWatermark && l.Policy == policyNoop {
		report("eviction-mode", "%s has no effect with --eviction-policy %s, which evicts nothing", l.Mode, l.Policy)
	}
	for _, name := range given {
		switch {
		case l.Mode == modeExact:
			report(name, "takes effect with --eviction-mode %s only, got %s", modeWatermark, l.Mode)
		case l.Policy == policyNoop:
			report(name, "has no effect with --eviction-policy %s, which evicts nothing", l.Policy)
		}
	}
}

// policyNoop is the policy that evicts nothing.
const policyNoop = "noop"

// WarnFull says that a first tier from which nothing is evicted fills up. It is
// for commands that run for long.
func (l *L1) WarnFull(p *cli.Problems) {
	if l.Policy == policyNoop {
		p.Warn("--eviction-policy %s: L1 will fill and stay full; then nothing more is stored", l.Policy)
	}
}

// MemoryLimit is the memory that a process on this machine can have, in bytes; 0
// if that is not known.
func MemoryLimit() int64 {
	m, _ := machine.ReadMemory(os.DirFS("/"))
	return m.Limit()
}

// CheckMemory reports a flag that asks for more memory than this machine has.
func CheckMemory(p *cli.Problems, flag string, size int64) {
	checkMemory(p, os.DirFS("/"), flag, size)
}

// checkMemory compares a size with what the machine has.
func checkMemory(p *cli.Problems, root fs.FS, flag string, size int64) {
	m, ok := machine.ReadMemory(root)
	if !ok {
		return
	}
	if limit := m.Limit(); size > limit {
		p.Machine(flag, "%v is more than this machine has (total %v, control group %s); %v would fit",
			cli.Bytes(size), cli.Bytes(m.Total), groupText(m.Group), cli.Bytes(m.Fitting()))
		return
	}
	if m.Available > 0 && size > m.Available {
		p.Warn("--%s: %v is more than is available now (%v); the system may run out of memory",
			flag, cli.Bytes(size), cli.Bytes(m.Available))
	}
}

func groupText(limit int64) string {
	if limit == 0 {
		return "unlimited"
	}
	return cli.Bytes(limit).String()
}

// Require reports that the two flags without default are missing, and what this
// machine would allow. It is for commands that have no default of their own.
func (l *L1) Require(p *cli.Problems) { l.require(p, os.DirFS("/")) }

func (l *L1) require(p *cli.Problems, root fs.FS) {
	noSize := l.SizeGB == 0 && !p.IsBad("l1-size-gb")
	noPolicy := l.Policy == "" && !p.IsBad("eviction-policy")
	if !noSize && !noPolicy {
		return
	}
	size := cli.Bytes(1 << 30)
	if m, ok := machine.ReadMemory(root); ok {
		size = cli.Bytes(m.Fitting())
	}
	p.Usage("--l1-size-gb and --eviction-policy are required (this machine: --l1-size-gb %s --eviction-policy LRU)", flagText(size))
}

// flagText writes a size as a value of --l1-size-gb.
func flagText(size cli.Bytes) string {
	if size >= 1<<30 {
		return strconv.FormatInt(int64(size>>30), 10)
	}
	return strconv.FormatInt(int64(size>>20), 10) + "MiB"
}
