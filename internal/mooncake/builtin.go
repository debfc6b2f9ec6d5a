package mooncake

import (
	"bytes"
	_ "embed" // for the trace and its notice
	"io"
)

// The built-in trace.
const (
	BuiltinName        = "built-in"
	BuiltinRequests    = 500
	BuiltinBlockTokens = 512
)

//go:embed data/conversation-head.jsonl.gz
var builtin []byte

//go:embed data/NOTICE.md
var notice string

// Builtin returns a reader of the beginning of Mooncake's conversation trace, to be
// given to Read with BuiltinBlockTokens.
func Builtin() io.Reader { return bytes.NewReader(builtin) }

// Notice says in Markdown where the built-in trace comes from and under which
// licence it is distributed.
func Notice() string { return notice }
