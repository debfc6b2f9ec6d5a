package artefact

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// prometheus is a running Prometheus with a configuration, a data folder and a port of
// its own.
type prometheus struct {
	url    string
	client *http.Client
}

// startPrometheus runs it until the test ends. It scrapes the targets (host:port) and
// evaluates the rules once in an interval.
func startPrometheus(t *testing.T, interval time.Duration, rules []byte, targets ...string) *prometheus {
	t.Helper()
	path, dir := tool(t, "prometheus"), t.TempDir()
	write(t, filepath.Join(dir, "rules.yml"), rules)
	write(t, filepath.Join(dir, "prometheus.yml"), fmt.Appendf(nil, `
global: {scrape_interval: %[1]dms, scrape_timeout: %[1]dms, evaluation_interval: %[1]dms}
rule_files: [rules.yml]
scrape_configs: [{job_name: lmcache-mp, static_configs: [{targets: ["%[2]s"]}]}]
`, interval.Milliseconds(), strings.Join(targets, `", "`)))
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), path,
		"--config.file", filepath.Join(dir, "prometheus.yml"), "--storage.tsdb.path", filepath.Join(dir, "data"), "--web.listen-address", "127.0.0.1:0")
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &prometheus{client: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}}
	address, text := make(chan string, 1), new(strings.Builder)
	var reading sync.WaitGroup
	reading.Go(func() {
		listening := regexp.MustCompile(`msg="Listening on" address=(\S+)`)
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			text.WriteString(lines.Text() + "\n")
			if m := listening.FindStringSubmatch(lines.Text()); m != nil {
				address <- m[1]
			}
		}
		close(address)
	})
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		reading.Wait()
		if err := cmd.Wait(); err != nil || t.Failed() {
			t.Logf("prometheus: %v\n%s", err, text)
		}
	})
	at, ok := <-address
	if !ok {
		t.Fatal("prometheus ended before it listened")
	}
	p.url = "http://" + at
	await(t, "prometheus to be ready", func() (string, bool) {
		body, err := p.get(t.Context(), "/-/ready", nil)
		return fmt.Sprint(body, err), err == nil
	})
	return p
}

// ruleHealth is what Prometheus says of each rule.
func (p *prometheus) ruleHealth(t *testing.T) map[string]string {
	t.Helper()
	var data struct {
		Groups []struct {
			Rules []struct{ Name, Health, LastError string } `json:"rules"`
		} `json:"groups"`
	}
	p.ask(t, "rules", nil, &data)
	all := map[string]string{}
	for _, g := range data.Groups {
		for _, r := range g.Rules {
			all[r.Name] = strings.TrimSpace(r.Health + " " + r.LastError)
		}
	}
	return all
}

// patience is how long the tests wait for what another process does.
const patience = 90 * time.Second

// await asks until the answer is yes. What it says last is reported.
func await(t *testing.T, what string, ask func() (says string, yes bool)) {
	t.Helper()
	again := time.NewTicker(250 * time.Millisecond)
	defer again.Stop()
	last, since, begin := "", time.Now(), time.Now()
	for {
		says, yes := ask()
		if yes {
			return
		}
		if says != last { // it gets on; on a busy machine one question may take as long as patience
			last, since = says, time.Now()
		}
		if time.Since(since) > patience || time.Since(begin) > 10*patience {
			t.Fatalf("waited %v for %s: %s", time.Since(begin), what, says)
		}
		select {
		case <-t.Context().Done():
			t.Fatal(t.Context().Err())
		case <-again.C:
		}
	}
}

func (p *prometheus) get(ctx context.Context, path string, values url.Values) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url+path+"?"+values.Encode(), http.NoBody)
	if err != nil {
		return "", err
	}
	res, err := p.client.Do(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", res.Status, body)
	}
	return string(body), err
}

// ask calls the HTTP API and decodes the data of its answer.
func (p *prometheus) ask(t *testing.T, path string, values url.Values, data any) {
	t.Helper()
	body, err := p.get(t.Context(), "/api/v1/"+path, values)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	answer := struct {
		Status string `json:"status"`
		Data   any    `json:"data"`
	}{Data: data}
	if err := json.Unmarshal([]byte(body), &answer); err != nil || answer.Status != "success" {
		t.Fatalf("%s: %v: %s", path, err, body)
	}
}

// sample is one series of an answer at one moment.
type sample struct {
	Metric map[string]string `json:"metric"`
	Value  [2]any            `json:"value"` // time, and the value as text
}

func (s sample) value() float64 {
	v, err := strconv.ParseFloat(s.Value[1].(string), 64)
	if err != nil {
		return math.NaN()
	}
	return v
}

// query evaluates an expression now.
func (p *prometheus) query(t *testing.T, expr string) []sample {
	t.Helper()
	var data struct {
		Result []sample `json:"result"`
	}
	p.ask(t, "query", url.Values{"query": {expr}}, &data)
	return data.Result
}

// hasData tells whether an expression gives at least one number.
func (p *prometheus) hasData(t *testing.T, expr string) bool {
	t.Helper()
	for _, s := range p.query(t, expr) {
		if !math.IsNaN(s.value()) {
			return true
		}
	}
	return false
}

// firing are the instances for which each alert fires.
func (p *prometheus) firing(t *testing.T) map[string]map[string]bool {
	t.Helper()
	var data struct {
		Alerts []struct {
			Labels map[string]string `json:"labels"`
			State  string            `json:"state"`
		} `json:"alerts"`
	}
	p.ask(t, "alerts", nil, &data)
	all := map[string]map[string]bool{}
	for _, a := range data.Alerts {
		if a.State != "firing" {
			continue
		}
		name := a.Labels["alertname"]
		if all[name] == nil {
			all[name] = map[string]bool{}
		}
		all[name][a.Labels["instance"]] = true
	}
	return all
}
