package main

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"runtime"
	"runtime/debug"

	"github.com/lmcache-go/lmcache/internal/cli"
)

// version is that of the next release. A binary that was built from a released
// module says that module's version instead.
const version = "0.1.0-dev"

// build says what a binary was built from.
type build struct {
	Version  string `json:"version"`
	Commit   string `json:"commit"` // "unknown" outside a checkout
	Date     string `json:"date"`   // of the commit, RFC 3339
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

// readBuild asks the binary itself.
func readBuild() build {
	info, _ := debug.ReadBuildInfo()
	return buildOf(info)
}

func buildOf(info *debug.BuildInfo) build {
	b := build{
		Version: version, Commit: "unknown", Date: "unknown",
		Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH,
	}
	if info == nil {
		return b
	}
	if released(info.Main.Version) {
		b.Version = info.Main.Version[len("v"):]
	}
	modified := false
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Commit = s.Value[:min(len(s.Value), 12)]
		case "vcs.time":
			b.Date = s.Value
		case "vcs.modified":
			modified = s.Value == "true"
		}
	}
	if modified {
		b.Commit += "+changes"
	}
	return b
}

var (
	semver = regexp.MustCompile(`^v\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?$`)
	pseudo = regexp.MustCompile(`\d{14}-[0-9a-f]{12}`)
)

// released tells a tagged version from what the go command makes up between two.
func released(v string) bool { return semver.MatchString(v) && !pseudo.MatchString(v) }

// short is the name and the version.
func (b build) short() string { return "lmcache-go " + b.Version }

// String is the line that "lmcache version" prints.
func (b build) String() string {
	return fmt.Sprintf("%s (%s, %s, %s, %s)", b.short(), b.Commit, b.Date, b.Go, b.Platform)
}

// versionCommand is "lmcache version".
type versionCommand struct {
	JSON bool `name:"json" group:"Output" help:"Print a JSON object"`
}

// Examples implements cli.Helper.
func (*versionCommand) Examples() []string {
	return []string{"lmcache version", "lmcache version --json"}
}

// Run implements cli.Command.
func (c *versionCommand) Run(_ context.Context, std *cli.IO) error {
	b := readBuild()
	if !c.JSON {
		_, err := fmt.Fprintln(std.Stdout, b)
		return err
	}
	enc := json.NewEncoder(std.Stdout)
	enc.SetIndent("", "  ")
	return enc.Encode(b)
}
