package httpserver

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"net/http"

	"github.com/lmcache-go/lmcache"
)

// DefaultAddr is where the server listens if nothing else is said.
const DefaultAddr = "127.0.0.1:8080"

// Engine is what the server shows. Stats is called from any goroutine and must
// return in bounded time.
type Engine interface {
	Stats() lmcache.Stats
}

// Options configures a Server. Engine is required.
type Options struct {
	Addr         string                        // host:port; empty: DefaultAddr; port 0: any free one
	Engine       Engine                        // what /status and /healthcheck tell about
	Metrics      http.Handler                  // answers /metrics; nil: 404
	Logger       *slog.Logger                  // access at DEBUG, trouble at WARN; nil: no logs
	Level        *slog.LevelVar                // what /loglevel shows and sets; nil: 404
	LevelChanged func()                        // called after /loglevel has set Level, from any goroutine; nil: nobody is told
	Version      string                        // of the program
	Commit       string                        // it was built from; may be empty
	AllowedHosts []string                      // further names by which clients may call this server
	Listeners    map[string]string             // further listeners by name, as URLs, for /status
	Ready        func(context.Context) []Check // further checks for /readyz; nil: none
	Live         func(context.Context) []Check // further checks for /livez; nil: none
	Loops        func() []lmcache.LoopStats    // background loops besides the engine's, as those of its bus; nil: none
}

// Check is one condition of readiness or liveness.
type Check struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail"`
}

func (o Options) withDefaults() Options {
	o.Listeners = maps.Clone(o.Listeners) // read by requests from now on
	if o.Addr == "" {
		o.Addr = DefaultAddr
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Version == "" {
		o.Version = "unknown"
	}
	return o
}

// errNoEngine says that Options.Engine is missing.
var errNoEngine = errors.New("httpserver: no engine")
