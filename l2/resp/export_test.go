package resp

// Age makes the last search for a master older than the patience.
func (a *Adapter) Age() {
	a.conn.mu.Lock()
	defer a.conn.mu.Unlock()
	a.conn.mu.searched = a.conn.mu.searched.Add(-2 * patience)
}

// Connecting reports whether an search is under way.
func (a *Adapter) Connecting() bool {
	a.conn.mu.Lock()
	defer a.conn.mu.Unlock()
	return a.conn.mu.search != nil
}
