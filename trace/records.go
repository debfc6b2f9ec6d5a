package trace

// Records is how many calls are in the file, or on the way to it, and how many are
// lost, by reason. It may be called from any goroutine.
func (r *Recorder) Records() (written uint64, dropped map[string]uint64) {
	s := r.Stats()
	return uint64(s.Written), map[string]uint64{
		"queue": uint64(s.Lost.Queue), "encode": uint64(s.Lost.Encode), "write": uint64(s.Lost.Write),
	}
}
