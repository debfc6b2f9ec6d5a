package resp

// Connecting reports whether a call is about to connect.
func (a *Adapter) Connecting() bool { return len(a.conn.turn) > 0 }
