package replay

import "fmt"

// Divergence is a call whose outcome is not the recorded one, or, of two replays, not
// the first one's. How long it took is none.
type Divergence struct {
	N        int64   `json:"n"`      // number of the call
	Offset   float64 `json:"offset"` // seconds of the recording
	Call     string  `json:"call"`
	What     string  `json:"what"` // granted, failed, l1_hits, hits, l2_hits, readable
	Recorded int64   `json:"recorded"`
	Replayed int64   `json:"replayed"`

	// Key is the first one that the two differ about, if that is known, and Evicted when
	// the replay evicted it last, in seconds of the recording: by whom, and why. Negative:
	// it did not. Of two replays, EvictedIn says which one it was: A or B.
	Key          string  `json:"key,omitempty"`
	Evicted      float64 `json:"evicted"`
	EvictedCause string  `json:"evicted_cause,omitempty"`
	EvictedFor   string  `json:"evicted_for,omitempty"`
	EvictedIn    string  `json:"evicted_in,omitempty"`
}

// String says what a divergence is, in one line.
func (d Divergence) String() string {
	return d.text("recorded", "replayed", "which the replay did not evict")
}

// Between is String for the outcomes of two replays, A and B.
func (d Divergence) Between() string { return d.text("A", "B", "which neither evicted") }

func (d Divergence) text(first, second, not string) string {
	s := fmt.Sprintf("call %d at %.3f s, %s: %s %s %d, %s %d", d.N, d.Offset, d.Call, d.What, first, d.Recorded, second, d.Replayed)
	if d.Key == "" {
		return s
	}
	s += "; first at " + d.Key
	switch {
	case d.Evicted < 0 && d.What == valueNames[valGranted]:
		return s // it found no memory, or was there
	case d.Evicted < 0:
		return s + ", " + not
	}
	s += ", which left L1 "
	if d.EvictedIn != "" {
		s += "of " + d.EvictedIn + " "
	}
	s += fmt.Sprintf("at %.3f s (%s", d.Evicted, d.EvictedCause)
	if d.EvictedFor != "" {
		s += " for " + d.EvictedFor
	}
	return s + ")"
}
