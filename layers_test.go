package lmcache_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/lmcache-go/lmcache"

// layer is what one package may import from this module and from other modules.
// Everything else is banned, for the reason given. Paths are relative to the
// module; "." is its root, and "x/..." is x and all below it.
type layer struct {
	level   int // an import never goes to a higher one
	pkg     string
	inside  []string
	outside []string
	why     string
}

var layers = []layer{
	// 0: words and seams that everybody shares.
	{0, "eventbus", nil, nil, "the bus knows no event: events belong to the packages that publish them"},
	{0, "eventbus/eventbustest", []string{"eventbus"}, nil, "it tests any publisher and any subscriber, so it knows none"},
	{0, "storage/kv", nil, []string{"github.com/zeebo/blake3"}, "a leaf: keys are shared by all, so whatever it imports everybody links"},
	{0, "internal/runtime", nil, nil, "a leaf: the seam to time and work that all deciding code stands on"},
	{0, "internal/invariants", nil, nil, "a leaf: one constant"},
	{0, "internal/machine", nil, []string{"golang.org/x/sys/unix"}, "a leaf: what the machine offers is asked for by the library and by the command line"},
	{0, "internal/loglevel", nil, nil, "a leaf: names that the command line and the HTTP front end share"},
	{0, "internal/servertest", nil, nil, "a leaf: every test may use it"},
	{0, "internal/tiertest", nil, nil, "tests of all tiers at once, and no code"},
	{0, "internal/leak", nil, nil, "a leaf: every test may use it"},
	{0, "internal/suggest", nil, nil, "a leaf: names are mistyped on the command line and in the configuration of adapters"},
	{0, "internal/serving", nil, nil, "a leaf: the life of a listener, whatever it serves"},
	{0, "internal/mooncake", nil, nil, "a leaf: a file format, for tests and benchmarks"},
	{0, "internal/belady", nil, nil, "a leaf: a bound that must not be computed with the code that it judges"},

	// 1: siblings, none of which imports another.
	{1, "l1/internal/slab", nil, []string{"golang.org/x/sys/unix"}, "a data structure; it knows nothing of objects"},
	{1, "l1/internal/pool", nil, []string{"golang.org/x/sys/unix"}, "memory from the operating system; it knows nothing of how it is divided"},
	{1, "l1/internal/arena", []string{"internal/invariants", "l1/internal/slab"}, nil, "memory knows nothing of what is stored in it"},
	{1, "l1/policy", []string{"l1/internal/slab"}, nil, "a policy orders numbers; it knows no key, no memory and no lease"},
	{1, "l1/policy/policytest", []string{"l1/policy"}, nil, "the contract that every policy passes"},
	{
		1, "l1",
		[]string{"eventbus", "internal/invariants", "internal/machine", "internal/runtime", "l1/internal/...", "l1/policy", "storage/kv"},
		nil,
		"l1, l2 and gpu are siblings: the storage manager and the engine introduce them to each other",
	},
	{
		1, "gpu",
		[]string{"storage/kv"},
		nil,
		"a device knows no bus, no lease and no object: the engine asks l1 for memory and the device to copy",
	},

	{
		1, "l2",
		[]string{"internal/suggest", "storage/kv"},
		[]string{"github.com/zeebo/xxh3"},
		"a store knows no host memory, no lease, no event and no metric: the storage manager lends it bytes and owns the rest",
	},

	// 2: what is built on one or several siblings.
	{2, "gpu/fake", []string{"gpu", "internal/invariants", "storage/kv"}, nil, "a device knows only the seam that it implements"},
	{2, "l2/l2test", []string{"internal/leak", "l2", "storage/kv"}, []string{"golang.org/x/sys/unix"}, "the contract that every adapter passes, and the wrapper that makes one fail"},
	{2, "l2/fault", []string{"l2", "storage/kv"}, nil, "a wrapper knows only the seam that it wraps"},
	{2, "l2/mem", []string{"l2", "storage/kv"}, nil, "a store knows only the seam that it implements"},
	{2, "l2/zstd", []string{"l2", "storage/kv"}, []string{"github.com/klauspost/compress/zstd"}, "the only place of the compressor, so that nobody links it who does not name it"},
	{2, "gpu/gputest", []string{"gpu", "storage/kv"}, nil, "the contract that every device passes"},
	{2, "l2/fs", []string{"l2", "storage/kv"}, []string{"golang.org/x/sys/unix"}, "a store knows only the contract that it fulfils"},
	{2, "l2/s3", []string{"l2", "storage/kv"}, []string{"github.com/minio/minio-go/v7/..."}, "a store knows only the contract that it fulfils"},
	{
		2, "l2/resp",
		[]string{"l2", "storage/kv"},
		[]string{"github.com/redis/rueidis"},
		"a store knows only the contract that it fulfils",
	},
	{2, "l2/fs/fstest", []string{"l2/fs"}, nil, "faults for tests of what is above the file system"},
	{
		2, "storage/internal/tier",
		[]string{"internal/runtime", "l1/policy", "l2", "storage/kv"},
		nil,
		"a tier knows an adapter and what is decided about it; L1, events and the manager's controllers are above it",
	},
	{
		2, "storage",
		[]string{"eventbus", "internal/invariants", "internal/runtime", "l1", "l2", "storage/internal/tier", "storage/kv"},
		nil,
		"objects, not tokens and not devices: those are the engine's; concrete adapters are handed in by the program",
	},

	// 3: the engine.
	{
		3, ".",
		[]string{"eventbus", "gpu", "internal/invariants", "internal/runtime", "l1", "l2", "storage", "storage/kv"},
		nil,
		"the product links no concrete device, no adapter, no exporter and no command line that its user did not name",
	},

	{
		3, "trace",
		[]string{"eventbus", "storage", "storage/kv"},
		[]string{"github.com/tinylib/msgp/msgp", "golang.org/x/sys/unix"}, // the monotonic clock
		"it records calls of the storage manager and reads them back; it knows no engine and no tier",
	},
	{
		3, "trace/replay",
		[]string{"eventbus", "l1", "storage", "storage/kv", "trace"},
		nil,
		"it drives a storage manager that it is given; a program that records does not link it",
	},
	{
		3, "trace/convert",
		[]string{"internal/mooncake", "storage", "storage/kv", "trace"},
		nil,
		"formats turn into each other without a cache",
	},
	{
		3, "trace/curve",
		[]string{"internal/belady", "l1", "l1/policy", "storage", "storage/kv", "trace"},
		nil,
		"it runs storage managers in virtual time; what is drawn of the result is the program's",
	},

	// 4 and 5: what listens, and what is connected to. Nobody imports observe.
	{
		4, "observe",
		[]string{".", "eventbus", "l1", "storage", "storage/kv"},
		[]string{
			"go.opentelemetry.io/contrib/bridges/otelslog", // turns records of slog into those of the API
			"go.opentelemetry.io/otel/attribute", "go.opentelemetry.io/otel/codes", "go.opentelemetry.io/otel/log", "go.opentelemetry.io/otel/metric",
			"go.opentelemetry.io/otel/propagation", "go.opentelemetry.io/otel/trace",
		},
		"it listens; the OTel API (of metrics, of logs, and of spans with their status and their W3C context) is all it needs, so that users bring the SDK of their choice",
	},
	{
		5, "observe/export",
		[]string{"internal/serving", "observe"},
		[]string{
			"github.com/google/uuid", "github.com/prometheus/client_golang/...", "github.com/prometheus/client_model/go",
			"go.opentelemetry.io/otel/attribute", "go.opentelemetry.io/otel/codes", "go.opentelemetry.io/otel/exporters/...", "go.opentelemetry.io/otel/log",
			"go.opentelemetry.io/otel/log/noop", "go.opentelemetry.io/otel/metric",
			"go.opentelemetry.io/otel/sdk/...", "go.opentelemetry.io/otel/trace", "go.opentelemetry.io/otel/trace/noop",
			"google.golang.org/grpc", "google.golang.org/grpc/backoff", // how soon a connection to a collector is tried again
		},
		"the only place of the OTel SDK; it carries measurements and knows no engine",
	},
	{
		5, "server/http",
		[]string{".", "gpu", "internal/loglevel", "internal/serving", "l1", "l2", "storage", "storage/kv"},
		nil,
		"a front end of one engine; the metrics handler is handed in",
	},

	// 6: programs, and what only they use.
	{
		6, "internal/cli",
		[]string{"internal/loglevel", "internal/suggest"},
		[]string{"github.com/alecthomas/kong", "github.com/schollz/progressbar/v3", "go.yaml.in/yaml/v3", "golang.org/x/term"},
		"it knows no part of the cache: commands turn flags into options",
	},
	{6, "internal/cli/flags", []string{"internal/cli", "internal/loglevel", "internal/machine"}, nil, "flags are texts and numbers; commands turn them into options"},
	{
		6, "internal/workload",
		[]string{
			".", "eventbus", "gpu", "gpu/fake", "internal/belady", "internal/invariants", "internal/mooncake", "internal/runtime",
			"l1", "storage", "storage/kv",
		},
		nil,
		"it uses the engine as any embedder would, over the fake device",
	},
	{
		6, "internal/artefact",
		[]string{"observe"},
		[]string{"go.yaml.in/yaml/v3"},
		"dashboards and rules follow from the registry of metrics alone; what they are compared with is handed in",
	},
	{6, "internal/page", nil, nil, "it shows numbers and knows not where they come from"},
	{
		6, "internal/l1bench",
		[]string{"eventbus", "l1", "storage", "storage/kv"},
		nil,
		"it drives the storage manager as the engine does; subscribers are handed in",
	},
	{
		6, "internal/l2bench",
		[]string{"l2", "l2/fs", "storage/kv"},
		[]string{"golang.org/x/sys/unix"},
		"it drives an adapter as a tier does; which one is handed in",
	},
	{6, "internal/admin", []string{"storage/kv"}, nil, "it talks to a server from outside, over HTTP alone; it shares no code with what answers"},
	{
		6, "internal/top", nil,
		[]string{
			"github.com/prometheus/client_model/go", "github.com/prometheus/common/expfmt", "github.com/prometheus/common/model",
			"github.com/rivo/uniseg", "golang.org/x/term",
		},
		"it looks at a server from outside, by its metrics page alone",
	},
	{
		6, "cmd/lmcache",
		[]string{
			".", "eventbus", "gpu", "gpu/fake", "internal/admin", "internal/artefact", "internal/belady", "internal/cli", "internal/cli/flags", "internal/l1bench", "internal/l2bench", "internal/machine", "internal/mooncake", "internal/page", "internal/top", "internal/workload",
			"l1", "l2", "l2/fault", "l2/fs", "l2/mem", "l2/resp", "l2/s3", "l2/zstd", "observe", "observe/export", "server/http", "storage", "storage/kv", "trace", "trace/...",
		},
		[]string{"github.com/alecthomas/kong", "go.opentelemetry.io/otel/metric", "go.opentelemetry.io/otel/metric/noop"},
		"a program assembles packages and holds no logic of its own",
	},
	{
		6, "examples/otel",
		[]string{".", "eventbus", "gpu", "gpu/fake", "l1", "observe"},
		[]string{
			"github.com/prometheus/client_golang/...", "go.opentelemetry.io/otel/exporters/prometheus", "go.opentelemetry.io/otel/metric",
			"go.opentelemetry.io/otel/propagation", "go.opentelemetry.io/otel/sdk/metric", "go.opentelemetry.io/otel/sdk/trace",
		},
		"a host that brings its own SDK does without observe/export",
	},
	{
		6, "examples/...",
		[]string{".", "eventbus", "gpu", "gpu/fake", "l1", "observe", "observe/export", "server/http", "storage", "storage/kv"},
		nil,
		"an example uses what users can import, and nothing internal",
	},
}

// restricted are packages that only the named packages may import.
var restricted = []struct {
	pkg string
	to  []string
	why string
}{
	{"unsafe", []string{"l1/internal/pool", "l1/internal/slab"}, "one place hands out memory that the garbage collector does not know, another advises the kernel about memory that it does"},
	{"reflect", []string{"eventbus", "internal/cli"}, "types are known where they are used; the bus looks them up once, and kong's mappers speak reflect"},
	{"testing", []string{"eventbus/eventbustest", "gpu/gputest", "l1/policy/policytest", "l2/l2test", "internal/servertest"}, "shipped code must not carry the flags of package testing"},
	{"net/http", []string{"server/http", "l2/s3", "observe/export", "internal/serving", "internal/admin", "internal/top", "cmd/lmcache", "internal/cli", "examples/otel"}, "the library opens no port"},
	{"net/http/pprof", nil, "it registers handlers in a global when it is imported"},
	{"expvar", nil, "it registers a handler in a global when it is imported"},
	{"flag", nil, "the command line is kong's"},
	{"log", nil, "logs go through the configured slog.Logger"},
	{"math/rand", nil, "math/rand/v2 has no global seed"},
	{"plugin", nil, "no code is loaded at run time"},
	{"C", nil, "everything builds without cgo"},
	{"os/exec", []string{"internal/servertest"}, "nothing starts a process, except tests"},
}

// banned may not be imported even by tests.
var banned = map[string]string{
	"github.com/stretchr/testify/...": "tests use package testing and go-cmp",
	"math/rand":                       "math/rand/v2 has no global seed",
}

// listed is one package as the go command describes it.
type listed struct {
	ImportPath   string
	Standard     bool
	Imports      []string
	TestImports  []string
	XTestImports []string
}

// list asks the go command.
func list(t *testing.T, args ...string) []listed {
	t.Helper()
	fields := "-json=ImportPath,Standard,Imports,TestImports,XTestImports"
	cmd := exec.CommandContext(t.Context(), "go", append([]string{"list", "-e", fields}, args...)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.String())
	}
	var all []listed
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

// relative is a path inside the module; ok is false for one outside.
func relative(path string) (rel string, ok bool) {
	if path == module {
		return ".", true
	}
	return strings.CutPrefix(path, module+"/")
}

// covers tells whether a path is that of a pattern.
func covers(pattern, path string) bool {
	if tree, ok := strings.CutSuffix(pattern, "/..."); ok {
		return path == tree || strings.HasPrefix(path, tree+"/")
	}
	return path == pattern
}

func coveredBy(patterns []string, path string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return covers(p, path) })
}

func layerOf(pkg string) (layer, bool) {
	for _, l := range layers {
		if covers(l.pkg, pkg) {
			return l, true
		}
	}
	return layer{}, false
}

// isStandard tells a package of the standard library: its first element has no dot.
func isStandard(path string) bool {
	first, _, _ := strings.Cut(path, "/")
	return !strings.Contains(first, ".")
}

func TestLayers(t *testing.T) {
	for _, p := range list(t, "./...") {
		pkg, _ := relative(p.ImportPath)
		l, ok := layerOf(pkg)
		if !ok {
			t.Errorf("%s is not in the table of layers_test.go: say which layer it belongs to and what it may import", pkg)
			continue
		}
		for _, path := range p.Imports {
			if wrong := violation(pkg, l, path); wrong != "" {
				t.Error(wrong)
			}
		}
		for _, path := range slices.Concat(p.Imports, p.TestImports, p.XTestImports) {
			for pattern, why := range banned {
				if covers(pattern, path) {
					t.Errorf("%s imports %s: %s", pkg, path, why)
				}
			}
		}
	}
}

// violation says what is wrong with an import; empty if nothing is.
func violation(pkg string, l layer, path string) string {
	for _, r := range restricted {
		if path == r.pkg && !slices.Contains(r.to, pkg) {
			return fmt.Sprintf("%s imports %s: %s", pkg, path, r.why)
		}
	}
	if rel, inside := relative(path); inside {
		if !coveredBy(l.inside, rel) {
			return fmt.Sprintf("%s imports %s: %s", pkg, rel, l.why)
		}
		if to, known := layerOf(rel); known && to.level > l.level {
			return fmt.Sprintf("%s (layer %d) imports %s (layer %d): an arrow never points upwards", pkg, l.level, rel, to.level)
		}
		return ""
	}
	if !isStandard(path) && !coveredBy(l.outside, path) {
		return fmt.Sprintf("%s imports %s: %s", pkg, path, l.why)
	}
	return ""
}

// The judge of imports finds each kind of ban and accepts what is allowed.
func TestViolation(t *testing.T) {
	for _, c := range []struct {
		pkg, path string
		bad       bool
	}{
		{"storage", module + "/l1", false},
		{"storage", "slices", false},
		{"storage", module + "/observe", true},
		{"storage", module + "/gpu", true},
		{"storage", module, true},
		{"storage", "go.opentelemetry.io/otel/metric", true},
		{"storage", "unsafe", true},
		{"storage/kv", "github.com/zeebo/blake3", false},
		{"storage/kv", "net/http", true},
		{"l1", module + "/l1/internal/slab", false},
		{"l1", module + "/gpu", true},
		{".", module + "/gpu/fake", true},
		{".", "os/exec", true},
		{"observe", "go.opentelemetry.io/otel/sdk/metric", true},
		{"observe/export", "go.opentelemetry.io/otel/sdk/metric", false},
		{"examples/embed", module + "/gpu/fake", false},
		{"examples/embed", module + "/internal/leak", true},
		{"eventbus", "reflect", false},
	} {
		l, ok := layerOf(c.pkg)
		if !ok {
			t.Fatalf("%s is not in the table", c.pkg)
		}
		if got := violation(c.pkg, l, c.path); (got != "") != c.bad {
			t.Errorf("%s imports %s: %q, want a violation: %v", c.pkg, c.path, got, c.bad)
		}
	}
}

// The table itself: levels are in order, no row is written twice, and what a row
// allows is in the table and not above it.
func TestLayerTable(t *testing.T) {
	seen := map[string]bool{}
	for i, l := range layers {
		if i > 0 && l.level < layers[i-1].level {
			t.Errorf("%s: the rows are not in the order of the layers", l.pkg)
		}
		if seen[l.pkg] {
			t.Errorf("%s has two rows", l.pkg)
		}
		seen[l.pkg] = true
		if l.why == "" {
			t.Errorf("%s: the reason is missing", l.pkg)
		}
		for _, pattern := range l.inside {
			if strings.HasSuffix(pattern, "/...") {
				continue
			}
			if to, known := layerOf(pattern); !known || to.level > l.level {
				t.Errorf("%s may import %s, which is not in the table or above it", l.pkg, pattern)
			}
		}
	}
}

// Who embeds the engine links the hash functions, what they need, and nothing
// else from outside.
func TestEmbedderLinksLittle(t *testing.T) {
	allowed := []string{"github.com/zeebo/blake3/...", "github.com/zeebo/xxh3", "github.com/klauspost/cpuid/v2/...", "golang.org/x/sys/..."}
	for _, p := range list(t, "-deps", ".", "./gpu/fake") {
		if _, inside := relative(p.ImportPath); p.Standard || inside {
			continue
		}
		if !coveredBy(allowed, p.ImportPath) {
			t.Errorf("the engine links %s", p.ImportPath)
		}
	}
}
