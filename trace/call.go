package trace

import (
	"github.com/lmcache-go/lmcache/storage"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// Call is the arguments of one recorded call. Its number is storage.NoCall in the
// plain format, as is that of its owner where none was recorded.
type Call struct {
	storage.Call

	// Rows are the groups of a submit_prefetch_task whose keys are of several groups
	// or do not see the whole prompt. Otherwise it is nil. Keys are those of all rows
	// in order, Layout that of the first.
	Rows []Row
}

// Row is the keys of one object group.
type Row struct {
	Group  uint16
	Window int64 // chunks that the group sees, or FullAttention
	Keys   []kv.Key
	Layout kv.Layout
}

// FullAttention is the window of a group that sees the whole prompt.
const FullAttention int64 = -1

// Gap is a gap record: calls that were made and are not in the file.
type Gap struct {
	Count  int64
	ByCall map[string]int64 // by qualified name
}

// End is the last record of a recording that was closed.
type End struct {
	Records int64 // calls that were written
	Dropped int64 // calls that were lost
}
