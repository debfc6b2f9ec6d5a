package resp

// Connecting reports whether an attempt to connect is under way.
func (a *Adapter) Connecting() bool {
	a.conn.mu.Lock()
	defer a.conn.mu.Unlock()
	return a.conn.mu.attempt != nil
}
