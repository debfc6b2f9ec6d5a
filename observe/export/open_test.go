package export_test

import (
	"net"
	"strings"
	"testing"

	"github.com/lmcache-go/lmcache/eventbus"
	"github.com/lmcache-go/lmcache/internal/leak"
	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/observe"
	"github.com/lmcache-go/lmcache/observe/export"
)

// The usual assembly, from its options to a scrape, and its end.
func TestOpen(t *testing.T) {
	leak.Check(t)
	id := "rack-7"
	o := observe.Options{PrometheusHost: "127.0.0.1", PrometheusPort: observe.AnyPort, InstanceID: &id}
	bus := eventbus.New(o.Bus(nil))
	m, err := export.Open(t.Context(), o, export.Options{})
	if err != nil {
		t.Fatal(err)
	}
	ob, err := observe.Start(bus, m.MeterProvider(), o)
	if err != nil {
		t.Fatal(err)
	}
	if err := ob.Watch(observe.Sources{Bus: bus}); err != nil {
		t.Fatal(err)
	}
	eventbus.TopicOf[l1.WriteFinished](bus).Publish(l1.WriteFinished{Keys: someKeys(3)})
	if err := bus.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	urls := m.URLs()
	if len(urls) != 1 {
		t.Fatalf("serves on %q", urls)
	}
	_, body := fetch(t, urls[0], nil)
	got := series(parse(t, body))
	for name, want := range map[string]float64{
		"lmcache_mp_l1_write_keys_total": 3, `lmcache_mp_event_bus_queue_limit{class="bulk"}`: 10000,
		`target_info{service_instance_id="rack-7",service_name="lmcache-go"}`: 1,
	} {
		if got[name] != want {
			t.Errorf("%s = %v, want %v", name, got[name], want)
		}
	}
	if err := bus.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := ob.Close(); err != nil {
		t.Fatal(err)
	}
	if err := m.Shutdown(t.Context()); err != nil || len(m.URLs()) > 0 {
		t.Errorf("%v, still serves on %q", err, m.URLs())
	}
}

// Switched off, the same code runs and nothing is there.
func TestOpenOff(t *testing.T) {
	leak.Check(t)
	for name, o := range map[string]observe.Options{"disabled": {Disable: true}, "no metrics": {DisableMetrics: true}} {
		t.Run(name, func(t *testing.T) {
			m, err := export.Open(t.Context(), o, export.Options{})
			if err != nil {
				t.Fatal(err)
			}
			bus := eventbus.New(o.Bus(nil))
			ob, err := observe.Start(bus, m.MeterProvider(), o)
			if err != nil {
				t.Fatal(err)
			}
			if eventbus.TopicOf[l1.WriteFinished](bus).Active() || m.Handler() != nil || len(m.URLs()) > 0 || m.Resource() != "" {
				t.Error("something is on")
			}
			addOne(t, m, "x.keys", "") // an instrument that goes nowhere
			if _, err := m.Listen(t.Context(), "127.0.0.1", 0); err == nil {
				t.Error("listens although it is off")
			}
			if err := bus.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := ob.Close(); err != nil {
				t.Fatal(err)
			}
			if err := m.Shutdown(t.Context()); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// What fails leaves no goroutine and no port behind.
func TestOpenRefuses(t *testing.T) {
	leak.Check(t)
	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	busy := observe.Options{PrometheusHost: "127.0.0.1", PrometheusPort: ln.Addr().(*net.TCPAddr).Port}
	if _, err := export.Open(t.Context(), busy, export.Options{}); err == nil || !strings.Contains(err.Error(), "is in use") {
		t.Errorf("busy port: %v", err)
	}
	_, err = export.Open(t.Context(), observe.Options{LabelLimit: -1, QueueSize: -2}, export.Options{})
	if err == nil || !strings.Contains(err.Error(), "label limit -1") || !strings.Contains(err.Error(), "queue size -2") {
		t.Errorf("bad options: %v", err)
	}
}
