//go:build !linux

package slab

import "unsafe"

func advise(unsafe.Pointer, uintptr) {}
