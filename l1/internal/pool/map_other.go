//go:build !linux && !darwin

package pool

import "errors"

func mapPrivate(int64) ([]byte, error) { return nil, errors.ErrUnsupported }

func protect([]byte) error { return errors.ErrUnsupported }

func unmap([]byte) error { return nil }
