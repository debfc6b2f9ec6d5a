package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/lmcache-go/lmcache/internal/cli"
)

// samples returns three values of a flag that differ from each other and from
// its default, as they are written and as they are printed; fewer of flags
// that have not that many.
func samples(s cli.Setting) (written, printed []string) {
	switch s.Kind {
	case "BOOL":
		other := strconv.FormatBool(s.Default != "true")
		return []string{other}, []string{other}
	case "N":
		return []string{"1024", "2048", "512"}, []string{"1024", "2048", "512"}
	case "F":
		return []string{"0.25", "0.75", "0.125"}, []string{"0.25", "0.75", "0.125"}
	case "SIZE":
		return []string{"2GiB", "512MiB", "3GiB"}, []string{"2 GiB", "512 MiB", "3 GiB"} // the unit of plain numbers differs
	case "SECONDS":
		return []string{"20", "3m", "1h"}, []string{"20s", "3m0s", "1h0m0s"}
	case "JSON":
		texts := []string{`{"a":1}`, `{"b":2}`, `{"c":3}`}
		return texts, texts
	case "LIST":
		return []string{"a", "b", "c"}, []string{"[a]", "[b]", "[c]"}
	}
	if s.Allowed != "" {
		for choice := range strings.SplitSeq(s.Allowed, ", ") {
			if choice != s.Default {
				written = append(written, choice)
			}
		}
		if written == nil {
			written = []string{s.Default} // the only choice
		}
		return written, written
	}
	return []string{"a", "b", "c"}, []string{"a", "b", "c"}
}

// at returns an element of a list that is used in turn.
func at(list []string, i int) string { return list[i%len(list)] }

// REQ-C4: flag, then environment, then file, then default, for every flag of
// every command. The flags of a command are tried together.
func TestREQ_C4_Precedence(t *testing.T) {
	commands, err := newRun(t, nil).app.Commands()
	if err != nil {
		t.Fatal(err)
	}
	flags := 0
	for _, command := range commands {
		words := strings.Fields(command)
		// The problems of a command without flags are those of required flags.
		settings, _ := newRun(t, nil).app.Settings(words)
		// The file's name cannot be in the file.
		settings = slices.DeleteFunc(settings, func(s cli.Setting) bool { return s.Name == "config" })
		flags += len(settings)
		t.Run(command, func(t *testing.T) { precedence(t, words, settings) })
	}
	if flags < 200 {
		t.Errorf("only %d flags were tried", flags)
	}
}

func precedence(t *testing.T, words []string, settings []cli.Setting) {
	dir := t.TempDir()
	top, section := filepath.Join(dir, "top.yaml"), filepath.Join(dir, "section.yaml")
	env, empty := map[string]string{}, map[string]string{}
	var topText, sectionText strings.Builder
	for i, word := range words {
		sectionText.WriteString(strings.Repeat(" ", i) + word + ":\n")
	}
	var args []string
	for _, s := range settings {
		written, _ := samples(s)
		fmt.Fprintf(&topText, "%s: %q\n", strings.ReplaceAll(s.Name, "-", "_"), at(written, 0))
		fmt.Fprintf(&sectionText, "%s%s: %q\n", strings.Repeat(" ", len(words)), s.Name, at(written, 0))
		env[cli.EnvName(s.Name)] = at(written, 1)
		empty[cli.EnvName(s.Name)] = ""
		args = append(args, "--"+s.Name+"="+at(written, 2))
	}
	write(t, top, topText.String())
	write(t, section, sectionText.String())
	fileOver := maps.Clone(env)
	fileOver["LMCACHE_CONFIG"] = section
	for _, c := range []struct {
		name   string
		args   []string
		env    map[string]string
		sample int // -1: the default
		origin func(line int, name string) string
	}{
		{"default", nil, nil, -1, func(int, string) string { return "default" }},
		{"empty environment", nil, empty, -1, func(_ int, name string) string {
			if name == "service-instance-id" {
				return "environment " + cli.EnvName(name) // an empty id is one
			}
			return "default"
		}},
		{"file, top level", []string{"--config", top}, nil, 0, func(line int, _ string) string { return top + ":" + strconv.Itoa(line+1) }},
		{"file, section", []string{"--config=" + section}, nil, 0, func(line int, _ string) string {
			return section + ":" + strconv.Itoa(line+1+len(words))
		}},
		{"environment over file", nil, fileOver, 1, func(_ int, name string) string { return "environment " + cli.EnvName(name) }},
		{"flag over environment and file", args, fileOver, 2, func(int, string) string { return "flag" }},
	} {
		got, problems := newRun(t, c.env).app.Settings(slices.Concat(words, c.args))
		byName := map[string]cli.Setting{}
		for _, s := range got {
			byName[s.Name] = s
		}
		for line, s := range settings {
			want := s.Value
			if _, printed := samples(s); c.sample >= 0 {
				want = at(printed, c.sample)
			}
			if g := byName[s.Name]; g.Value != want || g.Origin != c.origin(line, s.Name) {
				t.Errorf("%s: --%s is %q from %s, want %q from %s (%v)", c.name, s.Name, g.Value, g.Origin, want, c.origin(line, s.Name), problems)
			}
		}
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// Every default tag can be decoded.
func TestDefaultsAreValid(t *testing.T) {
	for _, command := range []string{"server --l1-size-gb 64MiB --eviction-policy LRU", "bench workload"} {
		if _, err := newRun(t, nil).app.Settings(strings.Fields(command)); err != nil {
			t.Errorf("%s: %v", command, err)
		}
	}
}

// REQ-C3: every flag of LMCache's server is known: it is ours, or it is
// accepted, ignored with a warning or refused with a reason; its default says
// nothing.
func TestREQ_C3_UpstreamFlags(t *testing.T) {
	data, err := os.ReadFile("testdata/upstream_server_flags.tsv")
	if err != nil {
		t.Fatal(err)
	}
	ours := map[string]cli.Setting{}
	settings, _ := newRun(t, nil).app.Settings([]string{"server"})
	for _, s := range settings {
		ours[s.Name] = s
	}
	seen := 0
	for line := range strings.Lines(string(data)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		fields := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		name, kind, def := flagName(fields[0]), fields[1], strings.Trim(fields[2], "'")
		seen++
		s, known := ours[name]
		if !known {
			t.Errorf("--%s is unknown", name)
			continue
		}
		if wantBool := strings.HasPrefix(kind, "StoreTrue") || strings.HasPrefix(kind, "BooleanOptional"); wantBool != (s.Kind == "BOOL") {
			t.Errorf("--%s is %s here and %s there", name, s.Kind, kind)
		}
		args := []string{"server", "--l1-size-gb", "64MiB", "--eviction-policy", "LRU"}
		always := name == "gds-l1-use-direct-io" // it names a tier, also at its default
		if s.Foreign && !always && def != "None" && def != "[]" {
			stderr, code := stderrOf(t, append(args, "--"+name+"="+def))
			if stderr != "" || code != cli.ExitOK {
				t.Errorf("LMCache's default --%s=%s: exit code %d, %s", name, def, code, stderr)
			}
		}
		if s.Foreign {
			value := "7"
			if s.Kind == "BOOL" {
				value = strconv.FormatBool(!strings.EqualFold(def, "true"))
			}
			stderr, code := stderrOf(t, append(args, "--"+name+"="+value))
			if stderr != "" && !strings.Contains(stderr, "--"+name+" ") && !strings.Contains(stderr, "--no-"+name+" ") {
				t.Errorf("--%s=%s: exit code %d, %s", name, value, code, stderr)
			}
			refused := strings.Contains(stderr, "is not supported by lmcache-go: ") || strings.Contains(stderr, "is not available in this version yet")
			if refused != (code == cli.ExitUsage) {
				t.Errorf("--%s=%s: exit code %d, %s", name, value, code, stderr)
			}
		}
	}
	if seen < 90 {
		t.Errorf("only %d flags were read", seen)
	}
}

// flagName takes the name out of "-q/--quiet" and "--x/--no-x".
func flagName(s string) string {
	for part := range strings.SplitSeq(s, "/") {
		if name, ok := strings.CutPrefix(part, "--"); ok {
			return name
		}
	}
	return s
}

// stderrOf parses arguments with all checks and returns what would be printed
// on stderr before the command runs, and the exit code.
func stderrOf(t *testing.T, args []string) (string, int) {
	t.Helper()
	r := newRun(t, nil)
	code := r.app.Check(args)
	return r.stderr.String(), code
}
