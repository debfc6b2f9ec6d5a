package resp

// Age makes the connection older than the patience with a replica.
func (a *Adapter) Age() {
	a.conn.mu.Lock()
	defer a.conn.mu.Unlock()
	a.conn.mu.since = a.conn.mu.since.Add(-2 * patience)
}

// Connecting reports whether an attempt to connect is under way.
func (a *Adapter) Connecting() bool {
	a.conn.mu.Lock()
	defer a.conn.mu.Unlock()
	return a.conn.mu.attempt != nil
}
