package l2_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/l2/fault"
	"github.com/lmcache-go/lmcache/l2/mem"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// files is a type with keys of every kind.
type files struct {
	Path, User, Pass string
	Port             int
	Format           l2.Format
}

// named is a serde that does nothing.
type named struct{ level int }

func (named) Name() string                                              { return "copy" }
func (named) Bound(l kv.Layout) int64                                   { return l.Size() }
func (named) Serialize(d, s []byte, _ kv.Layout, _ kv.Key) (int, error) { return copy(d, s), nil }
func (named) Deserialize(d, s []byte, _ kv.Layout, _ kv.Key) error      { copy(d, s); return nil }

// registry has the types of this module that need no server, and files, which keeps
// what it has read in got.
func registry(tb testing.TB, got *files) *l2.Registry {
	tb.Helper()
	r := l2.NewRegistry()
	err := errors.Join(
		r.Register(mem.Kinds()...),
		r.Register(fault.Kind(), l2.Kind{
			Names: []string{"files", "files_native"}, Workers: 16, Limited: true, Aliases: map[string]string{"io_threads": "num_workers"},
			Parse: func(f *l2.Fields, s *l2.Settings) l2.OpenFunc {
				f.Env("port", "FILES_PORT")
				f.Env("pass", "FILES_PASS")
				var out files
				out.Path = f.Need("base_path")
				out.User, out.Pass = f.String("user", "nobody"), f.Secret("pass")
				out.Port = f.Int("port", 6379, 1, 65535)
				out.Format = f.Format()
				s.Capacity = f.GiB("max_capacity_gb", 0)
				if got != nil {
					*got = out
				}
				return func(context.Context, *slog.Logger) (l2.Adapter, error) { return nil, l2.ErrConnection }
			},
		}),
		r.RegisterSerde(l2.SerdeKind{Names: []string{"copy"}, Parse: func(f *l2.Fields, _ int) l2.Serde {
			return named{f.Int("level", 1, 1, 19)}
		}}))
	if err != nil {
		tb.Fatal(err)
	}
	return r
}

func env(vars map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) { v, ok := vars[name]; return v, ok }
}

func parseOne(t *testing.T, got *files, text string, vars map[string]string) l2.Config {
	t.Helper()
	all, err := registry(t, got).Parse([]string{text}, env(vars))
	if err != nil {
		t.Fatal(err)
	}
	return all[0]
}

// What is not written is the default.
func TestParseDefaults(t *testing.T) {
	var got files
	c := parseOne(t, &got, `{"type":"files","base_path":"/tmp/kv"}`, nil)
	if d := cmp.Diff(l2.Settings{Type: "files", Workers: 16, PerOpWorkers: 16}, c.Settings); d != "" {
		t.Errorf("settings (-want +got)\n%s", d)
	}
	if d := cmp.Diff(files{Path: "/tmp/kv", User: "nobody", Port: 6379, Format: l2.Format{Checksum: l2.XXH3}}, got); d != "" {
		t.Errorf("keys (-want +got)\n%s", d)
	}
	if len(c.Warnings) > 0 {
		t.Errorf("warnings %q", c.Warnings)
	}
}

// Every common key reaches its field.
func TestParseSettings(t *testing.T) {
	var got files
	c := parseOne(t, &got, `{
		"type": "files_native", "base_path": "/x", "num_workers": 4, "per_op_workers": 2, "persist_enabled": false, "start_probe": false,
		"max_capacity_gb": 1.5, "affinity_tag": "_default", "shared": false, "user": null,
		"eviction": {"eviction_policy": "IsolatedLRU", "trigger_watermark": 0.9, "eviction_ratio": 0.1, "default_quota_gb": 2},
		"timeouts": {"store": 1, "lookup": 2.5, "load": 3, "delete": 4},
		"breaker": {"failures": 5, "cooldown": 1, "max_cooldown": 60},
		"retry": {"attempts": 2, "backoff": 0.5, "factor": 2},
		"serde": {"type": "copy", "level": 7, "max_workers": 3},
		"checksum": "crc32"}`, nil)
	want := l2.Settings{
		Type: "files_native", Workers: 4, PerOpWorkers: 2, NoStartProbe: true, Capacity: 3 << 29,
		Eviction: &l2.Eviction{Policy: "IsolatedLRU", Watermark: 0.9, Ratio: 0.1, DefaultQuota: 2 << 30},
		Timeouts: l2.Timeouts{Store: time.Second, Lookup: 2500 * time.Millisecond, Load: 3 * time.Second, Delete: 4 * time.Second},
		Breaker:  l2.Breaker{Failures: 5, Cooldown: time.Second, MaxCooldown: time.Minute},
		Retry:    l2.Retry{Attempts: 2, Backoff: 500 * time.Millisecond, Factor: 2},
		Serde:    named{7}, SerdeWorkers: 3,
	}
	if d := cmp.Diff(want, c.Settings, cmpopts.EquateComparable(named{})); d != "" {
		t.Errorf("settings (-want +got)\n%s", d)
	}
	if err := c.Settings.Validate(); err != nil {
		t.Error(err)
	}
	if got.Format != (l2.Format{Checksum: l2.CRC32C}) || got.User != "nobody" {
		t.Errorf("keys %+v", got)
	}
}

// A block that is there in part keeps the defaults of the rest.
func TestParsePartOfABlock(t *testing.T) {
	c := parseOne(t, nil, `{"type":"files","base_path":"/x","timeouts":{"lookup":1},"breaker":{"cooldown":400},"retry":{},"eviction":{"eviction_policy":"LRU"}}`, nil)
	want := l2.Settings{
		Type: "files", Workers: 16, PerOpWorkers: 16,
		Timeouts: l2.Timeouts{Store: 30 * time.Second, Lookup: time.Second, Load: 30 * time.Second, Delete: 30 * time.Second},
		Breaker:  l2.Breaker{Failures: 3, Cooldown: 400 * time.Second, MaxCooldown: 400 * time.Second},
		Retry:    l2.Retry{Attempts: 3, Backoff: 100 * time.Millisecond, Factor: 4},
		Eviction: &l2.Eviction{Policy: "LRU", Watermark: 0.8, Ratio: 0.2},
	}
	if d := cmp.Diff(want, c.Settings); d != "" {
		t.Errorf("settings (-want +got)\n%s", d)
	}
}

func TestParseAliases(t *testing.T) {
	for _, text := range []string{
		`{"type":"files","base_path":"/x","load_concurrency":3}`,
		`{"type":"files","base_path":"/x","io_threads":3}`,
	} {
		if c := parseOne(t, nil, text, nil); c.Workers != 3 || c.PerOpWorkers != 3 {
			t.Errorf("%s: %d workers, %d items", text, c.Workers, c.PerOpWorkers)
		}
	}
}

// An environment variable replaces a key; where it is wrong, its name is told.
func TestParseEnv(t *testing.T) {
	var got files
	text := `{"type":"files","base_path":"/x","port":1,"pass":"from the file"}`
	c := parseOne(t, &got, text, map[string]string{"FILES_PORT": "7000", "FILES_PASS": "from the env"})
	if got.Port != 7000 || got.Pass != "from the env" || c.Shown["pass"] != "***" {
		t.Errorf("%+v, shown %v", got, c.Shown)
	}
	parseOne(t, &got, text, map[string]string{"FILES_PORT": ""})
	if got.Port != 1 || got.Pass != "from the file" {
		t.Errorf("an empty variable: %+v", got)
	}
	_, err := registry(t, nil).Parse([]string{text}, env(map[string]string{"FILES_PORT": "70000"}))
	if err == nil || !strings.Contains(err.Error(), "port: must be between 1 and 65535, got 70000 (from FILES_PORT)") {
		t.Errorf("error %v", err)
	}
}

func TestParseFaultInject(t *testing.T) {
	c := parseOne(t, nil, `{"type":"fault_inject","rate":0.5,"gap_indices":[3],"persist_enabled":false,
		"inner":{"type":"mock","max_size_gb":1,"mock_bandwidth_gb":2,"latency_ms":1,"num_workers":5,"format":"raw"}}`, nil)
	if c.Type != "fault_inject" || c.Workers != 5 || c.Capacity != 1<<30 {
		t.Errorf("settings %+v", c.Settings)
	}
	if len(c.Warnings) != 2 {
		t.Errorf("warnings %q", c.Warnings)
	}
	a, err := c.Open(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	if !l2.FormatOf(a).Raw {
		t.Error("the format is not that of the inner adapter")
	}
	inner, ok := c.Shown["inner"].(map[string]any)
	if !ok || inner["mock_bandwidth_gb"] != 2.0 || inner["type"] != "mock" {
		t.Errorf("shown %v", c.Shown)
	}
}

func TestParseWarns(t *testing.T) {
	r := registry(t, nil)
	if err := r.Register(l2.Kind{Names: []string{"remote"}, Parse: func(*l2.Fields, *l2.Settings) l2.OpenFunc { return nil }}); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		`{"type":"remote","eviction":{"eviction_policy":"LRU"}}`:                              "without a capacity",
		`{"type":"remote","eviction":{"eviction_policy":"IsolatedLRU"}}`:                      "IsolatedLRU without default_quota_gb",
		`{"type":"remote","eviction":{"eviction_policy":"IsolatedLRU","default_quota_gb":1}}`: "",
		`{"type":"files","base_path":"/x","eviction":{"eviction_policy":"LRU"}}`:              "",
		`{"type":"files","base_path":"/x","format":"raw"}`:                                    "corrupt objects cannot be told",
		`{"type":"mem","max_size_gb":1,"eviction":{"eviction_policy":"LRU"}}`:                 "",
		`{"type":"fault_inject","inner":{"type":"mem","max_size_gb":1},"rate":0}`:             "faults are injected",
		`{"type":"files","base_path":"/x","format":"raw","checksum":"none"}`:                  "corrupt objects cannot be told",
	} {
		all, err := r.Parse([]string{text}, nil)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got := strings.Join(all[0].Warnings, "; "); (want == "") != (got == "") || !strings.Contains(got, want) {
			t.Errorf("%s: warnings %q, want %q", text, got, want)
		}
	}
}

// Each problem is told with the adapter, the key and the limit.
func TestParseProblems(t *testing.T) {
	const base = `{"type":"files","base_path":"/x",`
	deep := strings.Repeat(`{"a":`, 40) + "1" + strings.Repeat("}", 40)
	for text, want := range map[string][]string{
		``:                                       {"invalid JSON: it ends too early"},
		`{`:                                      {"invalid JSON"},
		`{"type":"mem"`:                          {"it ends too early"},
		`{"type" "mem"}`:                         {"invalid JSON near byte"},
		`[]`:                                     {"must be a JSON object, got a list: give the flag once for each"},
		`"mem"`:                                  {"must be a JSON object, got a text"},
		`null`:                                   {"must be a JSON object, got null"},
		`{"type":"mem","max_size_gb":1}x`:        {"something follows the object"},
		deep:                                     {"more than 16 levels"},
		`{"type":"mem","type":"mock"}`:           {`key "type" is there twice`},
		strings.Repeat(" ", 1<<20) + "{}":        {"the limit is 1048576"},
		`{}`:                                     {"type: is required"},
		`{"type":""}`:                            {"type: must not be empty"},
		`{"type":7}`:                             {"type: must be a text, got a number"},
		`{"type":"fils","base_path":"/x"}`:       {`unknown adapter type "fils"`, `did you mean "files"?`, "fault_inject, files, files_native, mem, mock"},
		`{"type":"gcs"}`:                         {`"gcs" is known to LMCache, not available here`},
		`{"type":"aerospike","x":1}`:             {"known to LMCache"},
		`{"type":"files"}`:                       {"base_path: is required"},
		`{"type":"files","base_path":""}`:        {"base_path: must not be empty"},
		`{"type":"files","base_path":5}`:         {"base_path: must be a text, got a number"},
		base + `"num_wokers":1}`:                 {`unknown key "num_wokers"`, `did you mean "num_workers"?`},
		base + `"num_workers":0}`:                {"num_workers: must be between 1 and 256, got 0"},
		base + `"num_workers":257}`:              {"num_workers: must be between 1 and 256, got 257"},
		base + `"num_workers":1.5}`:              {`num_workers: must be a whole number, got "1.5"`},
		base + `"num_workers":"8"}`:              {"num_workers: must be a whole number, got a text"},
		base + `"num_workers":1e400}`:            {"num_workers: must be a whole number"},
		base + `"io_threads":0}`:                 {"io_threads: must be between 1 and 256, got 0"},
		base + `"io_threads":1,"num_workers":2}`: {"io_threads: is another name of num_workers, which is there too"},
		base + `"io_threads":1,"load_concurrency":2}`:                        {"load_concurrency: is another name of num_workers, which is there too"},
		base + `"per_op_workers":-1}`:                                        {"per_op_workers: must be between 1 and 256"},
		base + `"persist_enabled":1}`:                                        {"persist_enabled: must be true or false, got a number"},
		base + `"start_probe":"no"}`:                                         {"start_probe: must be true or false, got a text"},
		base + `"affinity_tag":"gpu0"}`:                                      {"affinity_tag: is not supported; only _default is accepted"},
		base + `"shared":true}`:                                              {"shared: is not supported; only false is accepted"},
		base + `"max_capacity_gb":-1}`:                                       {"max_capacity_gb: must be between 0 and"},
		base + `"format":"v2"}`:                                              {`format: must be one of v1, raw, got "v2"`},
		base + `"checksum":"md5"}`:                                           {`checksum: must be one of xxh3, crc32c, crc32, none, got "md5"`},
		base + `"format":"raw","checksum":"xxh3"}`:                           {"checksum: has no effect with format raw"},
		base + `"format":"raw","serde":{"type":"copy"}}`:                     {"serde: needs format v1"},
		base + `"serde":{"type":"fp8"}}`:                                     {`serde.type: "fp8" is known to LMCache, not available here (copy)`},
		base + `"serde":{"type":"gzip"}}`:                                    {`serde.type: unknown serde type "gzip" (copy)`},
		base + `"serde":{"type":"copy","leven":3}}`:                          {`unknown key "serde.leven"; did you mean "level"?`},
		base + `"serde":{}}`:                                                 {"serde.type: is required"},
		base + `"serde":"copy"}`:                                             {"serde: must be an object, got a text"},
		base + `"eviction":{}}`:                                              {"eviction.eviction_policy: is required (LRU, IsolatedLRU, noop)"},
		base + `"eviction":{"eviction_policy":"lru"}}`:                       {`eviction.eviction_policy: must be one of LRU, IsolatedLRU, noop, got "lru"`},
		base + `"eviction":{"eviction_policy":"LRU","trigger_watermark":0}}`: {"eviction.trigger_watermark: must be more than 0 and at most 1, got 0"},
		base + `"eviction":{"eviction_policy":"LRU","eviction_ratio":0}}`:    {"eviction.eviction_ratio: must be more than 0"},
		base + `"eviction":{"eviction_policy":"LRU","default_quota_gb":1}}`:  {"eviction.default_quota_gb: has no effect with LRU"},
		base + `"timeouts":{"store":0,"lookup":-1,"x":1}}`:                   {"timeouts.store: must be more than 0", "timeouts.lookup: must be", `"timeouts.x"`},
		base + `"breaker":{"cooldown":10,"max_cooldown":5}}`:                 {"breaker.max_cooldown: must be at least the cooldown of 10s, got 5s"},
		base + `"breaker":{"failures":0}}`:                                   {"breaker.failures: must be between 1 and 1000"},
		base + `"retry":{"attempts":0,"factor":0.5}}`:                        {"retry.attempts: must be", "retry.factor: must be between 1 and 100"},
		`{"type":"mem"}`:                                                     {"max_size_gb: is required"},
		`{"type":"mem","max_size_gb":0}`:                                     {"max_size_gb: must be more than 0"},
		`{"type":"mock","max_size_gb":1}`:                                    {"mock_bandwidth_gb: is required"},
		`{"type":"mock","max_size_gb":1,"mock_bandwidth_gb":0}`:              {"mock_bandwidth_gb: must be more than 0"},
		`{"type":"fault_inject"}`:                                            {"inner: is required"},
		`{"type":"fault_inject","inner":1}`:                                  {"inner: must be an object, got a number"},
		`{"type":"fault_inject","inner":{"type":"gcs"},"rate":2}`:            {"inner.type: \"gcs\" is known", "rate: must be between 0 and 1, got 2"},
		`{"type":"fault_inject","inner":{"type":"fault_inject","inner":{"type":"mem","max_size_gb":1}}}`:  {"inner.type: \"fault_inject\" inside of"},
		`{"type":"fault_inject","inner":{"type":"mem"},"gap_indices":[1.5,-1,"x"],"gap_tail_ratios":[2]}`: {"inner.max_size_gb: is required", "element 1 must be a whole number, got 1.5", "element 2 must be between", "element 3 must be a number, got a text", "gap_tail_ratios: element 1"},
	} {
		_, err := registry(t, nil).Parse([]string{`{"type":"mem","max_size_gb":1}`, text}, nil)
		if err == nil {
			t.Errorf("%s was taken", text)
			continue
		}
		for _, w := range want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%.80s: %v\nwant %q", text, err, w)
			}
		}
		if !strings.HasPrefix(err.Error(), "l2: adapter 2: ") {
			t.Errorf("%.80s: %v does not name the adapter", text, err)
		}
	}
}

// One run finds the problems of all adapters.
func TestParseReportsEverything(t *testing.T) {
	_, err := registry(t, nil).Parse([]string{`{"type":"gcs"}`, `{"type":"mem","max_size_gb":1}`, `{"type":"files","num_workers":0,"x":1}`}, nil)
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		t.Fatalf("error %v is not a list", err)
	}
	var at []string
	for _, e := range joined.Unwrap() {
		c, ok := errors.AsType[*l2.ConfigError](e)
		if !ok {
			t.Fatalf("%v is not a ConfigError", e)
		}
		at = append(at, fmt.Sprintf("%d %s", c.Adapter, c.Key))
	}
	if d := cmp.Diff([]string{"1 type", "3 num_workers", "3 base_path", "3 "}, at); d != "" {
		t.Errorf("problems (-want +got)\n%s", d)
	}
}

// A secret is in no message, whatever is wrong with it or around it.
func TestREQ_S72_SecretsAreNotShown(t *testing.T) {
	const secret = "hunter2"
	texts := []string{
		`{"type":"files","base_path":"/x","pass":"hunter2"}`,
		`{"type":"files","base_path":"/x","pass":["hunter2"]}`,
		`{"type":"files","base_path":"/x","pass":{"hunter2":"hunter2"}}`,
		`{"type":"files","base_path":"/x","num_workers":0,"pass":"hunter2"}`,
		`{"type":"files","base_path":"/x","passs":"hunter2"}`,
		`{"type":"files","base_path":"/x","pass":"hunter2"`,
		`{"type":"files","base_path":"/x","pass":hunter2}`,
		`{"type":"files","base_path":"/x","pass":"hunter2","pass":"hunter2"}`,
	}
	for _, text := range texts {
		all, err := registry(t, nil).Parse([]string{text}, nil)
		shown := fmt.Sprint(err)
		for _, c := range all {
			shown += fmt.Sprint(c.Shown, c.Warnings)
			if _, err := c.Open(t.Context(), nil); !errors.Is(err, l2.ErrConnection) {
				t.Errorf("open: %v", err)
			} else {
				shown += err.Error()
			}
		}
		if strings.Contains(shown, secret) {
			t.Errorf("%s: %s", text, shown)
		}
	}
}

func TestRegisterRefuses(t *testing.T) {
	r := registry(t, nil)
	for name, err := range map[string]error{
		"a name twice":             r.Register(l2.Kind{Names: []string{"new", "mem"}, Parse: func(*l2.Fields, *l2.Settings) l2.OpenFunc { return nil }}),
		"a type without a name":    r.Register(l2.Kind{Parse: func(*l2.Fields, *l2.Settings) l2.OpenFunc { return nil }}),
		"a type that reads no key": r.Register(l2.Kind{Names: []string{"none"}}),
		"a serde twice":            r.RegisterSerde(l2.SerdeKind{Names: []string{"copy"}, Parse: func(*l2.Fields, int) l2.Serde { return nil }}),
		"a serde without Parse":    r.RegisterSerde(l2.SerdeKind{Names: []string{"x"}}),
	} {
		if err == nil {
			t.Errorf("%s was registered", name)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, text := range []string{
		`{"type":"files","base_path":"/tmp/kv","max_capacity_gb":10,"eviction":{"eviction_policy":"LRU"},"serde":{"type":"copy"}}`,
		`{"type":"fault_inject","gap_indices":[1,2],"gap_tail_ratios":[0.5],"inner":{"type":"mock","max_size_gb":1,"mock_bandwidth_gb":0.5}}`,
		`{"type":"mem","max_size_gb":1e-9,"timeouts":{"store":1e9},"breaker":{},"retry":null}`,
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		all, err := registry(t, nil).Parse([]string{text}, nil)
		if err != nil {
			if _, ok := errors.AsType[*l2.ConfigError](err); !ok {
				t.Errorf("%v is not a ConfigError", err)
			}
			return
		}
		if err := all[0].Settings.Validate(); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	})
}
