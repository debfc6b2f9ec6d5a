package artefact

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// parse reads a YAML file of the example.
func parse(t *testing.T, name string, to any) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(examples, name))
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(data, to); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

func TestExamplePrometheus(t *testing.T) {
	if out, ok := promtool(t, examples, nil, "check", "config", "prometheus.yml"); !ok {
		t.Error(out)
	}
	var config struct {
		Global struct {
			Scrape string `yaml:"scrape_interval"`
		} `yaml:"global"`
		Scrapes []struct {
			Job string `yaml:"job_name"`
		} `yaml:"scrape_configs"`
	}
	parse(t, "prometheus.yml", &config)
	if config.Global.Scrape != DefaultScrapeInterval.String() || len(config.Scrapes) != 1 || config.Scrapes[0].Job != "lmcache-mp" {
		t.Errorf("%+v: the rules expect job lmcache-mp, every %v", config, DefaultScrapeInterval)
	}
}

// Every part of the collector's pipelines is configured, nothing else is, the memory
// limiter comes first, and batches are made last.
func TestExampleCollector(t *testing.T) {
	var config struct {
		Receivers  map[string]any `yaml:"receivers"`
		Processors map[string]any `yaml:"processors"`
		Exporters  map[string]any `yaml:"exporters"`
		Service    struct {
			Pipelines map[string]struct {
				Receivers  []string `yaml:"receivers"`
				Processors []string `yaml:"processors"`
				Exporters  []string `yaml:"exporters"`
			} `yaml:"pipelines"`
		} `yaml:"service"`
	}
	parse(t, "otel-collector.yaml", &config)
	used := map[string]bool{}
	for name, p := range config.Service.Pipelines {
		if len(p.Processors) < 2 || p.Processors[0] != "memory_limiter" || p.Processors[len(p.Processors)-1] != "batch" {
			t.Errorf("%s: processors %v", name, p.Processors)
		}
		for _, part := range slices.Concat(p.Receivers, p.Processors, p.Exporters) {
			used[part] = true
		}
	}
	for _, parts := range []map[string]any{config.Receivers, config.Processors, config.Exporters} {
		for name := range parts {
			if !used[name] {
				t.Errorf("%s is not part of a pipeline", name)
			}
			delete(used, name)
		}
	}
	if len(used) > 0 {
		t.Errorf("not configured: %v", sorted(used))
	}
	for _, name := range []string{"traces", "metrics"} {
		if _, ok := config.Service.Pipelines[name]; !ok {
			t.Errorf("there is no pipeline for %s", name)
		}
	}
}

// What is mounted exists, ports are those of the documentation and open to this
// machine alone, and every service that is named is there.
func TestExampleCompose(t *testing.T) {
	var compose struct {
		Services map[string]struct {
			Image   string   `yaml:"image"`
			Volumes []string `yaml:"volumes"`
			Ports   []string `yaml:"ports"`
			Needs   []string `yaml:"depends_on"`
		} `yaml:"services"`
		Volumes map[string]any `yaml:"volumes"`
	}
	parse(t, "docker-compose.yml", &compose)
	var ports []string
	for name, s := range compose.Services {
		if _, tag, ok := strings.Cut(s.Image, ":"); !ok || tag == "latest" {
			t.Errorf("%s: image %s is not pinned", name, s.Image)
		}
		for _, v := range s.Volumes {
			from, _, _ := strings.Cut(v, ":")
			if file, ok := strings.CutPrefix(from, "./"); !ok {
				if _, ok := compose.Volumes[from]; !ok {
					t.Errorf("%s: there is no volume %s", name, from)
				}
			} else if _, err := os.Stat(filepath.Join(examples, file)); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		for _, n := range s.Needs {
			if _, ok := compose.Services[n]; !ok {
				t.Errorf("%s: there is no service %s", name, n)
			}
		}
		ports = append(ports, s.Ports...)
	}
	slices.Sort(ports)
	want := []string{"127.0.0.1:3000:3000", "127.0.0.1:3200:3200", "127.0.0.1:4320:4317", "127.0.0.1:9091:9090"}
	if !slices.Equal(ports, want) {
		t.Errorf("ports %q, want %q", ports, want)
	}
	var tempo map[string]any
	parse(t, "tempo.yaml", &tempo)
	if tempo["server"].(map[string]any)["http_listen_port"] != 3200 {
		t.Error("Tempo does not listen on port 3200")
	}
}

// Every file of the example is named in its README.
func TestExampleReadme(t *testing.T) {
	readme, err := os.ReadFile(filepath.Join(examples, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	files, err := os.ReadDir(examples)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if f.Name() != "README.md" && !strings.Contains(string(readme), "`"+f.Name()+"`") {
			t.Errorf("README.md does not name %s", f.Name())
		}
	}
	for _, a := range alerts(newPromQL("5m", false), RulesOptions{}) {
		if !strings.Contains(string(readme), "`"+a.name+"`") {
			t.Errorf("README.md does not name %s", a.name)
		}
	}
}
