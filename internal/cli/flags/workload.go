package flags

import (
	"net"
	"strconv"

	"github.com/lmcache-go/lmcache/internal/cli"
)

// Workload holds the flags of a benchmark that runs a request trace, besides
// those of the tiers and of observability.
type Workload struct {
	File           string      `arg:"" optional:"" help:"Requests as Mooncake JSON lines, plain or gzip; - reads stdin; without it the built-in trace runs"`
	CapacityChunks int64       `name:"l1-capacity-chunks" group:"Workload" above:"0" help:"Size of the cache in chunks, instead of --l1-size-gb"`
	ChunkSize      int         `name:"chunk-size" group:"Workload" default:"512" min:"1" max:"65536" help:"Tokens per chunk"`
	HashAlgorithm  string      `name:"hash-algorithm" group:"Workload" default:"blake3" choices:"blake3,sha256_cbor,builtin" help:"How chunks are hashed"`
	BlockTokens    int         `name:"block-tokens" group:"Workload" default:"512" min:"1" max:"65536" help:"Tokens per hash id of the trace; a multiple or a divisor of the chunk size"`
	BytesPerToken  int         `name:"bytes-per-token" group:"Workload" default:"1024" min:"2" max:"1048576" help:"Bytes of KV cache per token; even"`
	Concurrency    int         `name:"concurrency" group:"Workload" default:"1" min:"1" max:"1024" help:"Requests in flight; 1 gives the same counts in every run"`
	Pace           string      `name:"pace" group:"Workload" default:"fast" choices:"fast,realtime" help:"When requests start: one after the other, or by their time stamps"`
	Speed          float64     `name:"speed" group:"Workload" default:"1" above:"0" help:"Divides the time stamps of --pace realtime"`
	Limit          int64       `name:"limit" group:"Workload" above:"0" help:"Run only the first N requests; all by default"`
	Seed           uint64      `name:"seed" group:"Workload" default:"1" help:"Seed of the bytes of the KV cache"`
	Verify         bool        `name:"verify" group:"Workload" default:"true" help:"Compare every retrieved byte with what its tokens imply"`
	NoOptimal      bool        `name:"no-optimal" group:"Workload" help:"Leave out the bound of the hit ratio"`
	MetricsAddr    string      `name:"metrics-addr" group:"Workload" placeholder:"HOST:PORT" help:"Serve /metrics there; no port is opened otherwise"`
	Linger         cli.Seconds `name:"linger" group:"Workload" default:"0" min:"0" help:"Keep /metrics alive for this long after the result"`
}

// UseListener takes the address of metrics from their two flags if one of them was
// given and --metrics-addr was not. Their defaults open no port.
func (w *Workload) UseListener(p *cli.Problems, o *Observability) {
	if w.MetricsAddr == "" && (p.IsSet("prometheus-host") || p.IsSet("prometheus-port")) {
		w.MetricsAddr = net.JoinHostPort(o.PrometheusHost, strconv.Itoa(o.PrometheusPort))
	}
}

// defaultSize is the size of L1 in bytes if neither flag gives one.
const defaultSize = 1 << 30

// Check reports values that do not fit each other.
func (w *Workload) Check(p *cli.Problems) {
	if p.IsSet("l1-capacity-chunks") && p.IsSet("l1-size-gb") {
		p.Flag("l1-capacity-chunks", "excludes --l1-size-gb")
	}
	if !p.IsBad("block-tokens") && !p.IsBad("chunk-size") && w.BlockTokens%w.ChunkSize != 0 && w.ChunkSize%w.BlockTokens != 0 {
		p.Flag("block-tokens", "must be a multiple or a divisor of the chunk size %d, got %d", w.ChunkSize, w.BlockTokens)
	}
	if w.BytesPerToken%2 != 0 {
		p.Flag("bytes-per-token", "must be even, got %d", w.BytesPerToken)
	}
	if w.MetricsAddr != "" {
		if _, _, err := SplitAddr(w.MetricsAddr); err != nil {
			p.Flag("metrics-addr", "%v", err)
		}
		if p.IsArgument("metrics-addr") && (p.IsArgument("prometheus-host") || p.IsArgument("prometheus-port")) {
			p.Flag("metrics-addr", "excludes --prometheus-host and --prometheus-port, which it stands for")
		}
	}
}

// L1Bytes is the size of L1 in bytes, before it is known how many chunks that
// is; 0 if the size was given in chunks.
func (w *Workload) L1Bytes(l *L1) int64 {
	switch {
	case w.CapacityChunks > 0:
		return 0
	case l.SizeGB > 0:
		return l.Bytes()
	}
	return defaultSize
}

// SplitAddr takes HOST:PORT apart; the host may be empty, which is every address.
func SplitAddr(addr string) (host string, port int, err error) {
	host, text, err := net.SplitHostPort(addr)
	if err != nil {
		return "", 0, &net.AddrError{Err: "must be HOST:PORT", Addr: addr}
	}
	port, err = strconv.Atoi(text)
	if err != nil || port < 0 || port > 65535 {
		return "", 0, &net.AddrError{Err: "must have a port between 0 and 65535", Addr: addr}
	}
	return host, port, nil
}
