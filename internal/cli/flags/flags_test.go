package flags

import (
	"bytes"
	"context"
	"encoding/json"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/lmcache-go/lmcache/internal/cli"
	"github.com/lmcache-go/lmcache/internal/loglevel"
	"github.com/lmcache-go/lmcache/internal/machine"
)

// check fills a grammar from arguments and environment, runs its checks and
// returns what was printed and the exit code.
func check(t *testing.T, grammar any, args []string, env map[string]string) (string, int) {
	t.Helper()
	var stderr bytes.Buffer
	app := &cli.App{
		Name: "lmcache", New: func() any { return grammar },
		IO: &cli.IO{
			Stdout: new(bytes.Buffer), Stderr: &stderr,
			LookupEnv: func(name string) (string, bool) { v, ok := env[name]; return v, ok },
		},
	}
	code := app.Run(t.Context(), append([]string{"c"}, args...))
	return strings.TrimSuffix(stderr.String(), "\n"), code
}

// nothing is what the commands of these tests do once their checks have passed.
type nothing struct{}

func (nothing) Run(context.Context, *cli.IO) error { return nil }

type l1Command struct {
	nothing `kong:"-"`
	L1      `kong:"embed,set='l1_size_note=n',set='policy_note=n'"`
	host    host `kong:"-"`
	need    bool `kong:"-"`
}

func (c *l1Command) Check(p *cli.Problems) {
	if c.need {
		c.require(p, c.host.root)
	}
	c.check(p, c.host)
}

func TestL1Check(t *testing.T) {
	eight := fakeHost(map[string]string{"proc/meminfo": meminfo}, 4<<30)
	huge := fakeHost(map[string]string{"proc/meminfo": meminfo, "sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages": "1023\n"}, 4<<30)
	unknown := fakeHost(nil, 0)
	for _, c := range []struct {
		name string
		args string
		host host
		code int
		want string
	}{
		{"fits", "--l1-size-gb 2 --eviction-policy LRU", eight, cli.ExitOK, ""},
		{"more than is available now", "--l1-size-gb 5 --eviction-policy LRU", eight, cli.ExitOK, "warning: --l1-size-gb: 5 GiB is more than is available now (4 GiB); the system may run out of memory"},
		{"more than there is", "--l1-size-gb 9 --eviction-policy LRU", eight, cli.ExitFailed, "error: --l1-size-gb: 9 GiB is more than this machine has (total 8 GiB, control group unlimited); 6 GiB would fit"},
		{
			"more than the control group allows", "--l1-size-gb 3 --eviction-policy LRU",
			fakeHost(map[string]string{"proc/meminfo": meminfo, "proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "2147483648"}, 0),
			cli.ExitFailed, "error: --l1-size-gb: 3 GiB is more than this machine has (total 8 GiB, control group 2 GiB); 1 GiB would fit",
		},
		{"nothing is known about the machine", "--l1-size-gb 9999 --eviction-policy LRU", unknown, cli.ExitOK, ""},
		{"no power of two", "--l1-size-gb 1 --eviction-policy LRU --l1-align-bytes 100", eight, cli.ExitUsage, "error: --l1-align-bytes: must be a power of two, got 100"},
		{"missing", "", eight, cli.ExitUsage, "error: --l1-size-gb and --eviction-policy are required (this machine: --l1-size-gb 6 --eviction-policy LRU)"},
		{"missing on an unknown machine", "--l1-size-gb 1", unknown, cli.ExitUsage, "error: --l1-size-gb and --eviction-policy are required (this machine: --l1-size-gb 1 --eviction-policy LRU)"},
		{
			"missing on a small machine", "--eviction-policy LRU", fakeHost(map[string]string{"proc/meminfo": "MemTotal: 1048576 kB\n"}, 0), cli.ExitUsage,
			"error: --l1-size-gb and --eviction-policy are required (this machine: --l1-size-gb 768MiB --eviction-policy LRU)",
		},
		{"quotas", "--l1-size-gb 1 --eviction-policy IsolatedLRU", eight, cli.ExitOK, ""},
		{"watermark", "--l1-size-gb 1 --eviction-policy LRU --eviction-mode watermark", eight, cli.ExitOK, ""},
		{"ratio of nothing", "--l1-size-gb 1 --eviction-policy LRU --eviction-ratio 0", eight, cli.ExitOK, ""},
		{"no watermark", "--l1-size-gb 1 --eviction-policy LRU --eviction-trigger-watermark 0", eight, cli.ExitUsage, "error: --eviction-trigger-watermark: must be more than 0 and at most 1, got 0"},
		{
			"watermark in exact mode", "--l1-size-gb 1 --eviction-policy LRU --eviction-mode exact --eviction-trigger-watermark 0.8", eight, cli.ExitUsage,
			"error: --eviction-trigger-watermark: takes effect with --eviction-mode watermark only, got exact",
		},
		{
			"ratio without eviction", "--l1-size-gb 1 --eviction-policy noop --eviction-ratio 0.5", eight, cli.ExitUsage,
			"error: --eviction-ratio: has no effect with --eviction-policy noop, which evicts nothing",
		},
		{
			"mode without eviction", "--l1-size-gb 1 --eviction-policy noop --eviction-mode watermark", eight, cli.ExitUsage,
			"error: --eviction-mode: watermark has no effect with --eviction-policy noop, which evicts nothing",
		},
		{"enough huge pages", "--l1-size-gb 1 --eviction-policy LRU --l1-use-hugepages", huge, cli.ExitOK, ""},
		{"too few huge pages", "--l1-size-gb 2 --eviction-policy LRU --l1-use-hugepages", huge, cli.ExitFailed, "error: --l1-use-hugepages: 1024 pages of 2 MiB are needed and 1023 are free; raise vm.nr_hugepages"},
		{"huge pages nobody can count", "--l1-size-gb 2 --eviction-policy LRU --l1-use-hugepages", eight, cli.ExitOK, ""},
		{"huge pages in shared memory", "--l1-size-gb 1 --eviction-policy LRU --l1-use-hugepages --shm-name a", huge, cli.ExitUsage, "error: --l1-use-hugepages: excludes --shm-name"},
		{"shared memory", "--l1-size-gb 4 --eviction-policy LRU --shm-name auto --shm-mode 0660 --no-l1-use-lazy", eight, cli.ExitOK, ""},
		{"shared memory that is too small", "--l1-size-gb 4.1 --eviction-policy LRU --shm-name a", fakeHost(nil, 4<<30), cli.ExitFailed, "error: --shm-name: /dev/shm has 4 GiB in all, less than the 4.13 GiB of L1"},
		{"shared memory without bound", "--l1-size-gb 5 --eviction-policy LRU --shm-name a", unknown, cli.ExitOK, ""},
		{"a path", "--l1-size-gb 1 --eviction-policy LRU --shm-name a/b", eight, cli.ExitUsage, `error: --shm-name: must be a name without a slash, got "a/b"`},
		{"mode", "--l1-size-gb 1 --eviction-policy LRU --shm-name a --shm-mode 0777", eight, cli.ExitUsage, `error: --shm-mode: must be one of 0600, 0660, 0666, got "0777"`},
		{"mode of nothing", "--l1-size-gb 1 --eviction-policy LRU --shm-mode 0666", eight, cli.ExitOK, "warning: --shm-mode has no effect without --shm-name"},
		{"initial size", "--l1-size-gb 1 --eviction-policy LRU --l1-init-size-gb 512MiB", eight, cli.ExitOK, ""},
		{"negative initial size", "--l1-size-gb 1 --eviction-policy LRU --l1-init-size-gb -1", eight, cli.ExitUsage, "error: --l1-init-size-gb: must be at least 0 GiB, got -1"},
		{"bad is not missing", "--l1-size-gb x --eviction-policy LRU", eight, cli.ExitUsage, `error: --l1-size-gb: must be a size such as 64GiB or a number, got "x"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			grammar := struct {
				C l1Command `cmd:""`
			}{l1Command{host: c.host, need: true}}
			got, code := check(t, &grammar, strings.Fields(c.args), nil)
			if want := c.want; want != "" && got != "lmcache: "+want || want == "" && got != "" || code != c.code {
				t.Errorf("exit code %d, want %d; stderr:\n got %s\nwant %s", code, c.code, got, want)
			}
		})
	}
}

// The mode follows from what is given.
func TestEvictionMode(t *testing.T) {
	for args, want := range map[string]string{
		"":                                 "exact",
		"--eviction-mode exact":            "exact",
		"--eviction-mode watermark":        "watermark",
		"--eviction-trigger-watermark 0.8": "watermark",
		"--eviction-ratio 0.2":             "watermark",
	} {
		grammar := struct {
			C l1Command `cmd:""`
		}{l1Command{host: fakeHost(nil, 0)}}
		if got, code := check(t, &grammar, strings.Fields(args), nil); code != cli.ExitOK || grammar.C.Mode != want {
			t.Errorf("%q: mode %q, want %q; exit code %d, %s", args, grammar.C.Mode, want, code, got)
		}
	}
}

const meminfo = "MemTotal:       8388608 kB\nMemFree:          1000 kB\nMemAvailable:   4194304 kB\n"

// fakeHost is a machine with the files that tell about memory, and shared memory
// of a size; 0: of any.
func fakeHost(files map[string]string, shm int64) host {
	root := fstest.MapFS{}
	for name, text := range files {
		root[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return host{root: root, space: func(dir string) (machine.Space, error) {
		if dir != "/dev/shm" {
			return machine.Space{}, fs.ErrNotExist
		}
		return machine.Space{Total: shm, Free: shm}, nil
	}}
}

func TestL1Memory(t *testing.T) {
	for text, want := range map[string]fs.FileMode{"0600": 0o600, "0660": 0o660, "0666": 0o666, "": 0} {
		if got := (&L1Memory{ShmMode: text}).FileMode(); got != want {
			t.Errorf("mode %q is %v, want %v", text, got, want)
		}
	}
	if got := (&L1Memory{InitSizeGB: 3}).InitBytes(); got != 3 {
		t.Errorf("%d initial bytes, want 3", got)
	}
}

func TestL1BytesAreRoundedUp(t *testing.T) {
	for size, want := range map[cli.Bytes]int64{0: 0, 1: 64 << 20, 64 << 20: 64 << 20, 64<<20 + 1: 128 << 20, 1 << 30: 1 << 30} {
		if got := (&L1{SizeGB: size}).Bytes(); got != want {
			t.Errorf("%d bytes become %d, want %d", size, got, want)
		}
	}
}

type restCommand struct {
	nothing `kong:"-"`
	Server
	HTTP
	Observability
	Log
}

func (c *restCommand) Check(p *cli.Problems) {
	c.Server.Check(p)
	c.Observability.Check(p)
	CheckListeners(p, c.HTTP.Listener(), c.Observability.Listener())
}

func TestCombinations(t *testing.T) {
	for _, c := range []struct {
		name string
		args string
		env  map[string]string
		code int
		want string
	}{
		{name: "defaults"},
		{name: "one port twice", args: "--http-port 9090", code: cli.ExitUsage, want: "error: --prometheus-port: port 9090 is also that of --http-port (choose another)"},
		{name: "one port on two addresses", args: "--http-port 9090 --prometheus-host 127.0.0.2"},
		{name: "one address in two forms", args: "--http-host localhost --http-port 9090 --prometheus-host 127.0.0.1", code: cli.ExitUsage, want: "error: --prometheus-port: port 9090 is also that of --http-port (choose another)"},
		{name: "any port twice", args: "--http-port 0 --prometheus-port 0"},
		{name: "no HTTP", args: "--http-port 9090 --disable-http"},
		{name: "no metrics", args: "--http-port 9090 --disable-metrics"},
		{name: "seed", args: "--hash-seed 0 --hash-algorithm sha256_cbor"},
		{name: "seed of an algorithm without one", args: "--hash-seed 0", code: cli.ExitUsage, want: "error: --hash-seed: is only used with --hash-algorithm sha256_cbor, got blake3"},
		{
			name: "PYTHONHASHSEED", args: "--hash-algorithm builtin", env: map[string]string{"PYTHONHASHSEED": "0"},
			want: "warning: PYTHONHASHSEED is ignored; --hash-seed sets the seed of sha256_cbor",
		},
		{name: "PYTHONHASHSEED elsewhere", env: map[string]string{"PYTHONHASHSEED": "0"}},
		{name: "cuda", args: "--device cuda", code: cli.ExitUsage, want: "error: --device: cuda is not available in this version yet (auto, none)"},
		{name: "two ids", args: "--instance-id a --service-instance-id b", code: cli.ExitUsage, want: "error: --instance-id: differs from --service-instance-id, which means the same"},
		{name: "one id twice", args: "--instance-id a --service-instance-id a"},
		{name: "all in the sample", args: "--metrics-sample-rate 1.0"},
		{name: "nothing in the sample", args: "--metrics-sample-rate 0", code: cli.ExitUsage, want: "error: --metrics-sample-rate: sample_rate must be in (0, 1.0], got 0"},
		{name: "more than all in the sample", args: "--metrics-sample-rate 1.5", code: cli.ExitUsage, want: "error: --metrics-sample-rate: sample_rate must be in (0, 1.0], got 1.5"},
		{
			name: "nothing to observe", args: "--disable-observability --prometheus-port 1 --log-level debug", env: map[string]string{"LMCACHE_METRICS_BUCKETS": "otel"},
			want: "warning: --disable-observability leaves no effect to --prometheus-port, --metrics-buckets",
		},
		{name: "a request log", args: "--request-log a --request-log-max-size 1 --request-log-max-files 1"},
		{name: "a request log on stdout", args: "--request-log - --disable-logging"},
		{
			name: "size of no request log", args: "--request-log-max-size 1",
			want: "warning: --request-log-max-size has no effect without --request-log that names a file",
		},
		{
			name: "files of a request log on stdout", args: "--request-log - --request-log-max-files 1",
			want: "warning: --request-log-max-files has no effect without --request-log that names a file",
		},
		{name: "no file at all", args: "--request-log a --request-log-max-files 0", code: cli.ExitUsage, want: "error: --request-log-max-files: must be at least 1, got 0"},
		{name: "no byte", args: "--request-log a --request-log-max-size 0", code: cli.ExitUsage, want: "error: --request-log-max-size: must be at least 1, got 0"},
		{
			name: "no log of nothing", args: "--disable-observability --request-log a --disable-logging --request-log-max-files 1",
			want: "warning: --disable-observability leaves no effect to --disable-logging, --request-log, --request-log-max-files",
		},
		{name: "spans", args: "--enable-tracing --otlp-endpoint h:1 --span-output stdout --span-max-age 5m"},
		{name: "spans in a file", args: "--span-output spans.jsonl"},
		{name: "REQ-O45: no endpoint", args: "--enable-tracing", code: cli.ExitUsage, want: "error: --enable-tracing requires --otlp-endpoint to be set. Tracing needs an OTLP gRPC endpoint to export spans."},
		{
			name: "REQ-O45: no endpoint but a file", args: "--enable-tracing --span-output stdout --disable-observability", code: cli.ExitUsage,
			want: "warning: --disable-observability leaves no effect to --enable-tracing, --span-output\n" +
				"lmcache: error: --enable-tracing requires --otlp-endpoint to be set. Tracing needs an OTLP gRPC endpoint to export spans." +
				" Without one, use --span-output alone.",
		},
		{
			name: "age of no spans", args: "--span-max-age 5m",
			want: "warning: --span-max-age has no effect without --enable-tracing or --span-output",
		},
		{name: "no age", args: "--span-output stdout --span-max-age 0", code: cli.ExitUsage, want: "error: --span-max-age: must be more than 0, got 0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var grammar struct {
				C restCommand `cmd:""`
			}
			got, code := check(t, &grammar, strings.Fields(c.args), c.env)
			if want := c.want; want != "" && got != "lmcache: "+want || want == "" && got != "" || code != c.code {
				t.Errorf("exit code %d, want %d; stderr:\n got %s\nwant %s", code, c.code, got, want)
			}
		})
	}
}

func TestInstance(t *testing.T) {
	empty, name := "", "n"
	for _, c := range []struct {
		o    Observability
		id   string
		isIn bool
	}{
		{Observability{}, "", false},
		{Observability{ServiceInstanceID: &empty}, "", true},
		{Observability{InstanceID: &name}, "n", true},
	} {
		if id, ok := c.o.Instance(); id != c.id || ok != c.isIn {
			t.Errorf("%+v: %q, %v", c.o, id, ok)
		}
	}
}

type workCommand struct {
	nothing `kong:"-"`
	Workload
	L1 `kong:"embed,set='l1_size_note=n',set='policy_note=n'"`
	Observability
}

func (c *workCommand) Check(p *cli.Problems) {
	c.Workload.Check(p)
	c.UseListener(p, &c.Observability)
}

func TestWorkloadCombinations(t *testing.T) {
	for _, c := range []struct {
		args string
		want string
	}{
		{"", ""},
		{"--chunk-size 256 --block-tokens 512", ""},
		{"--chunk-size 1024 --block-tokens 512", ""},
		{"--chunk-size 768 --block-tokens 512", "--block-tokens: must be a multiple or a divisor of the chunk size 768, got 512"},
		{"--bytes-per-token 3", "--bytes-per-token: must be even, got 3"},
		{"--l1-size-gb 1 --l1-capacity-chunks 5", "--l1-capacity-chunks: excludes --l1-size-gb"},
		{"--metrics-addr :0", ""},
		{"--metrics-addr 9090", "--metrics-addr: address 9090: must be HOST:PORT"},
		{"--metrics-addr a:70000", "--metrics-addr: address a:70000: must have a port between 0 and 65535"},
		{"--metrics-addr :1 --prometheus-port 1", "--metrics-addr: excludes --prometheus-host and --prometheus-port, which it stands for"},
		{"--linger -1s", "--linger: must be at least 0, got -1s"},
		{"--linger=-1s", "--linger: must be at least 0, got -1s"},
	} {
		var grammar struct {
			C workCommand `cmd:""`
		}
		got, code := check(t, &grammar, strings.Fields(c.args), nil)
		switch {
		case c.want == "" && code != cli.ExitOK, c.want != "" && (code != cli.ExitUsage || got != "lmcache: error: "+c.want):
			t.Errorf("%s: exit code %d, %s", c.args, code, got)
		}
	}
}

func TestWorkloadListener(t *testing.T) {
	for _, c := range []struct {
		args string
		env  map[string]string
		want string
	}{
		{"", nil, ""},
		{"--prometheus-port 7", nil, "0.0.0.0:7"},
		{"--metrics-addr :1", map[string]string{"LMCACHE_PROMETHEUS_PORT": "7"}, ":1"},
		{"", map[string]string{"LMCACHE_PROMETHEUS_HOST": "::1"}, "[::1]:9090"},
	} {
		var grammar struct {
			C workCommand `cmd:""`
		}
		if got, code := check(t, &grammar, strings.Fields(c.args), c.env); code != cli.ExitOK || grammar.C.MetricsAddr != c.want {
			t.Errorf("%s %v: %q, want %q; exit code %d, %s", c.args, c.env, grammar.C.MetricsAddr, c.want, code, got)
		}
	}
}

func TestWorkloadSize(t *testing.T) {
	for _, c := range []struct {
		w    Workload
		l    L1
		want int64
	}{
		{Workload{}, L1{}, 1 << 30},
		{Workload{}, L1{SizeGB: 1}, 64 << 20},
		{Workload{CapacityChunks: 5}, L1{}, 0},
	} {
		if got := c.w.L1Bytes(&c.l); got != c.want {
			t.Errorf("%+v, %+v: %d, want %d", c.w, c.l, got, c.want)
		}
	}
}

func TestSplitAddr(t *testing.T) {
	type result struct {
		Host string
		Port int
	}
	for addr, want := range map[string]result{"localhost:8080": {"localhost", 8080}, ":0": {"", 0}, "[::1]:65535": {"::1", 65535}} {
		host, port, err := SplitAddr(addr)
		if diff := cmp.Diff(want, result{host, port}); diff != "" || err != nil {
			t.Errorf("%s (-want +got):\n%s%v", addr, diff, err)
		}
	}
}

func TestLogger(t *testing.T) {
	var stderr bytes.Buffer
	io := &cli.IO{Stderr: &stderr, LookupEnv: func(string) (string, bool) { return "", false }}
	log, level := (&Log{Level: "WARNING", Format: "json", Color: "auto"}).Logger(io)
	log.Info("hidden")
	log.Warn("shown")
	var record map[string]any
	if err := json.Unmarshal(stderr.Bytes(), &record); err != nil || record["msg"] != "shown" {
		t.Errorf("%v: %s", err, stderr.String())
	}
	stderr.Reset()
	log, _ = (&Log{Level: "INFO", Format: "text", Color: "always"}).Logger(io)
	log.Info("coloured")
	if !strings.HasPrefix(stderr.String(), "\x1b[32;20m[") {
		t.Errorf("--log-color always: %q", stderr.String())
	}
	if loglevel.Name(level.Level()) != "WARNING" {
		t.Errorf("level %v", level)
	}
}
