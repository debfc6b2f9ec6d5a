// Package eventbus carries typed events from the packages that publish them to
// those who observe. It knows no event type and imports the standard library only.
package eventbus
