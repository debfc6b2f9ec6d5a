# What is done to this repository, and how. `make` alone lists it.

GO        ?= go
FUZZTIME  ?= 10s
BENCH     ?= .
COUNT     ?= 1
BENCHTIME ?= 1s
SOAK      ?= 10000000
SEED      ?= 1
DURATION  ?= 2m
LMCACHE   ?= lmcache
CRASHES   ?= 2000
PAIRS     ?= 12
JAEGER    ?= v1.76.0
# Where `make tools` puts programs and where they are looked for.
TOOLS_DIR ?= $(or $(shell $(GO) env GOBIN),$(shell $(GO) env GOPATH)/bin)
export PATH := $(TOOLS_DIR):$(PATH)

.DEFAULT_GOAL := help

.PHONY: help
help: ## list the targets
	@echo 'usage: make TARGET [VARIABLE=value]'
	@echo
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/  \1\t\2/p' $(MAKEFILE_LIST) | expand -t 14
	@echo
	@echo 'variables: E2E=1 (test), FUZZTIME (fuzz), BENCH, COUNT and BENCHTIME (bench), SOAK and SEED (soak), DURATION and SEED (metamorphic), DURATION (stalls), DURATION and SEED (soak-tiers), CRASHES (crash), PAIRS (cost), TOOLS_DIR (tools)'

.PHONY: build
build: ## build bin/lmcache
	CGO_ENABLED=0 $(GO) build -o bin/lmcache ./cmd/lmcache

.PHONY: test
test: ## go vet and all tests with invariants; needs only Go. E2E=1: as users build the code, and a skipped test is a failure
	$(GO) vet ./...
ifeq ($(E2E),1)
	E2E=1 GO=$(GO) .ci/e2e
else
	$(GO) test -tags invariants ./...
endif

.PHONY: test-plain
test-plain: ## all tests as users build the code, without invariants
	$(GO) test ./...

.PHONY: race
race: ## all tests with invariants under the race detector (needs a C compiler)
	$(GO) test -race -tags invariants -timeout 20m ./...

.PHONY: fuzz
fuzz: ## every fuzz target for FUZZTIME (10s)
	GO=$(GO) FUZZTIME=$(FUZZTIME) .ci/fuzz

.PHONY: bench
bench: ## benchmarks matching BENCH, COUNT times
	$(GO) test -run '^$$' -bench '$(BENCH)' -benchmem -benchtime $(BENCHTIME) -count $(COUNT) ./...

# Seed and number of keys are printed with the result.
.PHONY: soak
soak: ## 10^7 distinct keys through a small L1, and as many sessions past all subscribers, whose memory must not grow. SOAK: how many, SEED: which
	SEED=$(SEED) $(GO) test -run '^$$' -bench 'Soak' -benchtime $(SOAK)x -timeout 2h ./l1 ./observe

# Seeds, duration and what was compared are printed with the result.
.PHONY: metamorphic
metamorphic: ## random operations under many sets of options, compared, for DURATION (2m); SEED: from which list on
	SEED=$(SEED) DURATION=$(DURATION) $(GO) test -tags invariants -count 1 -run '^TestREQ_S40_Metamorphic' -timeout 0 -v ./storage

# Seed, duration, operations, faults of each kind and reads that were verified are printed.
.PHONY: soak-tiers
soak-tiers: ## a workload over tiers that fail in all ways at random, every byte compared, for DURATION (2m; 10m for a release); SEED: what happens
	SEED=$(SEED) DURATION=$(DURATION) $(GO) test -tags invariants -count 1 -run '^TestREQ_S84_TierSoak$$' -timeout 0 -v ./internal/tiertest

.PHONY: stalls
stalls: ## stores and retrieves on a device that stands still again and again, for DURATION (2m; 10m for a release)
	DURATION=$(DURATION) $(GO) test -race -tags invariants -count 1 -run '^TestREQ_O40_Stalls$$' -timeout 0 -v .

# On a quiet machine; each figure is printed beside its bar.
.PHONY: cost
cost: ## what observing costs a workload, the dispatcher, calls, a scrape and the memory, with the bars
	$(GO) test -run '^$$' -bench '^BenchmarkWorkloadCost$$' -benchtime $(PAIRS)x -timeout 1h ./cmd/lmcache
	$(GO) test -run '^$$' -bench '^Benchmark(Dispatch|Scrape)$$' -benchtime 100x ./observe/export
	$(GO) test -run '^$$' -bench '^BenchmarkMetricsCost$$' -benchtime 150x ./observe/export
	$(GO) test -run '^$$' -bench '^BenchmarkSoakMemory$$' -benchtime 1000000x -timeout 1h ./observe

.PHONY: crash
crash: ## CRASHES (2000) processes killed while they store files, as many from outside and as many under a whole manager; every object that is left is verified
	CRASH_POINTS=$(CRASHES) $(GO) test -count 1 -run 'Killed' -timeout 0 -v ./l2/fs ./internal/tiertest

.PHONY: soak-trace
soak-trace: ## 10 GB of records are read in constant memory
	$(GO) test -run '^$$' -bench 'SoakRead' -benchtime 10000x -timeout 1h -v ./trace

# The program comes with LMCache's Python package: pip install lmcache==0.5.6.
.PHONY: interop
interop: ## recordings are read and replayed by LMCache's own program, if there is one. LMCACHE: where it is
	@command -v $(LMCACHE) >/dev/null || echo 'interop: no program $(LMCACHE): LMCache itself is not asked'
	LMCACHE="$$(command -v $(LMCACHE))" $(GO) test -count 1 -run 'Interop' -v ./trace/replay

.PHONY: fmt
fmt: ## format all files
	golangci-lint fmt

.PHONY: lint
lint: ## formatting and linters, with and without invariants (needs make tools)
	golangci-lint fmt --diff
	golangci-lint run --allow-parallel-runners
	golangci-lint run --allow-parallel-runners --build-tags invariants

.PHONY: cross
cross: ## builds without cgo, here and for arm64; that all of it, tests too, fits 32 bits (386)
	CGO_ENABLED=0 $(GO) build ./...
	GOOS=linux GOARCH=arm64 $(GO) build ./...
	CGO_ENABLED=0 GOOS=linux GOARCH=386 $(GO) vet ./...

.PHONY: test-386
test-386: ## all tests as programs of 32 bits (on a machine that runs them)
	CGO_ENABLED=0 GOARCH=386 $(GO) test ./...

.PHONY: tidy
tidy: ## go.mod and go.sum are as go mod tidy leaves them
	$(GO) mod verify
	$(GO) mod tidy -diff

.PHONY: vuln
vuln: ## known vulnerabilities in what is linked (needs make tools and the network)
	govulncheck ./...

.PHONY: static
static: tidy lint cross ## what needs no test to run: tidy, lint, cross

# Examples, golden files, the layers and the documentation are tests like any
# other and belong to each of the test targets.
.PHONY: check
check: static fuzz race test-plain ## what CI runs, but that a test may skip

.PHONY: jaeger
jaeger: ## what Jaeger shows of the spans of a workload; builds Jaeger into TOOLS_DIR first (five minutes or more)
	[ -x '$(TOOLS_DIR)/jaeger' ] || { d=$$(mktemp -d) && cd "$$d" && $(GO) mod init jaeger && \
		$(GO) get -tool github.com/jaegertracing/jaeger/cmd/jaeger@$(JAEGER) && \
		$(GO) build -o '$(TOOLS_DIR)/jaeger' github.com/jaegertracing/jaeger/cmd/jaeger && rm -r "$$d"; }
	$(GO) test -tags jaeger -count 1 -run '^TestREQ_O59_Jaeger$$' -v ./cmd/lmcache

.PHONY: tools
tools: ## install golangci-lint, govulncheck, promtool, prometheus, redis-server, versitygw and an OpenTelemetry collector where they are missing
	GO=$(GO) TOOLS_DIR=$(TOOLS_DIR) .ci/tools

.PHONY: clean
clean: ## remove what was built
	rm -rf bin .cache
