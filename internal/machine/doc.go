// Package machine reads what this machine offers: memory and the limits on it,
// huge pages, room in a file system. Everything is read anew at each call. What
// lies below /proc and /sys is read through an fs.FS with the root directory, so
// that tests can describe any machine.
package machine
