package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/lmcache-go/lmcache/internal/cli"
	"github.com/lmcache-go/lmcache/storage"
	"github.com/lmcache-go/lmcache/trace"
)

// traceCommands is "lmcache trace".
type traceCommands struct {
	Info    traceInfoCommand    `cmd:"" help:"Say what a recording holds."`
	Replay  traceReplayCommand  `cmd:"" help:"Drive a storage manager from a recording."`
	Diff    traceDiffCommand    `cmd:"" help:"Compare the outcomes of two replays of a recording."`
	MRC     traceMRCCommand     `cmd:"" name:"mrc" help:"Compute what L1 of other sizes and with other policies would have found."`
	Cut     traceCutCommand     `cmd:"" help:"Take the calls of a range of time out of a recording."`
	Convert traceConvertCommand `cmd:"" help:"Turn request traces into recordings, and back."`
}

// traceInfoCommand is "lmcache trace info".
type traceInfoCommand struct {
	Files   []string `arg:"" name:"file" help:"Recording, or the files of one in any order; - reads stdin"`
	JSON    bool     `name:"json" group:"Output" help:"Print one JSON document"`
	Verbose bool     `name:"verbose" group:"Output" help:"Also what takes decoding every call: keys, bytes, models, gaps, hits"`
}

// Examples implements cli.Helper.
func (*traceInfoCommand) Examples() []string {
	return []string{
		"lmcache trace info run.lct",
		"lmcache trace info --verbose --json run.lct run-0001.lct",
	}
}

// Check implements cli.Checker.
func (c *traceInfoCommand) Check(p *cli.Problems) {
	for _, f := range c.Files {
		if f == "-" && len(c.Files) > 1 {
			p.Usage("- (stdin) must be the only file")
		}
	}
}

// Run implements cli.Command.
func (c *traceInfoCommand) Run(_ context.Context, std *cli.IO) error {
	s, name, parts, err := c.summarise(std)
	if err != nil {
		return fileError(err)
	}
	if !c.JSON {
		if parts > 1 {
			name += fmt.Sprintf(" (%d parts)", parts)
		}
		_, err = io.WriteString(std.Stdout, s.Text(name))
		return err
	}
	enc := json.NewEncoder(std.Stdout)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(infoOf(s, name, parts))
}

// summarise also returns the name of the first part, and how many there are.
func (c *traceInfoCommand) summarise(std *cli.IO) (s *trace.Summary, name string, parts int, err error) {
	warn := warnDamage(std.Stderr)
	if c.Files[0] == "-" {
		h, records, err := trace.Read(std.Stdin)
		if err != nil {
			return nil, "", 0, err
		}
		s, err = trace.Summarise(h, records, c.Verbose, warn)
		return s, "-", 1, err
	}
	f, err := trace.OpenFile(c.Files...)
	if err != nil {
		return nil, "", 0, err
	}
	s, err = trace.Summarise(f.Header(), f.Records(), c.Verbose, warn)
	return s, f.Paths[0], len(f.Paths), err
}

// warnDamage writes what is wrong with a file, a line for each place.
func warnDamage(w io.Writer) func(*trace.DamageError) {
	return func(d *trace.DamageError) { cli.Warn(w, d.Error()) }
}

// fileError is an error about a file, in the words of the command line.
func fileError(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok && e.Op == "open" {
		return fmt.Errorf("trace file '%s': %w", e.Path, e.Err)
	}
	return err
}

// traceInfo is a summary as JSON.
type traceInfo struct {
	File     string            `json:"file"`
	Parts    int               `json:"parts"`
	Level    string            `json:"level"`
	Format   int               `json:"format_version"`
	Schema   *int              `json:"trace_schema_version"`
	Draft    string            `json:"lmcache_version,omitempty"`
	Duration float64           `json:"duration"`
	Digest   string            `json:"sm_config_digest"`
	Meta     map[string]string `json:"level_meta,omitempty"`
	Records  int64             `json:"total_records"`
	Ops      map[string]int64  `json:"ops"`
	*traceDetails
}

// traceDetails are those of a verbose summary.
type traceDetails struct {
	Writer    string           `json:"writer"`
	Closed    bool             `json:"closed"`
	Gaps      int64            `json:"gaps"`
	Lost      int64            `json:"lost_calls"`
	Clears    int64            `json:"clears"`
	Deletes   int64            `json:"deletes"`
	Touches   int64            `json:"touches"`
	Quotas    int64            `json:"quota_changes"`
	Renewals  int64            `json:"renewals"`
	Malformed int64            `json:"malformed_records"`
	Models    []string         `json:"models"`
	Salts     int              `json:"salts"`
	Unique    int              `json:"unique_keys"`
	HitRatio  *float64         `json:"prefix_hit_ratio"`
	Keys      map[string]int64 `json:"keys"`
	Bytes     map[string]int64 `json:"bytes"`
}

func infoOf(s *trace.Summary, name string, parts int) traceInfo {
	info := traceInfo{
		File: name, Parts: parts, Level: s.Header.Level, Format: s.Header.FormatVersion, Draft: s.Header.Draft,
		Duration: s.Duration, Digest: s.Header.Digest, Meta: s.Header.Meta, Records: s.Records, Ops: s.Ops,
	}
	if s.Header.Draft == "" {
		info.Schema = &s.Header.SchemaVersion
	}
	d := s.Details
	if d == nil {
		return info
	}
	info.traceDetails = &traceDetails{
		Writer: s.Header.Writer, Closed: d.Closed, Gaps: d.Own[trace.NameGap], Lost: d.Lost, Clears: d.Own[storage.CallClear],
		Deletes: d.Own[storage.CallDelete], Touches: d.Own[storage.CallTouch], Quotas: d.Own[storage.CallQuota], Renewals: d.Own[storage.CallRenew],
		Malformed: d.Malformed, Models: d.Models, Salts: d.Salts, Unique: d.Unique, Keys: d.Keys, Bytes: d.Bytes,
	}
	if d.Models == nil {
		info.Models = []string{}
	}
	if d.Asked > 0 {
		ratio := float64(d.Hits) / float64(d.Asked)
		info.HitRatio = &ratio
	}
	return info
}

// traceName is how messages name the files of a recording.
func traceName(paths []string) string { return strings.Join(paths, ", ") }
