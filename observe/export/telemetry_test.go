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

func TestStart(t *testing.T) {
	leak.Check(t)
	id := "rack-7"
	o := observe.Options{PrometheusHost: "127.0.0.1", PrometheusPort: observe.AnyPort, InstanceID: &id}
	bus := eventbus.New(o.Bus(nil))
	tel, err := export.Start(t.Context(), bus, o, export.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := tel.Watch(observe.Sources{Bus: bus}); err != nil {
		t.Fatal(err)
	}
	eventbus.TopicOf[l1.WriteFinished](bus).Publish(l1.WriteFinished{Keys: someKeys(3)})
	if err := bus.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, body := fetch(t, tel.Server.URL(), nil)
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
	for range 2 {
		if err := tel.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// A start that fails leaves no subscription and no goroutine; one that is off does nothing.
func TestStartRefusesOrIsOff(t *testing.T) {
	leak.Check(t)
	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	bus := eventbus.New(eventbus.Options{})
	busy := observe.Options{PrometheusHost: "127.0.0.1", PrometheusPort: ln.Addr().(*net.TCPAddr).Port}
	if _, err := export.Start(t.Context(), bus, busy, export.Options{}); err == nil || !strings.Contains(err.Error(), "is in use") {
		t.Errorf("busy port: %v", err)
	}
	if _, err := export.Start(t.Context(), bus, observe.Options{LabelLimit: -1}, export.Options{}); err == nil {
		t.Error("bad options accepted")
	}
	tel, err := export.Start(t.Context(), bus, observe.Options{DisableMetrics: true}, export.Options{})
	if err != nil || tel.Metrics != nil || tel.Server != nil {
		t.Errorf("off: %+v, %v", tel, err)
	}
	if eventbus.TopicOf[l1.WriteFinished](bus).Active() {
		t.Error("somebody still listens")
	}
	if err := tel.Watch(observe.Sources{Bus: bus}); err != nil {
		t.Error(err)
	}
	if err := tel.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if err := bus.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}
