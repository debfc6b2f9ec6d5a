package httpserver

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"net/http"

	"github.com/lmcache-go/lmcache"
	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/storage"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// DefaultAddr is where the server listens if nothing else is said.
const DefaultAddr = "127.0.0.1:8080"

// Engine is what the server shows. Stats is called from any goroutine and must
// return in bounded time.
type Engine interface {
	Stats() lmcache.Stats
}

// Cache is what administrators change, and look into. lmcache.Engine is one. Its methods are called
// from any goroutine.
type Cache interface {
	Clear(ctx context.Context, force bool) (int, error)
	Delete(ctx context.Context, keys []kv.Key, force bool) ([]l1.Code, error)
	SetQuota(salt string, bytes int64) error
	DeleteQuota(salt string) bool
	Quotas() []storage.Quota
	ListL2(ctx context.Context, tier int, q l2.ListQuery) (l2.Page, error)
	DeleteL2(ctx context.Context, keys []kv.Key, tier int) ([]storage.TierResult, error)
	Warm(ctx context.Context, r lmcache.WarmRequest) (lmcache.WarmStatus, error)
	Warming(id string) (lmcache.WarmStatus, bool)
	CancelWarming(id string) bool
	Explain(ctx context.Context, r lmcache.ExplainRequest) (lmcache.Explanation, error)
}

// Options configures a Server. Engine is required.
type Options struct {
	Addr         string                        // host:port; empty: DefaultAddr; port 0: any free one
	Engine       Engine                        // what /status and /healthcheck tell about
	Cache        Cache                         // what /cache and /quota change; nil: 404
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
	TierConfigs  []map[string]any              // configuration of each outer tier for /status, secrets masked; nil: not shown
	NoAliases    bool                          // without the paths of LMCache's older versions

	// TLSCert and TLSKey are files with a certificate and its key, in PEM form. With them
	// the front end speaks TLS 1.2 or later and nothing else; they are read again when
	// they have changed. Both or none.
	TLSCert, TLSKey string

	// AdminToken is what whoever changes something has to show, at least MinToken bytes.
	// Without one, loopback listeners let everybody change things and others nobody.
	AdminToken    string
	AuthAll       bool // everything but probes needs the token
	InsecureAdmin bool // without a token every address lets everybody change things
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

// errHalfPair says that one of Options.TLSCert and TLSKey is missing.
var errHalfPair = errors.New("httpserver: TLSCert and TLSKey: both or none")

// errNoEngine says that Options.Engine is missing.
var errNoEngine = errors.New("httpserver: no engine")

// validate reports all problems of o at once.
func (o *Options) validate() error {
	var errs []error
	if o.Engine == nil {
		errs = append(errs, errNoEngine)
	}
	if n := len(o.AdminToken); n > 0 && n < MinToken {
		errs = append(errs, errShortToken)
	}
	if (o.TLSCert == "") != (o.TLSKey == "") {
		errs = append(errs, errHalfPair)
	}
	if o.AuthAll && o.AdminToken == "" {
		errs = append(errs, errNoToken)
	}
	if o.AuthAll && o.InsecureAdmin {
		errs = append(errs, errOpenAuth)
	}
	return errors.Join(errs...)
}
