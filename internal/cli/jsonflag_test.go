package cli

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

type adapters struct {
	Adapter []string `name:"adapter" json:"" placeholder:"JSON" help:"Adapters."`
	Other   string   `name:"other" help:"Other."`
}

func (a *adapters) Check(p *Problems) {
	for i, text := range a.Adapter {
		if strings.Contains(text, "bad") {
			p.Element("adapter", i+1, "a: is bad")
			p.Element("adapter", i+1, "b: is bad")
		}
	}
}

func (a *adapters) Run(_ context.Context, io *IO) error {
	for _, text := range a.Adapter {
		_, _ = io.Stdout.Write([]byte(text + "\n"))
	}
	return nil
}

func TestJSONFlag(t *testing.T) {
	cyclic := "c: {adapter: [&a {x: *a}]}\n"
	laughs := "c:\n  adapter:\n    - a: &a [x,x,x,x,x,x,x,x,x,x,x,x,x,x,x,x]\n"
	for i, c := range "bcdefg" {
		laughs += "      " + string(c) + ": &" + string(c) + " [" + strings.Repeat("*"+string("abcdef"[i])+",", 16) + "]\n"
	}
	for _, c := range []struct {
		name, file string
		args       []string
		env        map[string]string
		code       int
		out, err   string // err: a part of stderr
	}{
		{name: "arguments", args: []string{"--adapter", `{"type":"a","n":1}`, `--adapter={"type":"b"}`}, out: "{\"type\":\"a\",\"n\":1}\n{\"type\":\"b\"}\n"},
		{name: "one object in the environment", env: map[string]string{"LMCACHE_ADAPTER": `{"type":"a","l":[1,2]}`}, out: "{\"type\":\"a\",\"l\":[1,2]}\n"},
		{name: "an array in the environment", env: map[string]string{"LMCACHE_ADAPTER": ` [{"type":"a","x":"1,2"}, {"type":"b"}]`}, out: "{\"type\":\"a\",\"x\":\"1,2\"}\n{\"type\":\"b\"}\n"},
		{name: "no array after all", env: map[string]string{"LMCACHE_ADAPTER": `[{"type":"a"`}, out: "[{\"type\":\"a\"\n"},
		{
			name: "objects in a file", env: map[string]string{"PW": `s"3`},
			file: "c:\n  adapter:\n    - {type: fs, base_path: /x, max_capacity_gb: 500, use_odirect: true, none: null, f: 0.5, list: [1, a], hex: 0x10}\n    - type: resp\n      password: ${PW}\n      eviction: {eviction_policy: LRU}\n    - '{\"type\":\"mem\"}'\n",
			out:  "{\"type\":\"fs\",\"base_path\":\"/x\",\"max_capacity_gb\":500,\"use_odirect\":true,\"none\":null,\"f\":0.5,\"list\":[1,\"a\"],\"hex\":16}\n{\"type\":\"resp\",\"password\":\"s\\\"3\",\"eviction\":{\"eviction_policy\":\"LRU\"}}\n{\"type\":\"mem\"}\n",
		},
		{name: "one object in a file", file: "c: {adapter: {type: fs}}\n", out: "{\"type\":\"fs\"}\n"},
		{name: "a list in a list", file: "c: {adapter: [[a]]}\n", code: ExitUsage, err: "FILE:1: adapter must be a list of objects, got a list"},
		{name: "a key twice", file: "c:\n  adapter:\n    - type: a\n      type: b\n", code: ExitUsage, err: `FILE:4: key "type" is there already`},
		{name: "an unset variable", file: "c:\n  adapter:\n    - type: ${NOPE}\n", code: ExitUsage, err: "FILE:3: environment variable NOPE is not set"},
		{name: "infinity", file: "c: {adapter: [{x: .inf}]}\n", code: ExitUsage, err: "has no JSON form"},
		{name: "itself", file: cyclic, code: ExitUsage, err: "more than 16 levels"},
		{name: "much of little", file: laughs, code: ExitUsage, err: "more than 1048576 bytes"},
		{name: "both problems of both", args: []string{"--adapter", "bad", "--adapter", "{}", "--adapter", "bad"}, code: ExitUsage, err: "--adapter 1: a: is bad\nlmcache: error: --adapter 1: b: is bad\nlmcache: error: --adapter 3: a: is bad\nlmcache: error: --adapter 3: b: is bad\n"},
		{name: "its place", env: map[string]string{"LMCACHE_ADAPTER": "bad"}, code: ExitUsage, err: "--adapter 1: a: is bad (from environment LMCACHE_ADAPTER)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			grammar := struct {
				C      adapters `cmd:""`
				Config string   `name:"config"`
			}{}
			args := append([]string{"c"}, c.args...)
			path := filepath.Join(t.TempDir(), "c.yaml")
			if c.file != "" {
				if err := os.WriteFile(path, []byte(c.file), 0o600); err != nil {
					t.Fatal(err)
				}
				args = append(args, "--config", path)
			}
			var stdout, stderr bytes.Buffer
			app := &App{
				Name: "lmcache", New: func() any { return &grammar },
				IO: &IO{Stdout: &stdout, Stderr: &stderr, LookupEnv: func(name string) (string, bool) { v, ok := c.env[name]; return v, ok }},
			}
			code := app.Run(t.Context(), args)
			if d := cmp.Diff(c.out, stdout.String()); d != "" || code != c.code || !strings.Contains(strings.ReplaceAll(stderr.String(), path, "FILE"), c.err) {
				t.Errorf("exit code %d, want %d; stdout (-want +got)\n%s\nstderr:\n%s\nwant %s", code, c.code, d, stderr.String(), c.err)
			}
		})
	}
}

// What is shown of such a flag has no secret in it.
func TestJSONFlagIsMasked(t *testing.T) {
	grammar := struct {
		C adapters `cmd:""`
	}{}
	app := &App{Name: "lmcache", New: func() any { return &grammar }, IO: &IO{
		Stdout: new(bytes.Buffer), Stderr: new(bytes.Buffer), LookupEnv: func(string) (string, bool) { return "", false },
	}}
	settings, err := app.Settings([]string{"c", "--adapter", `{"type":"s3","aws_secret_access_key":"hunter2","inner":[{"password":"hunter2","user":"u"}]}`, "--adapter", `{"password":"hunter2"`})
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"aws_secret_access_key":"***","inner":[{"password":"***","user":"u"}],"type":"s3"} (not valid JSON)`
	if got := settings[0].Value; got != want {
		t.Errorf("shown:\n%s, want\n%s", got, want)
	}
}
