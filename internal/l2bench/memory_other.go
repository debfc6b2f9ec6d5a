//go:build !linux

package l2bench

import "errors"

// memory is n bytes.
func memory(n int64, huge bool) ([]byte, error) {
	if huge {
		return nil, errors.ErrUnsupported
	}
	return make([]byte, n), nil
}

func release([]byte) {}
