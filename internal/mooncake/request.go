package mooncake

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

// MaxTokens is the longest prompt that is accepted.
const MaxTokens = 1 << 24

// Request is one request of a trace.
type Request struct {
	Timestamp    time.Duration // since the start of the trace
	InputLength  int           // tokens of the prompt
	OutputLength int           // tokens that were generated; 0 if the trace does not say
	HashIDs      []uint64      // one per block of the prompt, the last one may be partial
}

// maxTimestamp is the largest number of milliseconds that a Duration holds.
const maxTimestamp = int64(1<<63-1) / int64(time.Millisecond)

// parse reads one line. The ids are the caller's.
func parse(text []byte, blockTokens int) (Request, error) {
	var l line
	if err := json.Unmarshal(text, &l); err != nil {
		return Request{}, explain(err)
	}
	if why := l.check(blockTokens); len(why) > 0 {
		return Request{}, errors.New(strings.Join(why, "; "))
	}
	r := Request{
		Timestamp:   time.Duration(*l.Timestamp) * time.Millisecond,
		InputLength: int(*l.InputLength),
		HashIDs:     *l.HashIDs,
	}
	if l.OutputLength != nil {
		r.OutputLength = int(*l.OutputLength)
	}
	return r, nil
}

// check lists all that is wrong with the values of a line.
func (l *line) check(blockTokens int) (why []string) {
	number := func(name string, n *int64, limit int64) bool {
		switch {
		case n == nil:
			why = append(why, name+": missing")
		case *n < 0:
			why = append(why, fmt.Sprintf("%s: must not be negative, got %d", name, *n))
		case *n > limit:
			why = append(why, fmt.Sprintf("%s: must be at most %d, got %d", name, limit, *n))
		default:
			return true
		}
		return false
	}
	number("timestamp", l.Timestamp, maxTimestamp)
	known := number("input_length", l.InputLength, MaxTokens)
	if l.OutputLength != nil {
		number("output_length", l.OutputLength, MaxTokens)
	}
	switch {
	case l.HashIDs == nil:
		why = append(why, "hash_ids: missing")
	case known:
		want := (int(*l.InputLength) + blockTokens - 1) / blockTokens
		if got := len(*l.HashIDs); got != want {
			why = append(why, fmt.Sprintf("hash_ids: %d tokens in blocks of %d need %d, got %d",
				*l.InputLength, blockTokens, want, got))
		}
	}
	return why
}

// explain says in the words of the format what the decoder did not like.
func explain(err error) error {
	var kind *json.UnmarshalTypeError
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, &kind) && kind.Field == "":
		return fmt.Errorf("must be a JSON object, got %s", kind.Value)
	case errors.As(err, &kind):
		return fmt.Errorf("%s: must be an integer, got %s", kind.Field, kind.Value)
	case errors.As(err, &syntax):
		return fmt.Errorf("not JSON: %w at byte %d", err, syntax.Offset)
	}
	return err
}
