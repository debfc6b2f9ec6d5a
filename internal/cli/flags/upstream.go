package flags

// Upstream holds the flags that LMCache's server has and this one has not, or not
// yet, and that no other command would have. They are recognised, so that a
// command line written for LMCache says all that it loses; the tags say what
// becomes of each. None of the values is read.
type Upstream struct {
	// Transports.
	Transport                      string `name:"transport" treat:"later" why:"there is no ZMQ or gRPC listener" upstream:"zmq"`
	Host                           string `name:"host" treat:"later" why:"there is no ZMQ or gRPC listener" upstream:"localhost"`
	Port                           string `name:"port" treat:"later" why:"there is no ZMQ or gRPC listener" upstream:"5555" numeric:""`
	GRPCPort                       string `name:"grpc-port" treat:"later" why:"there is no ZMQ or gRPC listener" numeric:""`
	ListenIPC                      string `name:"listen-ipc" treat:"later" why:"there is no ZMQ or gRPC listener"`
	GRPCServerWorkers              string `name:"grpc-server-workers" treat:"later" why:"there is no gRPC listener" upstream:"32" numeric:""`
	MaxWorkers                     string `name:"max-workers" treat:"later" why:"there is no ZMQ or gRPC listener" upstream:"1" numeric:""`
	MaxGPUWorkers                  string `name:"max-gpu-workers" treat:"later" why:"there is no ZMQ or gRPC listener" numeric:""`
	MaxCPUWorkers                  string `name:"max-cpu-workers" treat:"later" why:"there is no ZMQ or gRPC listener" numeric:""`
	MaxMessageBytes                string `name:"max-message-bytes" treat:"later" why:"there is no ZMQ or gRPC listener" numeric:""`
	MaxConnections                 string `name:"max-connections" treat:"later" why:"there is no ZMQ or gRPC listener" numeric:""`
	KVEventLogSize                 string `name:"kv-event-log-size" treat:"later" why:"there is no ZMQ or gRPC listener" upstream:"32768" numeric:""`
	WorkerReapTimeoutSeconds       string `name:"worker-reap-timeout-seconds" treat:"later" why:"there is no ZMQ or gRPC listener" upstream:"120" numeric:""`
	WorkerRegistrationGraceSeconds string `name:"worker-registration-grace-seconds" treat:"later" why:"there is no ZMQ or gRPC listener" upstream:"3600" numeric:""`
	SupportedTransferMode          string `name:"supported-transfer-mode" treat:"later" why:"there is no ZMQ or gRPC listener" upstream:"lmcache_driven"`
	SessionTTLSeconds              string `name:"session-ttl-seconds" treat:"later" why:"there is no ZMQ or gRPC listener that opens sessions" upstream:"600" numeric:""`
	NullBlockID                    string `name:"null-block-id" treat:"later" why:"there is no ZMQ or gRPC listener" upstream:"0" numeric:""`

	// Engine.
	EngineType             string   `name:"engine-type" treat:"refused" why:"CacheBlend serves blend engines in LMCache's Python package only" upstream:"default"`
	SeparateObjectGroups   bool     `name:"separate-object-groups" treat:"later" why:"all kernel groups are one object group" upstream:"false"`
	EnableSegmentedPrefix  bool     `name:"enable-segmented-prefix" treat:"refused" why:"it belongs to CacheBlend" upstream:"false"`
	EnableDedupContent     bool     `name:"enable-dedup-content" treat:"refused" why:"it belongs to CacheBlend" upstream:"false"`
	EnableBlendReorder     bool     `name:"enable-blend-reorder" treat:"refused" why:"it belongs to CacheBlend" upstream:"false"`
	Enable                 []string `name:"enable" treat:"refused" why:"no experimental feature of that name is known" upstream:"" nargs:"*"`
	IsolatedIPC            bool     `name:"isolated-ipc" treat:"refused" why:"device memory is never shared through a helper process" upstream:"false"`
	RuntimePluginLocations []string `name:"runtime-plugin-locations" treat:"refused" why:"no code is loaded at run time" upstream:"" nargs:"*"`
	RuntimePluginConfig    string   `name:"runtime-plugin-config" treat:"ignored" why:"there are no runtime plugins" upstream:"{}"`
	ScriptAllowedImports   []string `name:"script-allowed-imports" treat:"ignored" why:"no script is ever run" upstream:"" nargs:"*"`
	RunScriptAPIEnabled    bool     `name:"run-script-api-enabled" treat:"refused" why:"nothing received is ever executed" upstream:"false"`
	ServerModule           []string `name:"server-module" treat:"refused" why:"no code is loaded at run time" upstream:""`

	// HTTP.
	EnablePprof bool `name:"enable-pprof" treat:"later" upstream:"false"`

	// Peers and coordinator.
	P2PAdvertiseURL                  string `name:"p2p-advertise-url" treat:"refused" why:"servers do not talk to each other" upstream:""`
	P2PListenURL                     string `name:"p2p-listen-url" treat:"refused" why:"servers do not talk to each other" upstream:""`
	P2PLookupTimeout                 string `name:"p2p-lookup-timeout" treat:"ignored" why:"servers do not talk to each other" upstream:"30" numeric:""`
	P2PLoadTimeout                   string `name:"p2p-load-timeout" treat:"ignored" why:"servers do not talk to each other" upstream:"30" numeric:""`
	P2PTransferEngine                string `name:"p2p-transfer-engine" treat:"ignored" why:"servers do not talk to each other" upstream:"nixl"`
	CoordinatorURL                   string `name:"coordinator-url" treat:"refused" why:"there is no coordinator"`
	CoordinatorAdvertiseIP           string `name:"coordinator-advertise-ip" treat:"ignored" why:"there is no coordinator"`
	CoordinatorHeartbeatInterval     string `name:"coordinator-heartbeat-interval" treat:"ignored" why:"there is no coordinator" numeric:""`
	CoordinatorEventReporting        bool   `name:"coordinator-event-reporting" treat:"refused" why:"there is no coordinator" upstream:"false"`
	CoordinatorEventFlushInterval    string `name:"coordinator-event-flush-interval" treat:"ignored" why:"there is no coordinator" numeric:""`
	CoordinatorEventTransport        string `name:"coordinator-event-transport" treat:"ignored" why:"there is no coordinator" upstream:"http"`
	CoordinatorKafkaBootstrapServers string `name:"coordinator-kafka-bootstrap-servers" treat:"ignored" why:"there is no coordinator" upstream:""`
	CoordinatorKafkaTopic            string `name:"coordinator-kafka-topic" treat:"ignored" why:"there is no coordinator" upstream:"lmcache-cache-events"`
	CoordinatorKafkaDeliveryTimeout  string `name:"coordinator-kafka-delivery-timeout" treat:"ignored" why:"there is no coordinator" upstream:"300" numeric:""`
	CoordinatorBlendTimeout          string `name:"coordinator-blend-timeout" treat:"ignored" why:"there is no coordinator" upstream:"1" numeric:""`
	CoordinatorBlendMatchConcurrency string `name:"coordinator-blend-match-concurrency" treat:"ignored" why:"there is no coordinator" upstream:"8" numeric:""`
	CoordinatorL2EventReporting      bool   `name:"coordinator-l2-event-reporting" treat:"ignored" why:"there is no coordinator" upstream:"false"`
	CoordinatorL2EventFlushInterval  string `name:"coordinator-l2-event-flush-interval" treat:"ignored" why:"there is no coordinator" numeric:""`

	// Output.
	Format string `name:"format" treat:"silent" why:"the server prints no report"`
	Output string `name:"output" treat:"silent" why:"the server prints no report"`
	Quiet  bool   `name:"quiet" treat:"silent" why:"the server prints no report" upstream:"false" short:"q"`
}

// UpstreamShared is the same for flags of tiers and observability, which other
// commands than the server have too.
type UpstreamShared struct {
	// L1.
	L1Manager        []string `name:"l1-manager" treat:"refused" why:"host memory is the only first tier" upstream:""`
	L1DevdaxPath     string   `name:"l1-devdax-path" treat:"refused" why:"host memory is the only first tier" upstream:""`
	GDSL1Path        string   `name:"gds-l1-path" treat:"refused" why:"host memory is the only first tier" upstream:""`
	GDSL1UseDirectIO bool     `name:"gds-l1-use-direct-io" treat:"refused" why:"host memory is the only first tier"`
	GDSL1Backend     string   `name:"gds-l1-backend" treat:"refused" why:"host memory is the only first tier" upstream:"auto"`

	// L2.
	PeriodicNotifierIntervalMS string `name:"periodic-notifier-interval-ms" treat:"silent" why:"nothing is polled" upstream:"5" numeric:""`

	// Observability.
	DisableGRPCMetrics            bool   `name:"disable-grpc-metrics" treat:"silent" why:"there is no gRPC listener" upstream:"false"`
	LookupHashLogDir              string `name:"lookup-hash-log-dir" treat:"later" upstream:""`
	LookupHashLogRotationInterval string `name:"lookup-hash-log-rotation-interval" treat:"later" upstream:"21600" numeric:""`
	LookupHashLogRotationMaxSize  string `name:"lookup-hash-log-rotation-max-size" treat:"later" upstream:"104857600" numeric:""`
	LookupHashLogMaxFiles         string `name:"lookup-hash-log-max-files" treat:"later" upstream:"100" numeric:""`
	EnableExtraLogging            bool   `name:"enable-extra-logging" treat:"later" upstream:"false"`
	ExtraLoggingInterval          string `name:"extra-logging-interval" treat:"later" upstream:"10" numeric:""`
	EnableGCMonitor               bool   `name:"enable-gc-monitor" treat:"ignored" why:"it watches Python's garbage collector" upstream:"false"`
	GCMonitorMinPauseMS           string `name:"gc-monitor-min-pause-ms" treat:"ignored" why:"it watches Python's garbage collector" upstream:"1" numeric:""`
	GCMonitorTopObjects           string `name:"gc-monitor-top-objects" treat:"ignored" why:"it watches Python's garbage collector" upstream:"0" numeric:""`
}
