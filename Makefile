SHELL := /bin/bash
.DEFAULT_GOAL := help

bin := .tools/bin
services := account-svc transfer-svc fee-svc
# The workspace's modules. Those in tools stand outside.
modules = $(shell go list -m -f '{{.Dir}}')
# The race detector needs a C compiler (CI makes sure of one).
race = $(shell command -v "$$(go env CC)" >/dev/null && [ "$$(go env CGO_ENABLED)" = 1 ] && echo -race)
comma := ,
# What Go compiles with these is compiled once for programs, linter and checks.
as_built := CGO_ENABLED=0 GOFLAGS=-trimpath
# Time per fuzz target.
fuzztime ?= 10s

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: run
run: $(bin)/launcher ## build what is missing and run everything; Ctrl-C ends it
	@$(bin)/launcher

.PHONY: demo
demo: ## show a transfer and its fee on what `make run` runs
	@scripts/demo.sh

.PHONY: verify verify-account verify-transfer verify-fee verify-across
verify: ## check the books, each service's and across, of what `make run` has or the *_DATABASE_URLs name
	@go build -o bin/ $(addprefix ./,$(services) ops)
	@$(MAKE) --no-print-directory --keep-going $(if $(filter output-sync,$(.FEATURES)),--output-sync) -j verify-account verify-transfer verify-fee verify-across

verify-account verify-transfer verify-fee: verify-%:
	@echo "$*-svc"
	@variable=$$(tr a-z A-Z <<<$*)_DATABASE_URL; DATABASE_URL=$${!variable:-sqlite:.data/$*.db} bin/$*-svc verify

verify-across:
	@echo "across the services"
	@bin/ops verify

# Where `make backup` puts a backup (backups/<time>), and where it restores one of PostgreSQL to check it.
to ?=
scratch ?=

.PHONY: backup
backup: ## copy the databases, of what `make run` has or the *_DATABASE_URLs name, into the folder to=…, and check the copy
	@go build -o bin/ $(addprefix ./,$(services) ops)
	@to=$(or $(to),backups/$$(date -u +%Y-%m-%dT%H%M%SZ)) && bin/ops backup "$$to" && \
		bin/ops verify -backup "$$to" $(if $(scratch),-scratch '$(scratch)')

.PHONY: dead-letters
dead-letters: ## the events that fee-svc could not understand, on what `make run` runs or KAFKA_BOOTSTRAP_SERVERS names
	@go run ./ops dead-letters

.PHONY: build
build: $(bin)/caddy ## the services and the ingress, which is what `dapr run -f dapr.yaml` needs
	@go build -o bin/ $(addprefix ./,$(services))

.PHONY: tools
tools: $(addprefix $(bin)/,daprd dapr caddy broker launcher) ## Dapr's runtime and CLI, Caddy, the embedded broker, the launcher

.PHONY: test
test: $(addprefix $(bin)/,daprd caddy broker) ## all tests that need no outside server, the end-to-end suite included
	@[ -n "$(race)" ] || echo "no C compiler here: the tests run without the race detector"
	go test $(race) $(addsuffix /...,$(filter-out %/e2e,$(modules)))
	go test $(race) -tags crashpoints ./platform/crashpoint
	cd tools/broker && GOWORK=off go test $(race) ./...
	go test $(race) -count=1 -timeout 20m $(addsuffix /...,$(filter %/e2e,$(modules)))

# Packages with tests that change with the servers behind them.
on_servers = $(shell grep -rlE 'sqldbtest|go:build backends' --include='*_test.go' $(filter-out %/e2e,$(modules)) | xargs -n 1 dirname | sort -u)

.PHONY: test-backends
test-backends: $(addprefix $(bin)/,daprd caddy broker) ## the same on PostgreSQL, Redis and Apache Kafka; .ci/backends starts some
	@[ -n "$$BACKENDS_CONTROL" ] || { echo 'no servers: .ci/backends install && .ci/backends start && eval "$$(.ci/backends env)"'; exit 1; }
	go test $(race) -count=1 -tags backends $(on_servers)
	go test $(race) -count=1 -tags backends -timeout 30m $(addsuffix /...,$(filter %/e2e,$(modules)))

# Of the chaos suite: the rows to run (all), how often each, how often at most those whose repetitions take long (no
# limit), how long clients hang up in a repetition of row 17, whether with the outages of a minute, how long the storm
# lasts, the seed of its plan (drawn and printed), and how long anything may take to come to its end.
rows ?=
repetitions ?= 20
long ?= 0
hangups ?= 20s
minute ?= true
storm ?= 2m
seed ?= 0
patience ?= 2m
chaos = go test $(race) -v -count=1 -timeout 2h -run '^TestChaos$$'
chaos_flags = -rows '$(rows)' -repetitions $(repetitions) -long $(long) -hangups $(hangups) -minute=$(minute) -storm $(storm) -seed $(seed) -patience $(patience)

.PHONY: chaos
chaos: $(addprefix $(bin)/,daprd caddy broker) ## the fault matrix on SQLite and the embedded broker, as root; docs/chaos.md
	$(chaos) -tags chaos ./e2e $(chaos_flags)

.PHONY: chaos-backends
chaos-backends: $(addprefix $(bin)/,daprd caddy broker) ## the same on PostgreSQL, Redis and Apache Kafka; .ci/backends starts some
	@[ -n "$$BACKENDS_CONTROL" ] || { echo 'no servers: .ci/backends install && .ci/backends start && eval "$$(.ci/backends env)"'; exit 1; }
	$(chaos) -tags chaos,backends ./e2e $(chaos_flags)

# How long the soak lasts.
soak ?= 10m

.PHONY: soak
soak: $(addprefix $(bin)/,daprd caddy broker) ## 256 connections, most of which hang up, for 10 minutes: nothing ends, nothing grows; docs/chaos.md
	go test -v -count=1 -timeout 2h -run '^TestSoak$$' -tags chaos$(if $(BACKENDS_CONTROL),$(comma)backends) ./e2e -soak $(soak) -patience $(patience)

# Of the mutations: which to try (all).
names ?=

.PHONY: mutations
mutations: $(addprefix $(bin)/,daprd caddy broker) ## the fault matrix must notice each of e2e/mutations, as root; on the servers of .ci/backends, if set
	@scripts/mutate.sh $(names)

.PHONY: check-components
check-components: ## Dapr resources: no field and no setting that this version of Dapr does not know, no component that our daprd lacks
	@cd tools/daprd && export GOWORK=off $(as_built) && go test ./... && \
		go run ./check -contrib $$(go list -m -f '{{.Dir}}' github.com/dapr/components-contrib) $(CURDIR)/components $(CURDIR)/compose/config.yaml

.PHONY: check-openapi
check-openapi: ## common generators make clients of the OpenAPI documents, which compile
	@cd tools/openapi && GOWORK=off go test -count=1 ./...

.PHONY: lint
lint: $(bin)/golangci-lint ## the linter, which also guards the layers
	@failed=; \
	for module in $(modules); do \
		tags="local backends"; \
		case $$module in */platform) tags+=" crashpoints" ;; */e2e) tags+=" chaos chaos,backends" ;; esac; \
		for tag in $$tags; do \
			(cd $$module && $(as_built) $(CURDIR)/$(bin)/golangci-lint run --build-tags $$tag ./...) || failed=1; \
		done; \
	done; \
	for module in tools/broker tools/openapi; do \
		(cd $$module && GOWORK=off $(as_built) $(CURDIR)/$(bin)/golangci-lint run ./...) || failed=1; \
	done; \
	[ -z "$$failed" ]

.PHONY: tidy
tidy: ## go mod tidy in every module of ours, and gofmt
	@for module in $(modules); do (cd $$module && GOWORK=off go mod tidy) || exit 1; done
	@gofmt -w $(modules) tools

.PHONY: check
check: ## each module builds alone, is tidy and formatted
	@for module in $(modules); do \
		(cd $$module && GOWORK=off go vet ./... && GOWORK=off go mod tidy -diff) || exit 1; \
	done
	@unformatted=$$(gofmt -l $(modules) tools); [ -z "$$unformatted" ] || { echo "not formatted: $$unformatted"; exit 1; }

.PHONY: fuzz
fuzz: ## every fuzz target for fuzztime (10s)
	@grep -rl '^func Fuzz' --include='*_test.go' $(modules) | while read -r file; do \
		for target in $$(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' $$file); do \
			echo "$$file $$target"; \
			(cd $$(dirname $$file) && go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(fuzztime) .) || exit 1; \
		done; \
	done

.PHONY: clean
clean: ## remove binaries, tools and logs; the data in .data stays
	rm -rf bin .tools .dapr

# --- tools: built once, and again when their module changes ---

dapr_version = $(patsubst v%,%,$(shell awk '$$1 == "github.com/dapr/dapr" {print $$2}' tools/daprd/go.mod))
cli_version = $(patsubst v%,%,$(shell awk '$$2 == "github.com/dapr/cli" {print $$3}' tools/dapr-cli/go.mod))
build_tool := scripts/build-tool.sh

$(bin)/daprd: $(wildcard tools/daprd/* tools/daprd/components/*)
	@$(build_tool) daprd tools/daprd . -ldflags "-s -w \
		-X github.com/dapr/dapr/pkg/buildinfo.version=$(dapr_version) -X github.com/dapr/kit/logger.DaprVersion=$(dapr_version)"

$(bin)/dapr: $(wildcard tools/dapr-cli/*)
	@$(build_tool) dapr tools/dapr-cli github.com/dapr/cli -ldflags "-s -w -X main.version=$(cli_version)"

$(bin)/caddy: $(wildcard tools/caddy/*)
	@$(build_tool) caddy tools/caddy . -ldflags "-s -w"

$(bin)/broker: $(wildcard tools/broker/*)
	@$(build_tool) broker tools/broker . -ldflags "-s -w"

$(bin)/launcher: $(filter-out %_test.go,$(wildcard launcher/*.go launcher/*/*.go launcher/go.*))
	@$(build_tool) launcher launcher .

$(bin)/golangci-lint: $(wildcard tools/golangci-lint/*)
	@$(build_tool) golangci-lint tools/golangci-lint github.com/golangci/golangci-lint/v2/cmd/golangci-lint -ldflags "-s -w"

$(bin)/docker-compose: $(wildcard tools/compose/*)
	@$(build_tool) docker-compose tools/compose github.com/docker/compose/v2/cmd -ldflags "-s -w"
