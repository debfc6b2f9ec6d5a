package observe

import (
	"fmt"
	"testing"
)

// REQ-O60: of the sessions whose root has ended the last 10,000 are known, whose late
// work is in their trace; the others are forgotten, which is counted if it is less than
// a minute after their end, and late work of theirs has a root of its own.
func TestREQ_O60_ClosedSessions(t *testing.T) {
	const extra = 10
	for _, c := range []struct {
		name    string
		apart   float64 // seconds between the ends of two sessions
		counted uint64
	}{
		{"a session every millisecond", 0.001, extra},
		{"a session every second", 1, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newSpanRig(t, SpanOptions{})
			for i := range maxSpanSessions + extra {
				id, at := fmt.Sprint(i), second(float64(i)*c.apart)
				r.subj.requestStarted(id, "", at)
				r.subj.requestEnded(id, at)
			}
			if st := r.subj.Stats(); st.ClosedForgotten != c.counted || st.PushedOut != 0 || st.Open != 0 {
				t.Errorf("%+v, want %d forgotten early", st, c.counted)
			}
			roots := make(map[string]string) // session → trace
			for _, s := range r.rec.Ended() {
				id, _ := attributeOf(s, "session_id")
				roots[id.AsString()] = s.SpanContext().TraceID().String()
			}
			late := second(c.apart * (maxSpanSessions + extra))
			for i, known := range map[int]bool{extra - 1: false, extra: true, maxSpanSessions + extra - 1: true} {
				id := fmt.Sprint(i)
				r.subj.start(id, childKey{kind: spanStore}, late, nil)
				traceID := r.subj.spans.registry.SpanContext(id, "store").TraceID().String()
				if got := traceID == roots[id]; got != known {
					t.Errorf("late work of session %s is in the trace of its root: %v, want %v", id, got, known)
				}
			}
		})
	}
}
