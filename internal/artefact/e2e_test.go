package artefact

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lmcache-go/lmcache"
	"github.com/lmcache-go/lmcache/internal/leak"
	"github.com/lmcache-go/lmcache/internal/mooncake"
	"github.com/lmcache-go/lmcache/internal/workload"
)

// inTime are rules for a test that lasts a minute: nothing is held, and yesterday was
// five seconds ago.
func inTime(rules string) string {
	rules = regexp.MustCompile(`(?m)^ +for: .*\n`).ReplaceAllString(rules, "")
	return strings.NewReplacer("offset 1d", "offset 5s", "[7d]", "[30s]").Replace(rules)
}

// chosen is an expression of the dashboard as Grafana sends it, with all values of
// its variables chosen.
func chosen(expr string) string {
	return strings.NewReplacer("$__rate_interval", "30s", "$__range", "1m", "$instance", ".*", "$model", ".*", "$salt", ".*", "$adapter", ".*").Replace(expr)
}

// REQ-O57, REQ-O58, REQ-O59: a real Prometheus scrapes an engine at work and a server
// in trouble. Every expression of the dashboard and of the rules gives data; what is
// wrong fires for who has it and for nobody else.
func TestREQ_O59_Prometheus(t *testing.T) {
	leak.Check(t)
	tool(t, "prometheus")
	requests, err := workload.Load(mooncake.Builtin(), workload.DefaultBlockTokens, 0)
	if err != nil {
		t.Fatal(err)
	}
	well, sick := newNode(t, 50_000), newNode(t, 8)
	ctx, cancel := context.WithCancel(t.Context())
	var traffic sync.WaitGroup
	stop := func() { cancel(); traffic.Wait() }
	defer stop()
	traffic.Go(func() {
		if err := well.work(ctx, requests); err != nil {
			t.Error(err)
		}
	})
	traffic.Go(func() { well.play(ctx) })
	release := trouble(t, sick)
	defer release()

	var rules bytes.Buffer
	if err := WriteRules(&rules, RulesOptions{}); err != nil {
		t.Fatal(err)
	}
	p := startPrometheus(t, time.Second, []byte(inTime(rules.String())), target(well), target(sick), nobody)
	t.Run("REQ_O57_Expressions", func(t *testing.T) { everythingHasData(t, p) })
	t.Run("REQ_O58_Rules", func(t *testing.T) { rulesAreEvaluated(t, p) })
	t.Run("REQ_O58_Firing", func(t *testing.T) { troubleFires(t, p, target(well), target(sick)) })
	t.Run("REQ_O59_CheckMetrics", func(t *testing.T) { metricsAreClean(t, well, sick) })
}

// nobody is a target where nothing listens.
const nobody = "127.0.0.1:1"

// target is where a node is scraped.
func target(n *node) string {
	return strings.TrimSuffix(strings.TrimPrefix(n.server.URL(), "http://"), "/metrics")
}

// trouble makes a server whose bus stands and overflows, with a subscriber that panics.
func trouble(t *testing.T, n *node) (release func()) {
	t.Helper()
	s := stuck{make(chan struct{})}
	for _, subscribe := range []func() error{
		func() error { _, err := n.bus.Subscribe(clumsy{}); return err },
		func() error { _, err := n.bus.Subscribe(s); return err },
		func() error { return n.watch(nil) },
	} {
		if err := subscribe(); err != nil {
			t.Fatal(err)
		}
	}
	now := time.Now()
	publish(n.bus, now, lmcache.SessionEnding{RequestID: "r"})
	if err := n.bus.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	publish(n.bus, now, lmcache.RequestStarted{SessionID: "r"})
	var once sync.Once
	flood, end := context.WithCancel(t.Context())
	var flooding sync.WaitGroup
	flooding.Go(func() {
		tick := time.NewTicker(200 * time.Millisecond)
		defer tick.Stop()
		for {
			for range 20 {
				publish(n.bus, time.Now(), lmcache.LookupAbandoned{Reason: "replaced"})
			}
			select {
			case <-flood.Done():
				return
			case <-tick.C:
			}
		}
	})
	return func() {
		once.Do(func() {
			end()
			flooding.Wait()
			close(s.goOn)
		})
	}
}

// everythingHasData evaluates all expressions until each has given data.
func everythingHasData(t *testing.T, p *prometheus) {
	t.Helper()
	waiting := map[string]string{}
	for where, expr := range expressions(rows(newPromQL("$__rate_interval", true))) {
		if !strings.HasPrefix(where, "alert ") {
			waiting[where] = chosen(expr)
		}
	}
	q := newPromQL("5m", false)
	for _, a := range alerts(q, RulesOptions{}) { // an alert's expression gives data only while it fires
		waiting["value of "+a.name] = inTime(a.value)
	}
	for _, r := range recordings(q) {
		waiting["recorded "+r.name] = r.name
	}
	total := len(waiting)
	await(t, "data of every expression", func() (string, bool) {
		var missing []string
		for _, where := range sorted(waiting) {
			if p.hasData(t, waiting[where]) {
				delete(waiting, where)
			} else {
				missing = append(missing, fmt.Sprintf("%s: %s", where, waiting[where]))
			}
		}
		return fmt.Sprintf("%d of %d lack it\n%s", len(missing), total, strings.Join(missing, "\n")), len(missing) == 0
	})
	t.Logf("%d expressions gave data", total)
}

// rulesAreEvaluated waits until Prometheus finds no fault with any rule.
func rulesAreEvaluated(t *testing.T, p *prometheus) {
	t.Helper()
	q := newPromQL("5m", false)
	want := len(recordings(q)) + len(alerts(q, RulesOptions{}))
	await(t, "all rules to be evaluated", func() (string, bool) {
		health := p.ruleHealth(t)
		ok := len(health) == want
		for _, h := range health {
			ok = ok && h == "ok"
		}
		return fmt.Sprint(health), ok
	})
}

// troubleFires waits for the alerts of what is wrong, each where it is wrong.
func troubleFires(t *testing.T, p *prometheus, well, sick string) {
	t.Helper()
	want := map[string]string{
		"LMCacheL1AllocationFailures": well, // its L1 is smaller than a prompt
		"LMCacheL1ReadFailures":       well,
		"LMCacheEventsDropped":        sick,
		"LMCacheEventBusLag":          sick,
		"LMCacheSubscriberExceptions": sick,
		"LMCacheLoopStale":            sick, // its dispatcher stands
		"LMCacheTraceRecordsDropped":  well,
		"LMCacheL2LoadsGrowing":       well,
		"LMCacheEvictionLoopFlat":     sick, // nothing ticks
		"LMCacheDown":                 nobody,
	}
	for _, name := range sorted(want) {
		await(t, name+" to fire for "+want[name], func() (string, bool) {
			firing := p.firing(t)
			return fmt.Sprint(firing), firing[name][want[name]]
		})
	}
	delete(want, "LMCacheDown") // what a busy machine makes fire elsewhere
	delete(want, "LMCacheEventBusLag")
	for name, of := range p.firing(t) {
		for instance := range of {
			if where, ours := want[name]; ours && instance != where {
				t.Errorf("%s fires for %s too", name, instance)
			}
		}
	}
}

// metricsAreClean lets promtool look for bad names and help texts in real scrapes.
func metricsAreClean(t *testing.T, nodes ...*node) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for _, n := range nodes {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, n.server.URL(), http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		res, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		scrape, err := io.ReadAll(res.Body)
		if err = firstError(err, res.Body.Close()); err != nil {
			t.Fatal(err)
		}
		if out, ok := promtool(t, t.TempDir(), scrape, "check", "metrics"); !ok || out != "" {
			t.Errorf("promtool check metrics:\n%s", out)
		}
	}
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
