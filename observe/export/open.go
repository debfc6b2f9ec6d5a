package export

import (
	"context"
	"errors"

	"github.com/lmcache-go/lmcache/observe"
)

// Open assembles the provider that o asks for and serves /metrics where o says.
// The instance id, the endpoint to push to, Compat and whether there are exemplars are taken from o. It reports all problems
// of o at once and a port
// that cannot be bound, and leaves nothing behind when it fails. When metrics are
// off it returns nil, which is a Metrics that serves nothing.
func Open(ctx context.Context, o observe.Options, eo Options) (*Metrics, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if !o.Metrics() {
		return nil, nil //nolint:nilnil // documented: nil is the Metrics that is off
	}
	eo.InstanceID, eo.OTLPEndpoint, eo.Compat = o.InstanceID, o.OTLPEndpoint, o.Compat
	eo.Exemplars = eo.Exemplars || o.Exemplars != nil
	m, err := NewMetrics(eo)
	if err != nil {
		return nil, err
	}
	host, port := o.Listen()
	if _, err := m.Listen(ctx, host, port); err != nil {
		return nil, errors.Join(err, m.Shutdown(context.WithoutCancel(ctx)))
	}
	return m, nil
}
