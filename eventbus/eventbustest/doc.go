// Package eventbustest helps to test publishers and subscribers of an eventbus.Bus.
//
// A publisher's test makes a bus, watches the types it cares about, and looks at
// what came:
//
//	bus := eventbustest.NewBus(t)
//	w := eventbustest.NewWatcher(t, bus)
//	eventbustest.Watch[l1.WriteFinished](w)
//	eventbustest.Watch[l1.KeysEvicted](w)
//	// … do something …
//	got := w.Events() // in order of delivery
//	e := eventbustest.Expect[l1.KeysEvicted](w, nil) // waits for one
//
// A subscriber's test runs the contract that every subscriber keeps,
// RunSubscriber.
package eventbustest
