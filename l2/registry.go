package l2

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"

	"github.com/lmcache-go/lmcache/internal/suggest"
)

// OpenFunc opens the adapter of a configuration. It does what needs the store or the
// machine; what is wrong with the configuration alone was found before.
type OpenFunc func(ctx context.Context, log *slog.Logger) (Adapter, error)

// Kind is a type of adapter that a configuration can name. The packages of adapters
// have functions that return theirs.
type Kind struct {
	Names   []string          // the first one and its aliases; all are accepted and kept as written
	Workers int               // default of num_workers; 0: DefaultWorkers
	Aliases map[string]string // other spellings of keys, common ones included

	// Limited says that its stores have a limit of their own, see [Limiter].
	Limited bool

	// Parse reads the keys of this type. The common ones are in s, which it may complete,
	// with the capacity for example. Problems are reported to f.
	Parse func(f *Fields, s *Settings) OpenFunc

	// Wrap, in place of Parse, makes a type that has another adapter behind it, under
	// the key inner. s begins with the settings of that one.
	Wrap func(f *Fields, s *Settings, inner OpenFunc) OpenFunc
}

// SerdeKind is a type of serde that a configuration can name.
type SerdeKind struct {
	Names []string
	Parse func(f *Fields, workers int) Serde // workers: conversions at a time
}

// Config is one adapter of a configuration, checked.
type Config struct {
	Settings

	// Shown is the configuration in effect, with secrets masked. It is for status pages.
	Shown map[string]any

	// Warnings are sentences about what will work in a way that may not be meant.
	Warnings []string

	open OpenFunc
}

// Open opens the adapter. log is for what it finds out at work; nil: no logs.
func (c *Config) Open(ctx context.Context, log *slog.Logger) (Adapter, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	a, err := c.open(ctx, log)
	if err != nil {
		return nil, err
	}
	if s, ok := c.Serde.(Logging); ok {
		s.SetLogger(log)
	}
	return a, nil
}

// ConfigError is one problem of a configuration.
type ConfigError struct {
	Adapter int    // 1 is the first
	Key     string // path, such as eviction.trigger_watermark; empty: the adapter as a whole
	Text    string // what is wrong; no secret is in it
}

// Error names the adapter, the key and the problem.
func (e *ConfigError) Error() string {
	return fmt.Sprintf("l2: adapter %d: %s", e.Adapter, e.Message())
}

// Message is the problem and its key, without the adapter.
func (e *ConfigError) Message() string {
	if e.Key == "" {
		return e.Text
	}
	return e.Key + ": " + e.Text
}

// Registry holds the types that a program offers. It is filled by the program, then
// read; there is none by default.
type Registry struct {
	kinds  map[string]*Kind
	serdes map[string]*SerdeKind
}

// NewRegistry returns a registry without types.
func NewRegistry() *Registry {
	return &Registry{kinds: map[string]*Kind{}, serdes: map[string]*SerdeKind{}}
}

// Register adds types. A name that is there already is an error.
func (r *Registry) Register(kinds ...Kind) error {
	var errs []error
	for _, k := range kinds {
		if (k.Parse == nil) == (k.Wrap == nil) {
			errs = append(errs, fmt.Errorf("l2: register %v: it needs one of Parse and Wrap", k.Names))
			continue
		}
		errs = append(errs, addAll(r.kinds, k.Names, &k))
	}
	return errors.Join(errs...)
}

// RegisterSerde adds types of serdes. A name that is there already is an error.
func (r *Registry) RegisterSerde(serdes ...SerdeKind) error {
	var errs []error
	for _, k := range serdes {
		if k.Parse == nil {
			errs = append(errs, fmt.Errorf("l2: register %v: it needs Parse", k.Names))
			continue
		}
		errs = append(errs, addAll(r.serdes, k.Names, &k))
	}
	return errors.Join(errs...)
}

func addAll[T any](m map[string]*T, names []string, v *T) error {
	var errs []error
	if len(names) == 0 {
		errs = append(errs, errors.New("l2: register: a type without a name"))
	}
	for _, name := range names {
		if _, twice := m[name]; twice {
			errs = append(errs, fmt.Errorf("l2: register: %q is there already", name))
			continue
		}
		m[name] = v
	}
	return errors.Join(errs...)
}

// Names lists the registered types of adapters, aliases included, in order.
func (r *Registry) Names() []string { return slices.Sorted(maps.Keys(r.kinds)) }

// upstream lists the types of LMCache. Those that are not registered are told apart
// from names that nobody knows.
func upstream() []string {
	return []string{
		"nixl_store", "nixl_store_dynamic", "raw_block", "dax", "mooncake_store", "plugin", "native_plugin", "aerospike", "bigtable", "gcs",
		"hfbucket", "hf3fs", "sagemaker-hyperpod", "fs", "fs_native", "resp", "redis", "valkey", "s3", "mock", "fault_inject",
	}
}

// Parse reads the JSON object of each adapter, in their order, and reports all
// problems of all of them, each a [*ConfigError], joined. env looks environment
// variables up that stand for keys; nil: there are none.
func (r *Registry) Parse(texts []string, env func(string) (string, bool)) ([]Config, error) {
	var configs []Config
	var errs []error
	for i, text := range texts {
		p := &parse{registry: r, env: env}
		c := p.adapter(text)
		for _, e := range p.problems {
			e.Adapter = i + 1
			errs = append(errs, e)
		}
		configs = append(configs, c)
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return configs, nil
}

// parse is the work on one adapter.
type parse struct {
	registry *Registry
	env      func(string) (string, bool)
	problems []*ConfigError
	warnings []string
}

func (p *parse) bad(key, format string, args ...any) {
	p.problems = append(p.problems, &ConfigError{Key: key, Text: fmt.Sprintf(format, args...)})
}

func (p *parse) adapter(text string) Config {
	values, err := parseObject(text)
	if err != nil {
		p.bad("", "%v", err)
		return Config{}
	}
	f := p.fields("", values)
	s, open := p.kind(f, nil)
	return Config{Settings: s, Shown: f.shown, Warnings: p.warnings, open: open}
}

// kind reads one adapter object, and the one inside it before.
func (p *parse) kind(f *Fields, around *Kind) (Settings, OpenFunc) {
	name := f.Need("type")
	if name == "" {
		return Settings{}, nil // without a type no other key can be judged
	}
	k, ok := p.registry.kinds[name]
	switch {
	case ok && (around == nil || k.Wrap == nil):
	case ok:
		f.Bad("type", "%q inside of %q: only one adapter may be around another", name, around.Names[0])
		return Settings{}, nil
	case slices.Contains(upstream(), name):
		f.Bad("type", "%q is known to LMCache, not available here (%s)", name, strings.Join(p.registry.Names(), ", "))
		return Settings{}, nil
	default:
		hint := ""
		if n := suggest.Nearest(name, p.registry.Names()); n != "" {
			hint = fmt.Sprintf("; did you mean %q?", n)
		}
		f.Bad("type", "unknown adapter type %q (%s)%s", name, strings.Join(p.registry.Names(), ", "), hint)
		return Settings{}, nil
	}
	for alias, of := range k.Aliases {
		f.alias(alias, of)
	}
	f.alias("load_concurrency", "num_workers")
	base := Settings{Workers: or(k.Workers, DefaultWorkers)}
	var inner OpenFunc
	if k.Wrap != nil {
		if sub, ok := f.Object("inner"); ok {
			base, inner = p.kind(sub, k)
		} else if !f.Has("inner") {
			f.Bad("inner", "is required: the adapter that is behind this one")
		}
	}
	s := p.common(f, base)
	s.Type = name
	var open OpenFunc
	if k.Wrap != nil {
		open = k.Wrap(f, &s, inner)
	} else {
		open = k.Parse(f, &s)
	}
	if s.Eviction != nil && s.Capacity == 0 && !k.Limited && around == nil && s.Eviction.Policy == PolicyLRU {
		p.warnings = append(p.warnings, "eviction: without a capacity nothing is evicted: the store is not bounded by it")
	}
	f.finish()
	if f.transient && open != nil {
		return s, transientOf(open)
	}
	return s, open
}

// transientOf opens adapters whose objects do not outlive them.
func transientOf(open OpenFunc) OpenFunc {
	return func(ctx context.Context, log *slog.Logger) (Adapter, error) {
		a, err := open(ctx, log)
		if err != nil {
			return nil, err
		}
		return Transient(ctx, a), nil
	}
}
