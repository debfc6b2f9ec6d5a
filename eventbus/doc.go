// Package eventbus carries typed events from the packages that publish them to
// those who observe. It knows no event type and imports the standard library only.
//
// An event is a struct of the package that publishes it. The publisher resolves a
// Topic once and publishes values; a Subscriber registers handlers with On. Between
// them stands a Bus with one bounded queue and one goroutine, the dispatcher:
//
//	publishers ──▶ shared queue (bulk, reserved) ──▶ dispatcher ──▶ handlers
//	     └───────▶ queue of an isolated subscription ──▶ its goroutine ──▶ its handlers
//
// Observing must never slow down, block or fail what is observed. So publishing is a
// bounded append, what finds no room is lost and counted, a panic of a handler costs
// one event of one subscriber, and a topic nobody listens to costs a load and a
// branch.
//
// # Order
//
// Events that one goroutine publishes are delivered in that order, and so are events
// published under a common lock. Between goroutines only queue order holds, and time
// stamps, which are the publishers' own, may go back from one event to the next. An
// isolated subscription sees the same order in its queue, but keeps no step with the
// others. Handlers of one event run in order of registration, the AfterBatch functions
// after the batch, the Every functions that are due after these.
//
// # Admission
//
// The shared queue has two classes, bulk and reserved, each with its own limits of
// events and of the keys they carry; an isolated queue has one. An event waits from its
// admission until its handling begins, also in a batch already taken by the dispatcher.
// When a class is full the new event is dropped. For every type and queue, once quiet,
// published = delivered + dropped. An event that alone has more keys than the limit is
// admitted while no other keys wait in its class.
//
// The dispatcher stores how much it has begun every 1/256 of the limit, at most every
// 64th event, and always at the first of a batch: the store is a locked instruction,
// which at every event would cost as much as the rest of its delivery. Until the next
// store publishers take up to that many events for waiting although they are not; they
// never take one for handled too early, so a limit is never exceeded. In queues of less
// than 512 events, and wherever a publisher may wait, it is exact.
//
// # Queue
//
// A queue is a mutex, a list of records (time, type, keys) and one typed slice per event
// type. The consumer swaps all of it for the emptied other half, handles the batch
// without the mutex, and clears it, so that nothing is allocated per event and no key
// list is kept alive. The buffers keep the size of the largest batch.
//
// Waking a goroutine costs its waker far more than a publish. After a batch the
// consumer therefore rests for up to a millisecond, in which publishers only append; they
// wake it when a class is more than a quarter full, or if it has gone idle after a rest
// in which nothing came. Flush and Close wake it always. Without events, and without Every,
// nothing runs.
//
// # Locks
//
// Publish takes the mutex of each queue concerned and nothing else, calls nobody under
// it, and may be used with any lock of the caller held; only a type with EventIsolated,
// on which a subscription may ask to Wait, must be published with none. The order inside
// is Bus.consume (manual only), Bus.mu, lane.mu. Handlers run with none of them held,
// except the first. A handler may publish, subscribe and read Stats, but not wait for its
// own bus: no Flush, Drain or Close.
//
// The warning that events are dropped is written by a timer: not by the publisher, who may
// hold locks, and not by the dispatcher, which may be what is stuck.
//
// # Cost
//
// Measured on one core of an AMD EPYC virtual machine where time.Now takes 50 ns: a
// publish nobody listens to 1 ns, one with a listener 72 ns (22 with PublishAt), the
// delivery of an event to a handler that counts 5 ns in runs of one type and 12 ns when
// every event is of another type than the one before. None of it allocates.
//
// What each subscriber's callbacks take is measured (Stats.Busy): hooks always, and of a
// batch one event in 512, at least one, which adds less than a nanosecond per event to a
// busy bus and two readings of the clock to an idle one.
package eventbus
