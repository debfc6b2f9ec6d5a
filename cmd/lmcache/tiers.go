package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/lmcache-go/lmcache"
	"github.com/lmcache-go/lmcache/internal/cli"
	"github.com/lmcache-go/lmcache/internal/cli/flags"
	"github.com/lmcache-go/lmcache/internal/machine"
	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/storage"
)

// tiers are the outer tiers of a command, as its flags describe them.
type tiers struct {
	flags.L2
	Configs []l2.Config `kong:"-"`
}

// check reads the adapters and reports everything that is wrong with them.
func (t *tiers) check(p *cli.Problems, l1 *flags.L1) {
	t.L2.Check(p, l1)
	t.Configs = l2Configs(p, t.Adapters)
	for i := range t.Configs {
		warnTimeouts(p, i, &t.Configs[i], l1.ReadTTL.Duration())
	}
}

// warnTimeouts tells of calls that outlive the leases of what they move.
func warnTimeouts(p *cli.Problems, i int, c *l2.Config, ttl time.Duration) {
	d := c.Settings.WithDefaults().Timeouts
	if longest := max(d.Store, d.Load); longest > ttl {
		p.Warn("--l2-adapter %d (%s): a call may take %v, longer than --l1-read-ttl-seconds, %v", i+1, c.Type, longest, ttl)
	}
}

// open opens the adapters, all or none, and sets the options of the engine that gets
// them and closes them.
func (t *tiers) open(ctx context.Context, log *slog.Logger, o *lmcache.Options) error {
	if len(t.Configs) == 0 {
		return nil
	}
	var so storage.Options
	if err := t.control(&so); err != nil {
		return err
	}
	var list []storage.Tier
	for i := range t.Configs {
		c := &t.Configs[i]
		a, err := c.Open(ctx, log.With("adapter_index", i, "l2_name", c.Type))
		if err != nil {
			return errors.Join(fmt.Errorf("--l2-adapter %d (%s): %w", i+1, c.Type, err), closeTiers(list))
		}
		list = append(list, storage.Tier{Adapter: a, Settings: c.Settings})
		warnSpace(ctx, log, i, c)
	}
	o.Tiers, o.Store, o.Prefetch = list, so.Store, so.Prefetch
	return nil
}

// warnSpace tells of a folder that can never hold what its capacity says: what is left of
// the disk bounds it then.
func warnSpace(ctx context.Context, log *slog.Logger, i int, c *l2.Config) {
	dir, ok := c.Shown["base_path"].(string)
	if !ok || c.Settings.Capacity <= 0 {
		return
	}
	if s, err := machine.ReadSpace(dir); err == nil && c.Settings.Capacity > s.Total {
		log.WarnContext(ctx, fmt.Sprintf("--l2-adapter %d (%s): max_capacity_gb is %.1f, but the file system of %s has %.1f only: max_capacity_gb bounds nothing",
			i+1, c.Type, float64(c.Settings.Capacity)/(1<<30), dir, float64(s.Total)/(1<<30)))
	}
}

// modelled sets the options of a manager in virtual time: its tiers have no adapters.
func (t *tiers) modelled(o *storage.Options) error {
	o.Tiers = nil
	for i := range t.Configs {
		o.Tiers = append(o.Tiers, storage.Tier{Settings: t.Configs[i].Settings})
	}
	return t.control(o)
}

// control sets the options of the controllers.
func (t *tiers) control(o *storage.Options) error {
	if len(t.Configs) == 0 {
		return nil
	}
	store, err := storage.StorePolicies().New(t.StorePolicy)
	if err != nil {
		return err
	}
	prefetch, err := storage.PrefetchPolicies().New(t.PrefetchPolicy)
	if err != nil {
		return err
	}
	o.Store = storage.StoreOptions{Policy: store, MaxInflight: int64(t.StoreBytes), MaxBacklog: t.StoreBacklog}
	o.Prefetch = storage.PrefetchControl{
		Policy: prefetch, MaxInflight: t.PrefetchInFlight, MaxBytes: int64(t.PrefetchBytes), Timeout: t.Timeout(), IgnoreL1: t.DisableL1,
	}
	return nil
}

// startError names the flag of a tier that did not start.
func startError(err error) error {
	if e, ok := errors.AsType[*storage.StartError](err); ok {
		return fmt.Errorf("--l2-adapter %d (%s): %w", e.Tier+1, e.Name, e.Err)
	}
	return err
}

// closeTiers closes the adapters of tiers that no engine has taken over. An adapter
// may be closed twice.
func closeTiers(list []storage.Tier) error {
	var errs []error
	for _, t := range list {
		errs = append(errs, t.Adapter.Close())
	}
	return errors.Join(errs...)
}

// describe adds a line for each tier to a plan.
func (t *tiers) describe(r *cli.Report) {
	for i, c := range t.Configs {
		text, err := json.Marshal(c.Shown)
		if err != nil {
			text = []byte(c.Type)
		}
		r.Line(fmt.Sprintf("l2_adapter_%d", i), fmt.Sprintf("L2 adapter %d", i+1), string(text))
	}
}

// shown is the configuration of each tier for people, secrets masked.
func (t *tiers) shown() []map[string]any {
	list := make([]map[string]any, len(t.Configs))
	for i := range t.Configs {
		list[i] = t.Configs[i].Shown
	}
	return list
}
