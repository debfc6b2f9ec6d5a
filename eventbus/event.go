package eventbus

import (
	"math"
	"reflect"
)

// Event is what a topic carries: a plain struct of the package that publishes
// it. The value is copied into the queue; what it points to is shared with every
// handler and must never change after publishing.
//
// A type says more about itself with the optional methods of ReservedEvent,
// KeyedEvent and IsolatedEvent. EventName, EventReserved and EventIsolated are
// asked once per topic, on the zero value of the type.
type Event interface {
	EventName() string // wire name, constant per type
}

// ReservedEvent is implemented by types whose loss would corrupt state or hide a
// failure. With EventReserved true they are admitted to the reserved class,
// which a flood of bulk events cannot fill.
type ReservedEvent interface {
	EventReserved() bool
}

// KeyedEvent is implemented by types that carry key lists. EventKeys is called
// once per publish on the publisher's goroutine, before any lock is taken; it
// must be as cheap as a len.
type KeyedEvent interface {
	EventKeys() int
}

// IsolatedEvent is implemented by types that go to isolated subscriptions only.
// On these, and only on these, a subscription may make the publisher wait.
type IsolatedEvent interface {
	EventIsolated() bool
}

// Class is the admission class of an event type.
type Class uint8

// The admission classes of the shared queue.
const (
	Bulk     Class = iota // the default
	Reserved              // types with EventReserved
)

// String is the class as metrics spell it.
func (c Class) String() string {
	if c == Reserved {
		return "reserved"
	}
	return "bulk"
}

// traits is what a type says about itself.
type traits struct {
	name     string
	class    Class
	isolated bool
}

// traitsOf asks the zero value of E. A method that cannot stand the zero value
// leaves the default: the name of the Go type, bulk, not isolated.
func traitsOf[E Event]() traits {
	var zero E
	t := traits{name: reflect.TypeFor[E]().String()}
	try(func() { t.name = zero.EventName() })
	try(func() {
		if r, ok := any(zero).(ReservedEvent); ok && r.EventReserved() {
			t.class = Reserved
		}
	})
	try(func() {
		if i, ok := any(zero).(IsolatedEvent); ok {
			t.isolated = i.EventIsolated()
		}
	})
	return t
}

func try(f func()) {
	defer func() { _ = recover() }()
	f()
}

// keyCounter is E's EventKeys as a function, or nil. The method is looked up by
// reflection once: an interface conversion would allocate at every publish.
func keyCounter[E Event]() func(E) int {
	m, ok := reflect.TypeFor[E]().MethodByName("EventKeys")
	if !ok || !m.Func.IsValid() {
		return nil
	}
	f, _ := reflect.TypeAssert[func(E) int](m.Func)
	return f
}

// countKeys is the number of keys of *e as a record holds it. A method that
// panics counts as no keys: publishing must not fail.
func countKeys[E Event](count func(E) int, e *E) (keys uint32) {
	defer func() {
		if recover() != nil {
			keys = 0
		}
	}()
	return uint32(min(max(count(*e), 0), math.MaxInt32))
}
