//go:build !linux

package pool

import "errors"

func mapHuge(int64) ([]byte, error) { return nil, errors.ErrUnsupported }

// advise does nothing: there is no such advice here.
func advise([]byte) {}

func populate([]byte) error { return errors.ErrUnsupported }
