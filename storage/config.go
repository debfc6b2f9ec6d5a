package storage

// Config is what the decisions of a Manager with these options depend on, by name,
// with the defaults filled in. It holds no path and no secret, and equal options
// have equal ones: it goes into the headers of recordings.
func (o Options) Config() map[string]any {
	return map[string]any{"l1": o.L1.Config()}
}
