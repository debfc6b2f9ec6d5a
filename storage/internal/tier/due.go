package tier

import "slices"

// limit is what a tenant may hold; 0: nothing.
func (x *index) limit(n *tenant) int64 {
	if n.limited {
		return n.quota
	}
	return x.rules.DefaultQuota
}

// over reports whether a tenant is above the watermark of its quota, and a round may take
// from it now.
func (x *index) over(n *tenant) bool {
	if n.bytes == 0 || !n.isolated || n.rest.on() {
		return false
	}
	limit := x.limit(n)
	return limit <= 0 || float64(n.bytes) >= x.rules.Watermark*float64(limit)
}

// settle keeps the list of the tenants that are over, of which there are few among many,
// after the bytes, the quota or the rest of one have changed.
func (x *index) settle(id uint32) {
	n := &x.tenants[id]
	switch over := x.isolates && x.over(n); {
	case over == (n.due != 0):
	case over:
		x.due = append(x.due, id)
		n.due = uint32(len(x.due))
	default:
		last := x.due[len(x.due)-1]
		x.due[n.due-1] = last
		x.tenants[last].due = n.due
		x.due = x.due[:len(x.due)-1]
		n.due = 0
	}
}

// overdue is the tenants that are over, in order of their ids.
func (x *index) overdue() []uint32 {
	if len(x.due) == 0 {
		return nil
	}
	ids := slices.Clone(x.due)
	slices.Sort(ids)
	return ids
}
