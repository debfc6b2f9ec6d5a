package cli

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Seconds is the value of a flag that is a length of time: a plain number of
// seconds, or a number with unit as in 30s, 5m, 1h30m.
type Seconds time.Duration

// Duration is s as the library's type.
func (s Seconds) Duration() time.Duration { return time.Duration(s) }

// String writes s as package time does.
func (s Seconds) String() string { return time.Duration(s).String() }

func parseSeconds(text string) (Seconds, error) {
	text = strings.TrimSpace(text)
	if v, err := strconv.ParseFloat(text, 64); err == nil {
		if math.IsNaN(v) || math.Abs(v) > math.MaxInt64/float64(time.Second)/2 {
			return 0, fmt.Errorf("must be a finite length of time, got %s", quote(text))
		}
		return Seconds(math.Round(v * float64(time.Second))), nil
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0, fmt.Errorf("must be a number of seconds or a length of time such as 30s or 5m, got %s", quote(text))
	}
	return Seconds(d), nil
}
