package main

import (
	"context"

	"github.com/lmcache-go/lmcache/internal/artefact"
	"github.com/lmcache-go/lmcache/internal/cli"
	"github.com/lmcache-go/lmcache/observe"
)

// metricsCommands are the commands of "lmcache metrics".
type metricsCommands struct {
	Docs      metricsDocsCommand      `cmd:"" help:"Print the reference of all metrics."`
	Dashboard metricsDashboardCommand `cmd:"" help:"Print the Grafana dashboard."`
	Rules     metricsRulesCommand     `cmd:"" help:"Print recording and alert rules for Prometheus."`
	Diff      metricsDiffCommand      `cmd:"" help:"Compare the metrics of two builds or servers."`
}

// Help is what "lmcache metrics --help" says before the examples.
func (*metricsCommands) Help() string {
	return "Documents, dashboard and rules come from the table that the metrics themselves come from, so what this program prints fits what " +
		"this program exports. The four need no server, except for a URL given to diff."
}

// Examples implements cli.Helper.
func (*metricsCommands) Examples() []string {
	return []string{
		"lmcache metrics docs > METRICS.md",
		"lmcache metrics dashboard > dashboard.json     # Grafana: Dashboards, New, Import",
		"lmcache metrics rules > rules.yml              # prometheus.yml: rule_files",
		"lmcache metrics diff http://localhost:9090     # does a running server export what this version documents?",
	}
}

// metricsDocsCommand is "lmcache metrics docs".
type metricsDocsCommand struct {
	JSON bool `name:"json" group:"Output" help:"Print a JSON object, for programs and for metrics diff"`
}

// Help is the text before the examples.
func (*metricsDocsCommand) Help() string {
	return "The reference in Markdown: of each metric its names in Prometheus and OpenTelemetry, its kind, unit and labels, and what moves it."
}

// Examples implements cli.Helper.
func (*metricsDocsCommand) Examples() []string {
	return []string{"lmcache metrics docs", "lmcache metrics docs --json"}
}

// Run implements cli.Command.
func (c *metricsDocsCommand) Run(_ context.Context, std *cli.IO) error {
	if c.JSON {
		return reference().Write(std.Stdout)
	}
	return observe.WriteMetricsMarkdown(std.Stdout)
}

// reference is that of this program.
func reference() artefact.Reference { return artefact.NewReference(readBuild().short()) }

// metricsDashboardCommand is "lmcache metrics dashboard".
type metricsDashboardCommand struct{}

// Help is the text before the examples.
func (*metricsDashboardCommand) Help() string {
	return "Import it in Grafana 10.4 or later (Dashboards, New, Import), or provision it as examples/observability does. It asks which Prometheus " +
		"and which Tempo to read; without a Tempo only the last row stays empty."
}

// Examples implements cli.Helper.
func (*metricsDashboardCommand) Examples() []string {
	return []string{"lmcache metrics dashboard", "lmcache help metrics rules"}
}

// Run implements cli.Command.
func (*metricsDashboardCommand) Run(_ context.Context, std *cli.IO) error {
	return artefact.WriteDashboard(std.Stdout)
}

// metricsRulesCommand is "lmcache metrics rules".
type metricsRulesCommand struct {
	ScrapeInterval cli.Seconds `name:"scrape-interval" group:"Output" default:"5" min:"1" max:"300" help:"How often Prometheus scrapes the servers; a rule that watches a steady counter looks at three scrapes"`
}

// Help is the text before the examples.
func (*metricsRulesCommand) Help() string {
	return "Name the file under rule_files in prometheus.yml. Each alert carries its runbook: what it means, what to look at first, what to change. " +
		"The servers must be scraped by a job called lmcache-mp."
}

// Examples implements cli.Helper.
func (*metricsRulesCommand) Examples() []string {
	return []string{"lmcache metrics rules", "lmcache metrics rules --scrape-interval 15s"}
}

// Check implements cli.Checker.
func (c *metricsRulesCommand) Check(p *cli.Problems) {
	if err := c.options().Validate(); err != nil && !p.IsBad("scrape-interval") {
		p.Flag("scrape-interval", "must be a whole number of seconds")
	}
}

func (c *metricsRulesCommand) options() artefact.RulesOptions {
	return artefact.RulesOptions{ScrapeInterval: c.ScrapeInterval.Duration()}
}

// Run implements cli.Command.
func (c *metricsRulesCommand) Run(_ context.Context, std *cli.IO) error {
	return artefact.WriteRules(std.Stdout, c.options())
}
