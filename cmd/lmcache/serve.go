package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"syscall"

	"github.com/lmcache-go/lmcache"
	"github.com/lmcache-go/lmcache/internal/cli"
	"github.com/lmcache-go/lmcache/internal/cli/flags"
	httpserver "github.com/lmcache-go/lmcache/server/http"
)

// Run implements cli.Command: it serves until ctx ends, then drains.
func (c *serverCommand) Run(ctx context.Context, io *cli.IO) error {
	log, level := c.Log.Logger(io)
	o := c.options(log)
	if err := o.Validate(); err != nil {
		p := cli.NewProblems()
		p.Errors(err)
		return p
	}
	if c.DryRun {
		return c.plan(io)
	}
	s := &service{log: log, level: level, stdout: io.Stdout}
	end := showMemory(&cli.Output{Quiet: c.Upstream.Quiet}, io, &o.L1)
	err := s.start(ctx, c, o)
	end()
	switch {
	case err == nil:
		s.wait(ctx, c)
		log.Info("Shutting down server...")
	case ctx.Err() != nil && errors.Is(err, context.Cause(ctx)): // a signal during the start
		err = nil
		log.Info("Shutting down server before it has started...")
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.ShutdownTimeout.Duration())
	defer cancel()
	return errors.Join(err, s.stop(stop))
}

// options are the engine's, from the flags.
func (c *serverCommand) options(log *slog.Logger) lmcache.Options {
	o := lmcache.Options{
		ChunkTokens: c.ChunkSize, HashAlgorithm: c.HashAlgorithm, L1: l1Options(&c.L1), Logger: log,
		DrainTimeout: drainTimeout(&c.L1),
	}
	if c.HashSeed != nil {
		o.HashSeed = *c.HashSeed
	}
	return o
}

// service is what a running server consists of, in the order in which it starts.
type service struct {
	log    *slog.Logger
	level  *slog.LevelVar
	stdout io.Writer
	obs    *observability
	engine *lmcache.Engine
	front  *httpserver.Server
}

func (s *service) start(ctx context.Context, c *serverCommand, o lmcache.Options) (err error) {
	if s.obs, err = openObservability(&c.Observability, s.log, s.level); err != nil {
		return err
	}
	s.obs.abandoned = true // until it serves
	s.log = s.obs.log
	o.Logger = s.log
	if err = s.obs.open(&c.Observability, s.stdout); err != nil {
		return err
	}
	o.Bus = s.obs.bus
	if err = c.tiers.open(ctx, s.log, &o); err != nil {
		return err
	}
	if s.engine, err = lmcache.Open(ctx, o); err != nil {
		return errors.Join(startError(err), closeTiers(o.Tiers))
	}
	if err = s.obs.record(&c.Trace, storageConfig(o.ChunkTokens, o.L1, o.Tiers), s.log); err != nil {
		return err
	}
	if err = s.obs.watch(s.engine, o); err != nil {
		return err
	}
	listeners := make(map[string]string)
	var metrics http.Handler
	if s.obs.metrics != nil {
		srv, err := s.obs.metrics.Listen(ctx, c.PrometheusHost, c.PrometheusPort)
		if err != nil {
			return listenProblem("prometheus-host", "prometheus-port", c.PrometheusHost, c.PrometheusPort, err)
		}
		listeners["metrics"] = srv.URL()
		metrics = s.obs.metrics.Handler()
	}
	if !c.HTTP.Disable {
		build := readBuild()
		s.front, err = httpserver.Listen(ctx, httpserver.Options{
			Addr: net.JoinHostPort(c.HTTP.Host, strconv.Itoa(c.HTTP.Port)), Engine: s.engine, Cache: s.engine, Metrics: metrics, Level: s.level, LevelChanged: s.levelChanged,
			Logger: s.log, Version: build.Version, Commit: build.Commit, Listeners: listeners, Loops: s.obs.loops,
			AdminToken: c.HTTP.AdminToken(), AuthAll: c.HTTP.AuthAll, InsecureAdmin: c.HTTP.Insecure,
			TLSCert: c.HTTP.TLSCert, TLSKey: c.HTTP.TLSKey, AllowedHosts: c.HTTP.Allowed, NoAliases: !c.HTTP.Aliases, TierConfigs: c.tiers.shown(),
		})
		if err != nil {
			return listenProblem("http-host", "http-port", c.HTTP.Host, c.HTTP.Port, err)
		}
		listeners["http"] = s.front.URL()
	}
	s.obs.abandoned = false
	s.log.Info("LMCache cache server is running...")
	for _, name := range []string{"metrics", "http"} {
		if url := listeners[name]; url != "" {
			s.log.Info(fmt.Sprintf("%s: %s", name, url))
		}
	}
	return nil
}

// levelChanged lets the messages of events come and go with the level.
func (s *service) levelChanged() {
	if err := s.obs.logs.debug.Refresh(); err != nil {
		s.log.Error("messages of events cannot be logged", slog.Any("error", err))
	}
}

// wait returns when ctx ends. Meanwhile SIGHUP reads the files of the token and of the
// certificate again.
func (s *service) wait(ctx context.Context, c *serverCommand) {
	again := make(chan os.Signal, 1)
	signal.Notify(again, syscall.SIGHUP)
	defer signal.Stop(again)
	for {
		select {
		case <-ctx.Done():
			return
		case <-again:
			s.readFiles(&c.HTTP)
		}
	}
}

// readFiles replaces the administrator's token and the certificate by what their files
// have now. The old one stays if that is none.
func (s *service) readFiles(f *flags.HTTP) {
	if s.front == nil || f.TokenFile == "" && f.TLSCert == "" {
		s.log.Info("SIGHUP: there is no file to read again")
		return
	}
	if f.TokenFile != "" {
		token, err := flags.ReadToken(f.TokenFile)
		if err == nil {
			err = s.front.SetAdminToken(token)
		}
		s.tellRead("token", err)
	}
	if f.TLSCert != "" {
		s.tellRead("certificate", s.front.ReloadCertificate())
	}
}

// tellRead logs what came of reading a file again.
func (s *service) tellRead(what string, err error) {
	if err != nil {
		s.log.Error("SIGHUP: the "+what+" stays as it was", slog.Any("error", err))
		return
	}
	s.log.Info("SIGHUP: the " + what + " has been read again")
}

// listenProblem says which flag is to blame for an error to listen: that of the host, or
// that of the port, with what to do if another program has it.
func listenProblem(hostFlag, portFlag, host string, port int, err error) error {
	addr := net.JoinHostPort(host, strconv.Itoa(port))
	_, unknown := errors.AsType[*net.DNSError](err)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("--%s: %s is in use: stop what listens there, or choose another port (0: any free one)", portFlag, addr)
	case unknown || errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Errorf("--%s: %w", hostFlag, err)
	}
	return fmt.Errorf("--%s: %w", portFlag, err)
}

// stop ends everything in reverse order: front end, engine with the events of its
// teardown, bus, exporter.
func (s *service) stop(ctx context.Context) error {
	var errs []error
	if s.front != nil {
		errs = append(errs, s.front.Close(ctx))
	}
	if s.engine != nil {
		errs = append(errs, s.engine.Close(ctx))
	}
	if s.obs != nil {
		errs = append(errs, s.obs.close(ctx))
	}
	return errors.Join(errs...)
}

// plan prints what a start would open.
func (c *serverCommand) plan(io *cli.IO) error {
	r := cli.NewReport("LMCache Server Plan", 64)
	r.Line("chunk_size", "Chunk size (tokens)", c.ChunkSize)
	r.Line("hash_algorithm", "Hash algorithm", c.HashAlgorithm)
	r.Line("l1_bytes", "L1 (bytes)", c.L1.Bytes())
	r.Line("l1_memory", "L1 memory", memoryText(&c.L1))
	r.Line("eviction_policy", "Eviction policy", c.L1.Policy)
	r.Line("eviction_mode", "Eviction mode", c.L1.Mode)
	c.tiers.describe(r)
	at := func(on bool, scheme, host string, port int) any {
		if !on {
			return nil
		}
		return scheme + "://" + net.JoinHostPort(host, strconv.Itoa(port))
	}
	r.Line("metrics_url", "Metrics", at(c.Metrics(), "http", c.PrometheusHost, c.PrometheusPort))
	if c.Trace.Records() {
		r.Line("trace", "Trace recording", cmp.Or(c.TraceOutput, "a new file in "+os.TempDir()))
	}
	scheme := "http"
	if c.HTTP.TLSCert != "" {
		scheme = "https"
	}
	r.Line("http_url", "HTTP", at(!c.HTTP.Disable, scheme, c.HTTP.Host, c.HTTP.Port))
	_, err := fmt.Fprint(io.Stdout, r.Text())
	return err
}
