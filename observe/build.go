package observe

import (
	"runtime"
	"runtime/debug"
)

// modulePath is the path of this module, by which a program that embeds it
// records the version.
const modulePath = "github.com/lmcache-go/lmcache"

// Build describes the program for build_info and config_info.
type Build struct {
	Version      string // empty: the version of this module in the running program
	ConfigDigest string // of the effective configuration; empty if there is none
}

func (b Build) gauges() []gauge {
	if b.Version == "" {
		b.Version = moduleVersion()
	}
	return []gauge{
		{nameBuild, func(_ *snapshot, to emit) { to(1, b.Version, runtime.Version()) }},
		{nameConfig, func(_ *snapshot, to emit) { to(1, b.ConfigDigest) }},
	}
}

// moduleVersion is what the linker recorded, or empty.
func moduleVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	if info.Main.Path == modulePath {
		return info.Main.Version
	}
	for _, d := range info.Deps {
		if d.Path == modulePath {
			return d.Version
		}
	}
	return ""
}
