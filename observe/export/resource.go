package export

import (
	"fmt"
	"sync"

	"github.com/google/uuid"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/resource"
)

const (
	serviceName     = "service.name"
	serviceInstance = "service.instance.id"
	defaultService  = "lmcache-go"
)

// processID names this process as long as it lives.
var processID = sync.OnceValue(uuid.NewString)

// newResource describes the process: defaults, then the environment, then the
// instance id if one was given, which may be empty.
func newResource(instance *string) (*resource.Resource, error) {
	res, err := resource.Merge(
		resource.NewSchemaless(attribute.String(serviceName, defaultService), attribute.String(serviceInstance, processID())),
		resource.Environment())
	if err == nil && instance != nil {
		res, err = resource.Merge(res, resource.NewSchemaless(attribute.String(serviceInstance, *instance)))
	}
	if err != nil {
		return nil, fmt.Errorf("export: resource: %w", err)
	}
	return res, nil
}
