package storage

// Config is what the decisions of a Manager with these options depend on, by name,
// with the defaults filled in; of outer tiers, their names and types. It holds no path and no secret, and equal options
// have equal ones: it goes into the headers of recordings.
func (o Options) Config() map[string]any {
	config := map[string]any{"l1": o.L1.Config()}
	if len(o.Tiers) > 0 {
		tiers := make([]any, 0, len(o.Tiers))
		for _, t := range o.Tiers {
			tiers = append(tiers, map[string]any{"name": t.Name, "type": t.Settings.Type})
		}
		config["tiers"] = tiers
	}
	return config
}
