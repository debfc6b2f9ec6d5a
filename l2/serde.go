package l2

import (
	"fmt"
	"log/slog"

	"github.com/lmcache-go/lmcache/storage/kv"
)

// Serde converts objects on their way to a store and back, to make them smaller for
// example. It is safe for concurrent use; the tier runs at most
// Settings.SerdeWorkers calls at a time and owns the buffers. None is kept after a
// call returns. What goes wrong, a panic included, is an error of one object, which the
// tier wraps with [ErrSerde].
type Serde interface {
	// Name is kept in the header of each object (1 to [MaxSerdeName] bytes): an object
	// that another serde has written is a miss. It is asked at the start and never again.
	Name() string

	// Bound is the most bytes that Serialize can give for an object of this layout: at most
	// eight times its size and 1 MiB. It is asked beside the conversions and returns at once.
	Bound(layout kv.Layout) int64

	// Serialize writes the stored form of src, a whole object of this layout, into
	// dst, which has Bound bytes, and returns its real length.
	Serialize(dst, src []byte, layout kv.Layout, key kv.Key) (int, error)

	// Deserialize fills dst, which has the logical size of the layout, from the stored
	// form src. A form that does not give exactly that many bytes is an error. src is
	// not to be trusted.
	Deserialize(dst, src []byte, layout kv.Layout, key kv.Key) error
}

// Logging is a serde that has something to say. [Config.Open] hands it the logger of
// its tier.
type Logging interface{ SetLogger(log *slog.Logger) }

// checkName reports what is wrong with the name of a serde, a panic included.
func checkName(s Serde) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	if n := len(s.Name()); n == 0 || n > MaxSerdeName {
		return fmt.Errorf("%d bytes, must be 1 to %d", n, MaxSerdeName)
	}
	return nil
}
