package main

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/lmcache-go/lmcache/internal/admin"
	"github.com/lmcache-go/lmcache/internal/cli"
)

// describeMore adds what an operator looks for when something is wrong: the process and
// its listeners, tenants, what became of calls to outer tiers, and workers.
func describeMore(r *cli.Report, s *admin.Status) {
	r.Section("server", "Server")
	r.Line("implementation", "Implementation", known(s.Implementation))
	r.Line("version", "Version", known(s.Version))
	r.Line("boot_id", "Boot id", known(s.BootID))
	r.Line("started_at", "Started at", known(s.StartedAt))
	r.Line("ready", "Ready", known(s.Ready))
	for _, name := range slices.Sorted(maps.Keys(s.Listeners)) {
		r.Line("listener_"+name, "Listener "+name, s.Listeners[name])
	}
	if m := s.Storage; m != nil {
		tenantSections(r, m)
		for i := range m.Adapters {
			breakerSection(r, &m.Adapters[i], i)
		}
	}
	for _, id := range slices.SortedFunc(maps.Keys(s.Instances), compareIDs) {
		workerSection(r, id, s.Instances[id])
	}
}

// tenantSections shows what each salt has in each tier.
func tenantSections(r *cli.Report, m *admin.Storage) {
	var l1 map[string]int64
	if m.L1 != nil {
		l1 = m.L1.BySalt
	}
	salts := slices.Collect(maps.Keys(l1))
	for i := range m.Adapters {
		salts = slices.AppendSeq(salts, maps.Keys(m.Adapters[i].BySalt))
	}
	slices.Sort(salts)
	for _, salt := range slices.Compact(salts) {
		shown := cmp.Or(salt, "_default")
		r.ListSection("tenants", "Tenant: "+shown)
		r.Line("cache_salt", "Cache salt", shown)
		r.Line("l1_bytes", "L1 (bytes)", l1[salt])
		for i := range m.Adapters {
			a := &m.Adapters[i]
			r.Line(fmt.Sprintf("l2_%d_bytes", i), fmt.Sprintf("%s#%d (bytes)", a.Type, i), a.BySalt[salt])
		}
	}
}

func breakerSection(r *cli.Report, a *admin.Adapter, i int) {
	name := fmt.Sprintf("%s#%d", a.Type, i)
	r.ListSection("breakers", "Calls of "+name)
	r.Line("adapter", "Adapter", name)
	r.Line("breaker_state", "Breaker", a.Breaker)
	r.Line("breaker_retry_in_seconds", "Tried again in (s)", known(a.RetryIn))
	r.Line("in_flight_calls", "Calls in flight", known(a.InFlight))
	r.Line("oldest_call_age_seconds", "Oldest call (s)", known(a.OldestCall))
	r.Line("bytes_written_total", "Written (bytes)", known(a.Written))
	r.Line("bytes_read_total", "Read (bytes)", known(a.Read))
	r.Line("corrupt_total", "Corrupt objects", known(a.Corrupt))
	var failures []string
	for _, why := range slices.Sorted(maps.Keys(a.Failures)) {
		failures = append(failures, fmt.Sprintf("%s %d", why, a.Failures[why]))
	}
	if len(failures) == 0 {
		failures = []string{"none"}
	}
	r.Line("failures_by_reason", "Failures", strings.Join(failures, ", "))
}

func workerSection(r *cli.Report, id string, w admin.Worker) {
	r.ListSection("workers", "Worker: "+id)
	r.Line("instance", "Instance", id)
	r.Line("model", "Model", w.Model)
	r.Line("rank", "Rank", fmt.Sprintf("%d of %d", w.Rank, w.WorldSize))
	r.Line("plane", "Copies by", w.Plane)
	r.Line("device", "Device", w.Device)
	r.Line("health", "Health", health(w.Healthy))
	r.Line("last_seen", "Last seen", known(w.LastSeen))
	r.Line("in_flight", "Transfers in flight", w.InFlight)
	r.Line("stores_finished", "Stores", fmt.Sprintf("%d of %d", w.StoresDone, w.Stores))
	r.Line("retrieves_finished", "Retrieves", fmt.Sprintf("%d of %d", w.RetrievesDone, w.Retrieves))
}
