// Package artefact makes what is derived from the registry of metrics in package
// observe: the reference in Markdown and in JSON, a Grafana dashboard, and recording
// and alert rules for Prometheus. It also compares the metrics of two builds.
//
// Panels and rules are tables. They name metrics as the registry does, and a small
// builder (see promql) writes the PromQL: it knows from the registry which suffix a
// metric has in a scrape and which labels its series carry, so that a query cannot
// group by a label that does not exist, and every query is filtered by those of the
// dashboard's variables that apply to it. A name that is not in the registry panics;
// the tests make every artefact.
//
// Everything here is a function of the binary alone: no clock, no environment, the
// same bytes every time. Committed copies are compared with it by tests.
package artefact
