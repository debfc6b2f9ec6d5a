package export_test

import (
	"context"
	"fmt"
	"math"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	collogs "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	colmetrics "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	coltrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	logspb "go.opentelemetry.io/proto/otlp/logs/v1"
	metrics "go.opentelemetry.io/proto/otlp/metrics/v1"
	resource "go.opentelemetry.io/proto/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/lmcache-go/lmcache/observe"
)

// collector is a real OTLP receiver over gRPC that keeps what it gets.
type collector struct {
	colmetrics.UnimplementedMetricsServiceServer
	addr string
	srv  *grpc.Server
	done chan struct{}
	mu   struct {
		sync.Mutex
		metrics []*metrics.ResourceMetrics // of the latest push
		spans   []*tracepb.ResourceSpans   // all
		logs    []*logspb.ResourceLogs     // all
		hold    chan struct{}              // not nil: calls wait for its end, or for their own
		header  []string                   // x-tenant of the latest call
		arrived chan struct{}              // ended by the next call
	}
}

// newCollector listens on addr; empty is a free port of the loopback.
func newCollector(t testing.TB, addr string) *collector {
	t.Helper()
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	c := &collector{addr: ln.Addr().String(), srv: grpc.NewServer(), done: make(chan struct{})}
	c.mu.arrived = make(chan struct{})
	colmetrics.RegisterMetricsServiceServer(c.srv, c)
	coltrace.RegisterTraceServiceServer(c.srv, traceService{c: c})
	collogs.RegisterLogsServiceServer(c.srv, logsService{c: c})
	go func() {
		defer close(c.done)
		if err := c.srv.Serve(ln); err != nil {
			t.Errorf("collector: %v", err)
		}
	}()
	t.Cleanup(c.stop)
	return c
}

func (c *collector) stop() {
	c.srv.Stop()
	<-c.done
}

// hold lets calls hang until the returned function is called.
func (c *collector) hold() (release func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	ch := make(chan struct{})
	c.mu.hold = ch
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.mu.hold = nil
		close(ch)
	}
}

// next ends when a call has arrived after this one.
func (c *collector) next() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mu.arrived
}

func (c *collector) enter(ctx context.Context) error {
	c.mu.Lock()
	c.mu.header = metadata.ValueFromIncomingContext(ctx, "x-tenant")
	close(c.mu.arrived)
	c.mu.arrived = make(chan struct{})
	hold := c.mu.hold
	c.mu.Unlock()
	if hold == nil {
		return nil
	}
	select {
	case <-hold:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (c *collector) Export(ctx context.Context, req *colmetrics.ExportMetricsServiceRequest) (*colmetrics.ExportMetricsServiceResponse, error) {
	if err := c.enter(ctx); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.metrics = req.GetResourceMetrics()
	return &colmetrics.ExportMetricsServiceResponse{}, nil
}

// traceService is another service of the collector: each has a method Export.
type traceService struct {
	coltrace.UnimplementedTraceServiceServer
	c *collector
}

func (s traceService) Export(ctx context.Context, req *coltrace.ExportTraceServiceRequest) (*coltrace.ExportTraceServiceResponse, error) {
	if err := s.c.enter(ctx); err != nil {
		return nil, err
	}
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	s.c.mu.spans = append(s.c.mu.spans, req.GetResourceSpans()...)
	return &coltrace.ExportTraceServiceResponse{}, nil
}

// logsService is the third one.
type logsService struct {
	collogs.UnimplementedLogsServiceServer
	c *collector
}

func (s logsService) Export(ctx context.Context, req *collogs.ExportLogsServiceRequest) (*collogs.ExportLogsServiceResponse, error) {
	if err := s.c.enter(ctx); err != nil {
		return nil, err
	}
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	s.c.mu.logs = append(s.c.mu.logs, req.GetResourceLogs()...)
	return &collogs.ExportLogsServiceResponse{}, nil
}

// describes are the attributes of a resource.
func describes(r *resource.Resource) map[string]string {
	m := make(map[string]string)
	for _, a := range r.GetAttributes() {
		m[a.GetKey()] = a.GetValue().GetStringValue()
	}
	return m
}

// pushed spells the latest push as series does a scrape, with the names of
// Prometheus and the buckets of histograms; and it returns the resource.
func (c *collector) pushed() (points, res map[string]string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	prom := make(map[string]string)
	for _, m := range observe.Metrics() {
		prom[m.Name] = m.PrometheusName()
	}
	points = make(map[string]string)
	for _, rm := range c.mu.metrics {
		res = describes(rm.GetResource())
		for _, sm := range rm.GetScopeMetrics() {
			for _, m := range sm.GetMetrics() {
				name, ok := prom[m.GetName()]
				if !ok {
					name = "unknown " + m.GetName()
				}
				spellMetric(points, name, m)
			}
		}
	}
	return points, res
}

func spellMetric(points map[string]string, name string, m *metrics.Metric) {
	number := func(list []*metrics.NumberDataPoint) {
		for _, p := range list {
			v := p.GetAsDouble()
			if i, ok := p.GetValue().(*metrics.NumberDataPoint_AsInt); ok {
				v = float64(i.AsInt)
			}
			points[name+labels(p.GetAttributes())] = fmt.Sprint(v)
		}
	}
	switch data := m.GetData().(type) {
	case *metrics.Metric_Sum:
		if data.Sum.GetAggregationTemporality() != metrics.AggregationTemporality_AGGREGATION_TEMPORALITY_CUMULATIVE {
			name = "not cumulative " + name
		}
		number(data.Sum.GetDataPoints())
	case *metrics.Metric_Gauge:
		number(data.Gauge.GetDataPoints())
	case *metrics.Metric_Histogram:
		for _, p := range data.Histogram.GetDataPoints() {
			text := fmt.Sprintf("count %d sum %v", p.GetCount(), math.Round(p.GetSum()*1e9)/1e9)
			var sum uint64
			for i, le := range p.GetExplicitBounds() {
				sum += p.GetBucketCounts()[i]
				text += fmt.Sprintf(" %v:%d", le, sum)
			}
			points[name+labels(p.GetAttributes())] = text
		}
	default:
		points[name] = fmt.Sprintf("%T", data)
	}
}

func labels(attrs []*common.KeyValue) string {
	var list []string
	for _, a := range attrs {
		list = append(list, fmt.Sprintf("%s=%q", a.GetKey(), a.GetValue().GetStringValue()))
	}
	if len(list) == 0 {
		return ""
	}
	slices.Sort(list)
	return "{" + strings.Join(list, ",") + "}"
}

// pulled spells a scrape in the same way, without what describes the process.
func (r *rig) pulled(t testing.TB) map[string]string {
	t.Helper()
	points := make(map[string]string)
	for name, f := range r.scrape(t) {
		if name == "target_info" {
			continue
		}
		for _, m := range f.Metric {
			var list []string
			for _, l := range m.Label {
				list = append(list, fmt.Sprintf("%s=%q", l.GetName(), l.GetValue()))
			}
			slices.Sort(list)
			key := name
			if len(list) > 0 {
				key += "{" + strings.Join(list, ",") + "}"
			}
			switch {
			case m.Counter != nil:
				points[key] = fmt.Sprint(m.Counter.GetValue())
			case m.Gauge != nil:
				points[key] = fmt.Sprint(m.Gauge.GetValue())
			case m.Histogram != nil:
				text := fmt.Sprintf("count %d sum %v", m.Histogram.GetSampleCount(), math.Round(m.Histogram.GetSampleSum()*1e9)/1e9)
				for _, b := range m.Histogram.Bucket {
					if !math.IsInf(b.GetUpperBound(), 1) {
						text += fmt.Sprintf(" %v:%d", b.GetUpperBound(), b.GetCumulativeCount())
					}
				}
				points[key] = text
			}
		}
	}
	return points
}
