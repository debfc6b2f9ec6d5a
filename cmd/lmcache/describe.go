package main

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/lmcache-go/lmcache/internal/admin"
	"github.com/lmcache-go/lmcache/internal/cli"
	"github.com/lmcache-go/lmcache/internal/cli/flags"
)

// describeKVCacheCommand is "lmcache describe kvcache".
type describeKVCacheCommand struct {
	flags.Client `kong:"embed,set='client_url=http://localhost:8080',set='client_url_note=the HTTP front end'"`
	asking

	Verbose bool `name:"verbose" group:"Client" help:"Also the process and its listeners, tenants, calls to outer tiers and workers"`
}

// Examples implements cli.Helper.
func (*describeKVCacheCommand) Examples() []string {
	return []string{"lmcache describe kvcache", "lmcache describe kvcache --timeout 5 --format json", "lmcache describe kvcache --verbose"}
}

// Check implements cli.Checker.
func (c *describeKVCacheCommand) Check(p *cli.Problems) {
	c.Client.Check(p)
	c.Output.Check(p)
}

// Run implements cli.Command.
func (c *describeKVCacheCommand) Run(ctx context.Context, std *cli.IO) error {
	return c.with(ctx, &c.Client, func(a *admin.Client) error {
		s, err := a.Status(ctx)
		if err != nil {
			return err
		}
		r := describe(s, a.URL())
		if c.Verbose {
			describeMore(r, s)
		}
		return c.Emit(std.Stdout, r, nil)
	})
}

// describe is the report on a server.
func describe(s *admin.Status, url string) *cli.Report {
	r := cli.NewReport("LMCache KV Cache Service", cli.WidthDescribe)
	var l1 admin.L1
	var policy *string
	var adapters []admin.Adapter
	if m := s.Storage; m != nil {
		adapters = m.Adapters
		if m.L1 != nil {
			l1 = *m.L1
		}
		if m.Policy != nil {
			policy = m.Policy.Name
		}
	}
	r.Line("health", "Health", health(s.Healthy))
	r.Line("url", "URL", url)
	r.Line("engine_type", "Engine type", known(s.EngineType))
	r.Line("chunk_size", "Chunk size", known(s.ChunkSize))
	r.Line("l1_capacity_gb", "L1 capacity (GB)", known(gb(l1.Total)))
	r.Line("l1_used_gb", "L1 used (GB)", l1Used(&l1))
	r.Line("eviction_policy", "Eviction policy", known(policy))
	r.Line("cached_objects", "Cached objects", known(l1.Objects))
	r.Line("active_sessions", "Active sessions", known(s.Sessions))
	models := modelsOf(s.Contexts)
	for i := range models {
		models[i].section(r)
	}
	for _, h := range hostsOf(s.Hosts) {
		h.section(r)
	}
	for i := range models {
		for n := range models[i].Layout.Groups {
			kernelSection(r, models[i].Model, &models[i].Layout.Groups[n], n)
		}
	}
	for i := range adapters {
		adapterSection(r, &adapters[i])
	}
	return r
}

func health(ok bool) string {
	if ok {
		return "OK"
	}
	return "FAIL"
}

// known is a value, or nil if there is none.
func known[T any](v *T) any {
	if v == nil {
		return nil
	}
	return *v
}

func gb(bytes *float64) *float64 {
	if bytes == nil {
		return nil
	}
	v := *bytes / (1 << 30)
	return &v
}

func l1Used(l *admin.L1) any {
	if l.Used == nil || l.Total == nil {
		return nil
	}
	percent := 0.0
	if *l.Total > 0 {
		percent = 100 * *l.Used / *l.Total
	}
	return fmt.Sprintf("%.2f (%.1f%%)", *gb(l.Used), percent)
}

// instances are workers of one model and world size.
type instances[T any] struct {
	Model     string
	WorldSize int
	ids       []string
	first     T
}

// merge puts workers of one model and world size together, in order of model and size.
func merge[T any](workers map[string]T, of func(T) (model string, worldSize int)) []instances[T] {
	ids := slices.SortedFunc(maps.Keys(workers), compareIDs)
	var list []instances[T]
	for _, id := range ids {
		model, size := of(workers[id])
		i := slices.IndexFunc(list, func(m instances[T]) bool { return m.Model == model && m.WorldSize == size })
		if i < 0 {
			i = len(list)
			list = append(list, instances[T]{Model: model, WorldSize: size, first: workers[id]})
		}
		list[i].ids = append(list[i].ids, id)
	}
	slices.SortStableFunc(list, func(a, b instances[T]) int {
		return cmp.Or(cmp.Compare(a.Model, b.Model), cmp.Compare(a.WorldSize, b.WorldSize))
	})
	return list
}

// compareIDs orders numbers as such.
func compareIDs(a, b string) int {
	x, errX := strconv.ParseUint(a, 10, 64)
	y, errY := strconv.ParseUint(b, 10, 64)
	if errX == nil && errY == nil {
		return cmp.Compare(x, y)
	}
	return strings.Compare(a, b)
}

type modelSection struct {
	instances[admin.Context]
	Layout *admin.Layout
}

func modelsOf(contexts map[string]admin.Context) []modelSection {
	var list []modelSection
	for _, m := range merge(contexts, func(c admin.Context) (string, int) { return c.Model, c.WorldSize }) {
		list = append(list, modelSection{m, &m.first.Layout})
	}
	return list
}

func (m *modelSection) section(r *cli.Report) {
	r.ListSection("models", "Model: "+m.Model)
	r.Line("model", "Model", m.Model)
	r.Line("world_size", "World size", m.WorldSize)
	r.Line("gpu_ids", "GPU IDs", strings.Join(m.ids, ", "))
	r.Line("num_layers", "Num layers", known(m.Layout.Layers))
	r.Line("num_blocks", "Num blocks", known(m.Layout.Blocks))
	r.Line("cache_size_per_token", "Cache size per token (bytes)", known(m.Layout.PerToken))
}

type hostSection struct{ instances[admin.Host] }

func hostsOf(hosts map[string]admin.Host) []hostSection {
	var list []hostSection
	for _, h := range merge(hosts, func(h admin.Host) (string, int) { return h.Model, h.WorldSize }) {
		list = append(list, hostSection{h})
	}
	return list
}

func (h hostSection) section(r *cli.Report) {
	r.ListSection("models", "Model: "+h.Model)
	r.Line("model", "Model", h.Model)
	r.Line("world_size", "World size", h.WorldSize)
	r.Line("instances", "Instances", strings.Join(h.ids, ", "))
	r.Line("block_size", "Block size", known(h.first.BlockSize))
	r.Line("is_mla", "MLA", known(h.first.MLA))
}

func kernelSection(r *cli.Report, model string, k *admin.Kernel, n int) {
	index := n
	if k.Index != nil {
		index = *k.Index
	}
	r.ListSection("kernel_groups", fmt.Sprintf("Kernel group %d (%s)", index, model))
	r.Line("model", "Model", model)
	r.Line("kernel_group_idx", "Kernel group index", index)
	r.Line("engine_group_idx", "Engine group index", known(k.EngineGroup))
	r.Line("object_group_idx", "Object group index", known(k.ObjectGroup))
	r.Line("num_layers", "Num layers", known(k.Layers))
	r.Line("tokens_per_block", "Tokens per block", known(k.TokensPer))
	r.Line("slots_per_block", "Slots per block", known(k.SlotsPer))
	r.Line("dtype", "Dtype", known(k.DType))
	r.Line("is_mla", "MLA", known(k.MLA))
	r.Line("attention_backend", "Attention backend", known(k.Attention))
	r.Line("engine_kv_shape", "Engine KV shape", known(k.Shape))
	r.Line("engine_kv_concrete_shape", "Engine KV tensor shape", known(k.Concrete))
}

func adapterSection(r *cli.Report, a *admin.Adapter) {
	r.ListSection("l2_adapters", "L2: "+a.Type)
	r.Line("type", "Type", a.Type)
	r.Line("health", "Health", health(a.Healthy))
	if a.Backend != nil {
		r.Line("backend", "Backend", *a.Backend)
	}
	if a.BasePath != nil {
		r.Line("base_path", "Base path", *a.BasePath)
	}
	if a.Stored != nil {
		r.Line("stored_objects", "Stored objects", *a.Stored)
	}
	if a.Used != nil && a.Capacity != nil && *a.Capacity > 0 {
		r.Line("used", "Used", fmt.Sprintf("%.1f GB / %.1f GB (%.1f%%)", *gb(a.Used), *gb(a.Capacity), 100**a.Used / *a.Capacity))
	}
	if a.Used != nil && a.Capacity != nil && *a.Capacity == 0 && a.Unbound != nil {
		limit := "no limit"
		if !*a.Unbound {
			limit = "no room"
		}
		r.Line("used", "Used", fmt.Sprintf("%.1f GB (%s)", *gb(a.Used), limit))
	}
	if a.PoolUsed != nil && a.PoolSize != nil && *a.PoolSize > 0 {
		r.Line("pool_used", "Pool used", fmt.Sprintf("%d / %d (%.1f%%)", *a.PoolUsed, *a.PoolSize, 100*float64(*a.PoolUsed)/float64(*a.PoolSize)))
	}
	if a.Breaker != "" && a.Breaker != "closed" {
		r.Line("breaker", "Breaker", a.Breaker)
	}
}
