package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// serve has a flag of every type and every tag.
type serve struct {
	Size    Bytes    `name:"l1-size-gb" unit:"GiB" above:"0" help:"Size."`
	Chunk   int      `name:"chunk-size" default:"256" min:"1" max:"65536" help:"Tokens per chunk."`
	Block   int64    `name:"null-block-id" help:"Block."`
	Seed    uint64   `name:"seed" default:"1" help:"Seed."`
	Ratio   float64  `name:"ratio" default:"0.5" above:"0" max:"1" help:"Ratio."`
	TTL     Seconds  `name:"ttl-seconds" default:"600" above:"0" help:"TTL."`
	Policy  string   `name:"eviction-policy" default:"LRU" choices:"LRU,noop" later:"IsolatedLRU" refused:"ARC" help:"Policy."`
	Level   string   `name:"log-level" default:"INFO" choices:"DEBUG,INFO" fold:"" lenientenv:"" help:"Level."`
	ID      *string  `name:"service-instance-id" emptyenv:"" help:"Id."`
	Hosts   []string `name:"allowed-host" help:"Hosts."`
	Lazy    bool     `name:"lazy" default:"true" help:"Lazy."`
	Quiet   bool     `name:"quiet" short:"q" help:"Quiet."`
	Port    string   `name:"port" treat:"later" why:"no listener" upstream:"5555" numeric:""`
	Monitor bool     `name:"gc-monitor" treat:"ignored" why:"there is no such collector" upstream:"false"`
	Plugins []string `name:"plugins" nargs:"*" treat:"refused" why:"nothing is loaded" upstream:""`
	Hidden  string   `name:"notifier" treat:"silent" upstream:"5"`
	Huge    bool     `name:"huge" treat:"later" upstream:"true"`

	check func(*Problems) `kong:"-"`
	err   error           `kong:"-"`
	ran   *bool           `kong:"-"`
	wait  bool            `kong:"-"`
}

func (*serve) Examples() []string { return []string{"lmcache serve --chunk-size 16"} }

func (s *serve) Check(p *Problems) {
	if s.check != nil {
		s.check(p)
	}
}

func (s *serve) Run(ctx context.Context, io *IO) error {
	*s.ran = true
	fmt.Fprint(io.Stdout, s.values())
	if s.wait {
		<-ctx.Done()
		return fmt.Errorf("stopped: %w", ctx.Err())
	}
	return s.err
}

func (s *serve) values() string {
	id := "none"
	if s.ID != nil {
		id = *s.ID
	}
	return fmt.Sprintln(int64(s.Size), s.Chunk, s.Block, s.Seed, s.Ratio, s.TTL, s.Policy, s.Level, "id="+id, s.Hosts, s.Lazy, s.Quiet)
}

type measure struct {
	File  string `arg:"" optional:"" help:"File."`
	Chunk int    `name:"chunk-size" default:"512" min:"1" help:"Tokens per chunk."`
	JSON  bool   `name:"json" help:"JSON."`
	Limit int    `name:"limit" short:"n" help:"Limit."`
	Seed  string `name:"seed" help:"Another type than above."`
}

func (m *measure) Run(_ context.Context, io *IO) error {
	_, err := fmt.Fprintf(io.Stdout, "file=%s chunk=%d json=%v limit=%d\n", m.File, m.Chunk, m.JSON, m.Limit)
	return err
}

type inspect struct {
	File  string   `arg:"" help:"File."`
	Names []string `arg:"" optional:"" help:"Names."`
}

func (i *inspect) Run(_ context.Context, io *IO) error {
	_, err := fmt.Fprintf(io.Stdout, "%s %q\n", i.File, i.Names)
	return err
}

type testGrammar struct {
	Config string `name:"config" help:"Configuration file."`
	Serve  serve  `cmd:"" help:"Serve."`
	Bench  struct {
		Measure measure `cmd:"" help:"Measure."`
		Inspect inspect `cmd:"" help:"Inspect."`
	} `cmd:"" help:"Benchmarks."`
	Help Help `cmd:"" help:"Help."`
}

// fixture is a program with its own environment and files.
type fixture struct {
	*App
	out, err bytes.Buffer
	serve    serve // copied into the grammar
	ran      bool
}

func newFixture(env map[string]string) *fixture {
	f := new(fixture)
	f.serve.ran = &f.ran
	f.App = &App{
		Name: "lmcache", Description: "A cache.",
		New:     func() any { return &testGrammar{Serve: f.serve} },
		Notes:   CommandNotes{"bench engine": "is part of something else", "tool": "is part of something else"},
		Aliases: map[string]string{"--serve": "serve"},
		IO: &IO{
			Stdout: &f.out, Stderr: &f.err,
			LookupEnv: func(name string) (string, bool) { v, ok := env[name]; return v, ok },
		},
	}
	return f
}

// writeConfig writes a configuration file and returns its path.
func writeConfig(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "c.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

const serveDefaults = "0 256 0 1 0.5 10m0s LRU INFO id=none [] true false\n"

func TestValues(t *testing.T) {
	for _, c := range []struct {
		name string
		args string
		env  map[string]string
		file string
		want string
	}{
		{name: "defaults", args: "serve", want: serveDefaults},
		{name: "alias", args: "--serve", want: serveDefaults},
		{
			name: "all types on the command line",
			args: "serve --l1-size-gb 512MiB --chunk-size=16 --null-block-id -1 --seed 18446744073709551615 --ratio 1 --ttl-seconds 5m " +
				"--eviction-policy noop --log-level debug --service-instance-id= --allowed-host a --allowed-host b,c --no-lazy -q",
			want: "536870912 16 -1 18446744073709551615 1 5m0s noop DEBUG id= [a b,c] false true\n",
		},
		{name: "booleans", args: "serve --lazy=false --quiet=true", want: strings.Replace(serveDefaults, "true false", "false true", 1)},
		{name: "negated false", args: "serve --no-lazy=false --no-quiet", want: serveDefaults},
		{name: "the last one wins", args: "serve --chunk-size 1 --chunk-size 2", want: strings.Replace(serveDefaults, "256", "2", 1)},
		{
			name: "environment", args: "serve",
			env: map[string]string{
				"LMCACHE_L1_SIZE_GB": "2", "LMCACHE_CHUNK_SIZE": " 7 ", "LMCACHE_LAZY": "0", "LMCACHE_QUIET": "TRUE",
				"LMCACHE_ALLOWED_HOST": "a,b", "LMCACHE_SERVICE_INSTANCE_ID": "", "LMCACHE_SEED": "", "LMCACHE_TTL_SECONDS": "30s",
			},
			want: "2147483648 7 0 1 0.5 30s LRU INFO id= [a b] false true\n",
		},
		{
			name: "file", args: "serve",
			file: "l1_size_gb: 1\nlog-level: DEBUG\nchunk-size: 9\nserve:\n  chunk-size: 10\n  allowed_host: [a, b]\n  lazy: false\n  service-instance-id: ''\n  seed:\n",
			want: "1073741824 10 0 1 0.5 10m0s LRU DEBUG id= [a b] false false\n",
		},
		{
			name: "variables in a file", args: "serve",
			env:  map[string]string{"NAME": "n", "OTHER": "o"},
			file: "serve: {service-instance-id: '${NAME}-${OTHER}-$NAME'}\n",
			want: strings.Replace(serveDefaults, "none", "n-o-$NAME", 1),
		},
		{
			name: "anchors in a file", args: "serve",
			file: "bench: &both {chunk-size: 3}\nserve: *both\n",
			want: strings.Replace(serveDefaults, "256", "3", 1),
		},
		{name: "an empty file", args: "serve", file: "# nothing\n", want: serveDefaults},
		{name: "an empty section", args: "serve", file: "serve:\n", want: serveDefaults},
		{
			name: "all sources", args: "serve --chunk-size 1",
			env:  map[string]string{"LMCACHE_CHUNK_SIZE": "2", "LMCACHE_SEED": "2"},
			file: "serve: {chunk-size: 3, seed: 3, ratio: 0.25}\n",
			want: "0 1 0 2 0.25 10m0s LRU INFO id=none [] true false\n",
		},
		{name: "flags before the subcommand", args: "bench --json --limit 3 measure f", want: "file=f chunk=512 json=true limit=3\n"},
		{name: "section of a group", args: "bench measure", file: "bench: {chunk-size: 4, measure: {limit: 5}}\n", want: "file= chunk=4 json=false limit=5\n"},
		{name: "stdin", args: "bench measure -", want: "file=- chunk=512 json=false limit=0\n"},
		{name: "after the dashes", args: "bench measure -- --json", want: "file=--json chunk=512 json=false limit=0\n"},
		{name: "short with value", args: "bench measure -n 4", want: "file= chunk=512 json=false limit=4\n"},
		{name: "short with its value", args: "bench measure -n4", want: "file= chunk=512 json=false limit=4\n"},
		{name: "many arguments", args: "bench inspect f a b", want: "f [\"a\" \"b\"]\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			env := map[string]string{}
			maps.Copy(env, c.env)
			if c.file != "" {
				env["LMCACHE_CONFIG"] = writeConfig(t, c.file)
			}
			f := newFixture(env)
			if code := f.Run(t.Context(), strings.Fields(c.args)); code != ExitOK {
				t.Fatalf("exit code %d: %s", code, f.err.String())
			}
			if diff := cmp.Diff(c.want, f.out.String()); diff != "" {
				t.Errorf("values (-want +got):\n%s", diff)
			}
			if f.err.Len() > 0 {
				t.Errorf("stderr: %s", f.err.String())
			}
		})
	}
}

// REQ-C5: every problem is reported, once, with the place it comes from.
func TestProblems(t *testing.T) {
	for _, c := range []struct {
		name  string
		args  string
		env   map[string]string
		file  string
		check func(*Problems)
		code  int
		want  []string // without "lmcache: "; FILE stands for the configuration file
	}{
		{
			name: "from everywhere", args: "serve --ratio 2 --null-block-id x extra --bogus",
			env:  map[string]string{"LMCACHE_CHUNK_SIZE": "0", "LMCACHE_TTL_SECONDS": "soon"},
			file: "serve:\n  seed: -1\n  eviction_policy: MRU\n",
			code: ExitUsage,
			want: []string{
				`error: unknown flag --bogus`,
				`error: unexpected argument "extra"`,
				`error: --ratio: must be more than 0 and at most 1, got 2`,
				`error: --null-block-id: must be a whole number, got "x"`,
				`error: --chunk-size: must be between 1 and 65536, got 0 (from environment LMCACHE_CHUNK_SIZE)`,
				`error: --seed: must be a whole number that is not negative, got "-1" (from FILE:2)`,
				`error: --ttl-seconds: must be a number of seconds or a length of time such as 30s or 5m, got "soon" (from environment LMCACHE_TTL_SECONDS)`,
				`error: --eviction-policy: must be one of LRU, noop, got "MRU" (from FILE:3)`,
			},
		},
		{name: "missing value", args: "serve --chunk-size --ratio 0.1", code: ExitUsage, want: []string{`error: --chunk-size: needs a value`}},
		{name: "missing value at the end", args: "serve --seed", code: ExitUsage, want: []string{`error: --seed: needs a value`}},
		{name: "not a boolean", args: "serve --lazy=maybe", code: ExitUsage, want: []string{`error: --lazy: must be true or false, got "maybe"`}},
		{name: "not a size", args: "serve --l1-size-gb 64GB", code: ExitUsage, want: []string{`error: --l1-size-gb: unknown unit "GB" in "64GB" (KiB, MiB, GiB and TiB are known)`}},
		{name: "zero size", args: "serve --l1-size-gb 0", code: ExitUsage, want: []string{`error: --l1-size-gb: must be more than 0 GiB, got 0`}},
		{name: "not finite", args: "serve --ratio NaN", code: ExitUsage, want: []string{`error: --ratio: must be a finite number, got "NaN"`}},
		{name: "later choice", args: "serve --eviction-policy IsolatedLRU", code: ExitUsage, want: []string{`error: --eviction-policy: IsolatedLRU is not available in this version yet (LRU, noop)`}},
		{name: "refused choice", args: "serve --eviction-policy ARC", code: ExitUsage, want: []string{`error: --eviction-policy: ARC is not supported by lmcache-go (LRU, noop)`}},
		{
			name: "unknown flags take their values along", args: "serve --chunk-sise 5 --bogus --no-lasy", code: ExitUsage,
			want: []string{`error: unknown flag --chunk-sise; did you mean "--chunk-size"?`, `error: unknown flag --bogus`, `error: unknown flag --no-lasy`},
		},
		{name: "unknown short flag", args: "serve -x", code: ExitUsage, want: []string{`error: unknown flag -x`}},
		{name: "prefixes are no flags", args: "serve --chunk 5", code: ExitUsage, want: []string{`error: unknown flag --chunk; did you mean "--chunk-size"?`}},
		{name: "command", args: "serv", code: ExitUsage, want: []string{`error: unknown command "serv"; did you mean "serve"?`}},
		{name: "subcommand", args: "bench measur x", code: ExitUsage, want: []string{`error: unknown command "bench measur"; did you mean "bench measure"?`}},
		{name: "subcommand without its command", args: "measure", code: ExitUsage, want: []string{`error: unknown command "measure"; did you mean "bench measure"?`}},
		{name: "noted command", args: "bench engine --model x", code: ExitUsage, want: []string{`error: "lmcache bench engine" is part of something else`}},
		{name: "noted command with more words", args: "tool sweep", code: ExitUsage, want: []string{`error: "lmcache tool" is part of something else`}},
		{name: "no subcommand", args: "bench", code: ExitUsage, want: []string{`error: "lmcache bench" needs a command after it (lmcache help bench)`}},
		{name: "missing argument", args: "bench inspect", code: ExitUsage, want: []string{`error: argument <file> is missing`}},
		{name: "help for nothing", args: "help serv", code: ExitUsage, want: []string{`error: unknown command "serv"; did you mean "serve"?`}},
		{
			name: "file keys", args: "serve",
			file: "chunk-sise: 1\nserve:\n  ratio: [1]\n  allowed-host: {a: b}\n  ttl_seconds: 1\n  ttl-seconds: 2\n  l1-size: 3\nbench: 5\nconfig: x\n",
			code: ExitUsage,
			want: []string{
				`error: FILE:1: unknown key "chunk-sise"; did you mean "chunk-size"?`,
				`error: FILE:3: ratio must be a single value, got a list`,
				`error: FILE:4: allowed-host must be a single value, got keys and values`,
				`error: FILE:6: key "ttl-seconds" is there already in line 5`,
				`error: FILE:7: unknown key "l1-size"; did you mean "l1-size-gb"?`,
				`error: FILE:8: section "bench" must hold keys and values, got "5"`,
				`error: FILE:9: config cannot be set in a configuration file`,
			},
		},
		{name: "nested list", args: "serve", file: "serve: {allowed-host: [a, [b]]}\n", code: ExitUsage, want: []string{`error: FILE:1: allowed-host must be a list of single values, got a list`}},
		{name: "unset variable", args: "serve", file: "serve: {service-instance-id: 'x${NOPE}'}\n", code: ExitUsage, want: []string{`error: FILE:1: environment variable NOPE is not set`}},
		{name: "not YAML", args: "serve", file: "serve:\n  a: b: c\n", code: ExitUsage, want: []string{`error: FILE:2: mapping values are not allowed in this context`}},
		{name: "not a mapping", args: "serve", file: "- a\n", code: ExitUsage, want: []string{`error: FILE:1: the file must hold keys and values, got a list`}},
		{name: "two documents", args: "serve", file: "serve: {}\n---\nserve: {}\n", code: ExitUsage, want: []string{`error: FILE: holds more than one YAML document`}},
		{name: "no file", args: "serve --config /no/such/file", code: ExitFailed, want: []string{`error: --config: open /no/such/file: no such file or directory`}},
		{
			name: "the machine is in the way", args: "serve", code: ExitFailed,
			check: func(p *Problems) { p.Machine("l1-size-gb", "too large"); p.Failed("no memory") },
			want:  []string{`error: --l1-size-gb: too large`, `error: no memory`},
		},
		{
			name: "both kinds", args: "serve", code: ExitUsage, env: map[string]string{"LMCACHE_SEED": "4"},
			check: func(p *Problems) {
				p.Machine("l1-size-gb", "too large")
				p.Flag("seed", "is %d", 4)
				p.Flag("seed", "reported before")
				p.Errors(errors.Join(errors.New("one"), errors.Join(errors.New("two"), nil)))
				p.Errors(nil)
			},
			want: []string{`error: --l1-size-gb: too large`, `error: --seed: is 4 (from environment LMCACHE_SEED)`, `error: one`, `error: two`},
		},
		{
			name: "LMCache's flags", args: "serve --port 8000 --gc-monitor --plugins a b --notifier 7 --no-huge", code: ExitUsage,
			want: []string{
				`warning: --gc-monitor has no effect in lmcache-go: there is no such collector`,
				`error: --port is not available in this version yet: no listener`,
				`error: --plugins is not supported by lmcache-go: nothing is loaded`,
				`error: --no-huge is not available in this version yet`,
			},
		},
		{
			name: "LMCache's flags from elsewhere", args: "serve", code: ExitUsage,
			env:  map[string]string{"LMCACHE_GC_MONITOR": "1"},
			file: "serve: {plugins: [{a: 1}], port: {x: 1}}\n",
			want: []string{
				`warning: --gc-monitor has no effect in lmcache-go: there is no such collector (from environment LMCACHE_GC_MONITOR)`,
				`error: --port is not available in this version yet: no listener (from FILE:1)`,
				`error: --plugins is not supported by lmcache-go: nothing is loaded (from FILE:1)`,
			},
		},
		{name: "control characters", args: "serve --eviction-policy a\x1b[31mb", code: ExitUsage, want: []string{`error: --eviction-policy: must be one of LRU, noop, got "a\x1b[31mb"`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			args := strings.Split(c.args, " ")
			path := "FILE"
			if c.file != "" {
				path = writeConfig(t, c.file)
				args = append(args, "--config", path)
			}
			f := newFixture(c.env)
			f.serve.check = c.check
			code := f.Run(t.Context(), args)
			var want strings.Builder
			for _, line := range c.want {
				want.WriteString("lmcache: " + strings.ReplaceAll(line, "FILE", path) + "\n")
			}
			if diff := cmp.Diff(want.String(), f.err.String()); diff != "" {
				t.Errorf("stderr (-want +got):\n%s", diff)
			}
			if code != c.code {
				t.Errorf("exit code %d, want %d", code, c.code)
			}
			if f.ran || f.out.Len() > 0 {
				t.Errorf("the command ran: %q", f.out.String())
			}
		})
	}
}

// Warnings stop nothing.
func TestWarnings(t *testing.T) {
	for _, c := range []struct {
		name string
		args string
		env  map[string]string
		want string
	}{
		{"defaults of LMCache", "serve --port 5555.0 --no-gc-monitor --plugins --notifier 9 --huge", nil, ""},
		{
			"a Service of Kubernetes", "serve",
			map[string]string{"LMCACHE_PORT": "tcp://10.0.0.1:5555", "LMCACHE_CHUNK_SIZE": "udp://10.0.0.1:1"},
			"lmcache: warning: LMCACHE_CHUNK_SIZE=udp://10.0.0.1:1 is ignored: Kubernetes sets it for a Service named lmcache; --chunk-size takes a number\n" +
				"lmcache: warning: LMCACHE_PORT=tcp://10.0.0.1:5555 is ignored: Kubernetes sets it for a Service named lmcache; --port takes a number\n",
		},
		{
			"a log level that nobody knows", "serve",
			map[string]string{"LMCACHE_LOG_LEVEL": "loud"},
			"lmcache: warning: --log-level: must be one of DEBUG, INFO, got \"loud\" (from environment LMCACHE_LOG_LEVEL); INFO is used\n",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFixture(c.env)
			if code := f.Run(t.Context(), strings.Fields(c.args)); code != ExitOK || f.out.String() != serveDefaults {
				t.Errorf("exit code %d, values %s", code, f.out.String())
			}
			if diff := cmp.Diff(c.want, f.err.String()); diff != "" {
				t.Errorf("stderr (-want +got):\n%s", diff)
			}
		})
	}
}

func TestSecretsInAFileThatOthersRead(t *testing.T) {
	for _, c := range []struct {
		text string
		mode os.FileMode
		want bool
	}{
		{"serve: {port: {secret_key: x}}\n", 0o644, true},
		{"serve: {port: {secret_key: x}}\n", 0o600, false},
		{"serve: {port: {secret_key_file: x}}\n", 0o644, false},
		{"serve: {port: {secret_key: '${KEY}'}}\n", 0o644, false},
		{"serve: {port: {secret_key: 'x${KEY}'}}\n", 0o644, true},
		{"serve: {port: {secret_key: '${1KEY}'}}\n", 0o644, true}, // not the name of a variable
		{"serve: {service-instance-id: secret}\n", 0o644, false},
	} {
		path := writeConfig(t, c.text)
		if err := os.Chmod(path, c.mode); err != nil {
			t.Fatal(err)
		}
		f := newFixture(map[string]string{"LMCACHE_CONFIG": path})
		f.Run(t.Context(), []string{"serve"})
		if got := strings.Contains(f.err.String(), "can be read by other users"); got != c.want {
			t.Errorf("%s with mode %v: warning %v, want %v:\n%s", c.text, c.mode, got, c.want, f.err.String())
		}
	}
}

func TestExitCodes(t *testing.T) {
	late := NewProblems()
	late.Failed("port 8080 is taken")
	for _, c := range []struct {
		name   string
		err    error
		code   int
		stderr string
	}{
		{"done", nil, ExitOK, ""},
		{"failed", errors.New("bad file"), ExitFailed, "lmcache: error: bad file\n"},
		{"its own code", &ExitError{Code: 7, Err: errors.New("seven")}, 7, "lmcache: error: seven\n"},
		{"its own code in silence", fmt.Errorf("x: %w", &ExitError{Code: 1}), 1, ""},
		{"problems found late", fmt.Errorf("start: %w", late), ExitFailed, "lmcache: error: port 8080 is taken\n"},
		{"one line", errors.New("a\nb" + strings.Repeat("ü", 300)), ExitFailed, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFixture(nil)
			f.serve.err = c.err
			if code := f.Run(t.Context(), []string{"serve"}); code != c.code {
				t.Errorf("exit code %d, want %d", code, c.code)
			}
			if got := f.err.String(); c.stderr != "" && got != c.stderr || strings.Count(got, "\n") > 1 || len(got) > 200 {
				t.Errorf("stderr %q, want %q", got, c.stderr)
			}
		})
	}
}

// REQ-C21, as far as it is the program's frame: an interrupted command ends
// with the code of the signal.
func TestInterrupted(t *testing.T) {
	for signal, code := range map[syscall.Signal]int{syscall.SIGINT: ExitInterrupt, syscall.SIGTERM: ExitTerminate} {
		f := newFixture(nil)
		f.serve.wait = true
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(&InterruptedError{Signal: signal})
		if got := f.Run(ctx, []string{"serve"}); got != code {
			t.Errorf("%v: exit code %d, want %d", signal, got, code)
		}
		if want := "lmcache: error: interrupted by signal " + signal.String() + "\n"; f.err.String() != want {
			t.Errorf("%v: stderr %q, want %q", signal, f.err.String(), want)
		}
	}
}

func TestBrokenGrammarIsABug(t *testing.T) {
	f := newFixture(nil)
	f.New = func() any { return new(struct{ F func() }) }
	if code := f.Run(t.Context(), []string{"x"}); code != ExitBug || !strings.Contains(f.err.String(), "internal error") {
		t.Errorf("exit code %d: %s", code, f.err.String())
	}
	f.New = func() any {
		return new(struct {
			Mute struct{} `cmd:""`
		})
	}
	if code := f.Run(t.Context(), []string{"mute"}); code != ExitBug {
		t.Errorf("a command without Run: exit code %d", code)
	}
}

// REQ-C7: help and errors hold no escape sequence.
func TestHelp(t *testing.T) {
	for _, args := range []string{"", "--help", "serve --help", "serve -h --bogus=1", "help", "help serve", "help bench measure", "help bench inspect", "bench --help"} {
		f := newFixture(nil)
		code := f.Run(t.Context(), strings.Fields(args))
		if args == "serve -h --bogus=1" {
			if code != ExitOK || !strings.Contains(f.out.String(), "Serve.") {
				t.Errorf("%q: exit code %d: %s", args, code, f.err.String())
			}
			continue
		}
		if code != ExitOK || !strings.HasPrefix(f.out.String(), "Usage: lmcache") || f.err.Len() > 0 {
			t.Errorf("%q: exit code %d, stdout %q, stderr %q", args, code, f.out.String(), f.err.String())
		}
		if strings.Contains(f.out.String(), "\x1b") {
			t.Errorf("%q: escape sequence in %q", args, f.out.String())
		}
	}
	f := newFixture(nil)
	f.Run(t.Context(), []string{"help", "serve", "--all"})
	for _, want := range []string{
		"Examples:", "lmcache serve --chunk-size 16", "between 1 and 65536", "Tokens per chunk", "LMCACHE_CHUNK_SIZE", "--[no-]lazy",
		"--plugins", "refused: nothing is loaded",
	} {
		if !strings.Contains(f.out.String(), want) {
			t.Errorf("help serve --all does not mention %q:\n%s", want, f.out.String())
		}
	}
	f = newFixture(nil)
	f.Run(t.Context(), []string{"help", "serve"})
	if strings.Contains(f.out.String(), "--plugins") {
		t.Error("help serve lists refused flags")
	}
}

func TestSettings(t *testing.T) {
	f := newFixture(map[string]string{"LMCACHE_SEED": "8", "LMCACHE_CHUNK_SIZE": "0", "LMCACHE_CONFIG": writeConfig(t, "serve: {ratio: 0.75}\n")})
	settings, err := f.Settings([]string{"serve", "--no-lazy"})
	if err == nil || !strings.Contains(err.Error(), "--chunk-size") {
		t.Errorf("error = %v", err)
	}
	got := map[string]string{}
	for _, s := range settings {
		got[s.Name] = s.Kind + " " + s.Value + " " + s.Origin[:4]
	}
	for name, want := range map[string]string{
		"seed": "N 8 envi", "ratio": "F 0.75 " + f.dir()[:4], "lazy": "BOOL false flag", "eviction-policy": "TEXT LRU defa", "service-instance-id": "TEXT  defa",
	} {
		if got[name] != want {
			t.Errorf("%s: %q, want %q", name, got[name], want)
		}
	}
	commands, err := f.Commands()
	if diff := cmp.Diff([]string{"serve", "bench measure", "bench inspect", "help"}, commands); diff != "" || err != nil {
		t.Errorf("commands (-want +got):\n%s%v", diff, err)
	}
}

func (f *fixture) dir() string { path, _ := f.IO.LookupEnv("LMCACHE_CONFIG"); return path }
