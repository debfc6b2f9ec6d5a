package l1

import (
	"errors"
	"fmt"

	"github.com/lmcache-go/lmcache/storage/kv"
)

// ErrClosed is returned by operations on a closed Manager.
var ErrClosed = errors.New("l1: closed")

// Code is the outcome of an operation for one key. The zero Code is Success.
type Code uint8

// Outcomes.
const (
	Success Code = iota
	KeyNotExist
	KeyNotReadable
	KeyNotWritable
	KeyInWrongState
	KeyIsLocked
	OutOfMemory
	codes
)

var codeText = [codes]struct{ name, why string }{
	{"SUCCESS", "the operation succeeded"},
	{"KEY_NOT_EXIST", "no object of this key is resident"},
	{"KEY_NOT_READABLE", "the object is still being written, has another layout, or was never leased to this reader"},
	{"KEY_NOT_WRITABLE", "the object is present, being written, or leased"},
	{"KEY_IN_WRONG_STATE", "the lease has expired or the key was already given back"},
	{"KEY_IS_LOCKED", "the object is leased or being written"},
	{"OUT_OF_MEMORY", "no memory is left and nothing more can be evicted"},
}

// String is the code's name, as in status, logs and JSON.
func (c Code) String() string {
	if c < codes {
		return codeText[c].name
	}
	return fmt.Sprintf("CODE_%d", uint8(c))
}

// Explain is one sentence about the code.
func (c Code) Explain() string {
	if c < codes {
		return codeText[c].why
	}
	return "unknown code"
}

// KeyError is a failed operation on one key.
type KeyError struct {
	Op     string // e.g. "read"
	Key    kv.Key
	Code   Code
	Detail string // may be empty
}

// Error names the operation, the key and the reason.
func (e *KeyError) Error() string {
	if e.Detail != "" {
		return fmt.Sprintf("l1: %s %s: %s (%s: %s)", e.Op, e.Key, e.Code, e.Detail, e.Code.Explain())
	}
	return fmt.Sprintf("l1: %s %s: %s (%s)", e.Op, e.Key, e.Code, e.Code.Explain())
}
