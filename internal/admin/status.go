package admin

import (
	"context"
	"net/http"
)

// Status is what /status says, as far as operators ask. What a server does not tell is
// nil or empty.
type Status struct {
	Healthy    bool     `json:"is_healthy"`
	EngineType *string  `json:"engine_type"`
	ChunkSize  *int     `json:"chunk_size"`
	Sessions   *int     `json:"active_sessions"`
	Storage    *Storage `json:"storage_manager"`

	Implementation *string           `json:"implementation"`
	Version        *string           `json:"version"`
	BootID         *string           `json:"boot_id"`
	StartedAt      *string           `json:"started_at"`
	Ready          *bool             `json:"ready"`
	Listeners      map[string]string `json:"listeners"`
	Instances      map[string]Worker `json:"instances"`

	Contexts map[string]Context `json:"cache_context_meta"`    // by instance, with a device
	Hosts    map[string]Host    `json:"non_cuda_context_meta"` // by instance, that copy themselves
}

// Worker is what the server counts of one worker.
type Worker struct {
	Plane         string  `json:"plane"`
	Model         string  `json:"model_name"`
	WorldSize     int     `json:"world_size"`
	Rank          int     `json:"rank"`
	Device        string  `json:"device"`
	Healthy       bool    `json:"is_healthy"`
	InFlight      int64   `json:"in_flight"`
	Stores        int64   `json:"stores_submitted"`
	StoresDone    int64   `json:"stores_finished"`
	Retrieves     int64   `json:"retrieves_submitted"`
	RetrievesDone int64   `json:"retrieves_finished"`
	LastSeen      *string `json:"last_seen"` // nil: it lives in the server's process
}

// Storage is the storage manager.
type Storage struct {
	L1       *L1       `json:"l1_manager"`
	Policy   *Policy   `json:"eviction_controller"`
	Adapters []Adapter `json:"l2_adapters"`
}

// L1 is host memory.
type L1 struct {
	Objects *int64           `json:"total_object_count"`
	Used    *float64         `json:"memory_used_bytes"`
	Total   *float64         `json:"memory_total_bytes"`
	BySalt  map[string]int64 `json:"bytes_by_cache_salt"`
}

// Policy is the eviction of L1.
type Policy struct {
	Name *string `json:"eviction_policy"`
}

// Context is a worker whose device the server copies from.
type Context struct {
	Model     string `json:"model_name"`
	WorldSize int    `json:"world_size"`
	Layout    Layout `json:"kv_cache_layout"`
}

// Layout is the paged cache of a worker.
type Layout struct {
	Layers   *int     `json:"num_layers"`
	Blocks   *int     `json:"num_blocks"`
	PerToken *int64   `json:"cache_size_per_token"`
	Groups   []Kernel `json:"kernel_groups"`
}

// Kernel is layers of it that are copied as one.
type Kernel struct {
	Index       *int    `json:"kernel_group_idx"`
	EngineGroup *int    `json:"engine_group_idx"`
	ObjectGroup *int    `json:"object_group_idx"`
	Layers      *int    `json:"num_layers"`
	TokensPer   *int    `json:"tokens_per_block"`
	SlotsPer    *int    `json:"slots_per_block"`
	DType       *string `json:"dtype"`
	MLA         *bool   `json:"is_mla"`
	Attention   *string `json:"attention_backend"`
	Shape       *string `json:"engine_kv_shape"`
	Concrete    *string `json:"engine_kv_concrete_shape"`
}

// Host is a worker that copies itself.
type Host struct {
	Model     string `json:"model_name"`
	WorldSize int    `json:"world_size"`
	BlockSize *int   `json:"block_size"`
	MLA       *bool  `json:"use_mla"`
}

// Adapter is an outer tier.
type Adapter struct {
	Healthy  bool     `json:"is_healthy"`
	Type     string   `json:"type"`
	Backend  *string  `json:"backend"`
	BasePath *string  `json:"base_path"`
	Stored   *int64   `json:"stored_object_count"`
	Used     *float64 `json:"current_size_bytes"`
	Capacity *float64 `json:"max_capacity_bytes"`
	Unbound  *bool    `json:"unbounded"`
	PoolUsed *int64   `json:"pool_used"`
	PoolSize *int64   `json:"pool_size"`
	Breaker  string   `json:"breaker_state"`

	RetryIn    *float64         `json:"breaker_retry_in_seconds"`
	InFlight   *int             `json:"in_flight_calls"`
	OldestCall *float64         `json:"oldest_call_age_seconds"`
	Failures   map[string]int64 `json:"failures_by_reason"`
	Corrupt    *int64           `json:"corrupt_total"`
	Written    *int64           `json:"bytes_written_total"`
	Read       *int64           `json:"bytes_read_total"`
	BySalt     map[string]int64 `json:"bytes_by_cache_salt"`
}

// Status asks for the state.
func (c *Client) Status(ctx context.Context) (*Status, error) {
	s := new(Status)
	_, err := c.do(ctx, http.MethodGet, "/status", nil, s)
	return s, err
}
