SHELL := /bin/bash
.DEFAULT_GOAL := help

bin := .tools/bin
# The workspace's modules. Those in tools stand outside.
modules = $(shell go list -m -f '{{.Dir}}')
# Those of the modules in tools that have code of ours.
tool_modules := tools/broker tools/caddy tools/daprd tools/openapi
# The race detector needs a C compiler (CI makes sure of one). It does not watch SQLite and its C library, which were
# translated from C to Go: watched, they run ten times slower, and so do the tests that use them. `make test race=-race`
# watches them too. docs/chaos.md says what else would be missed.
unwatched = $(foreach package,modernc.org/sqlite/lib modernc.org/libc/...,-gcflags=$(package)=-race=false)
race = $(shell command -v "$$(go env CC)" >/dev/null && [ "$$(go env CGO_ENABLED)" = 1 ] && echo -race $(unwatched))
# What Go compiles with these is compiled once for programs, linter and checks.
as_built := CGO_ENABLED=0 GOFLAGS=-trimpath
# Time per fuzz target.
fuzztime ?= 10s

# A line that begins with "##@" begins a group of targets, whose lines "## " describe them.
.PHONY: help
help: # the targets, grouped by who needs them
	@awk -F ':.*## ' '/^##@ / {printf "%s%s\n", sep, substr($$0, 5); sep = "\n"} /^[a-z0-9-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

##@ For users

.PHONY: doctor
doctor: ## what this machine lacks for what follows, and how to get it
	@scripts/doctor.sh

# A service that you start yourself, beside its sidecar (none): see CONTRIBUTING.md.
without ?=

.PHONY: run
run: $(bin)/launcher ## build what is missing and run everything; Ctrl-C ends it
	@$(bin)/launcher -without '$(without)'

.PHONY: cli
cli: $(bin)/launcher ## build bin/bankmore, the command-line client
	@$(bin)/launcher build cli

.PHONY: demo
demo: $(bin)/launcher ## show a transfer and its fee on what `make run` runs, at the command line
	@$(bin)/launcher build cli && scripts/demo.sh

##@ For operators

.PHONY: verify verify-account verify-transfer verify-fee verify-across
verify: $(bin)/launcher ## check the books, each service's and across, of what `make run` has or the *_DATABASE_URLs name
	@$(bin)/launcher build services ops
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
backup: $(bin)/launcher ## copy the databases, of what `make run` has or the *_DATABASE_URLs name, into the folder to=…, and check the copy
	@$(bin)/launcher build services ops
	@to=$(or $(to),backups/$$(date -u +%Y-%m-%dT%H%M%SZ)) && bin/ops backup "$$to" && \
		bin/ops verify -backup "$$to" $(if $(scratch),-scratch '$(scratch)')

.PHONY: dead-letters
dead-letters: $(bin)/launcher ## the events that fee-svc could not understand, on what `make run` runs or KAFKA_BOOTSTRAP_SERVERS names
	@$(bin)/launcher build ops && bin/ops dead-letters

# Of the images: where they go, and the version.
repository ?= bankmore
version ?= dev

.PHONY: images
images: ## the images of the services and of the operator's commands, with Docker: repository=… version=…
	@for image in account-svc transfer-svc fee-svc ops; do \
		docker build --build-arg SERVICE=$$image --build-arg VERSION=$(version) --build-arg REVISION=$$(git rev-parse HEAD) \
			-t $(repository)/$$image:$(version) . || exit 1; \
	done

.PHONY: k8s-smoke
k8s-smoke: $(bin)/launcher ## the demo on the cluster of the current kubeconfig, through its ingress; BANKMORE_URL, or else a port-forward
	@$(bin)/launcher build cli && scripts/k8s-smoke.sh

##@ For developers

.PHONY: build
build: $(bin)/launcher ## the services and the ingress, which is what `dapr run -f dapr.yaml` needs
	@$(bin)/launcher build services caddy

# Which tools `make tools` builds; `launcher build` lists all there are.
parts ?= daprd dapr caddy broker

.PHONY: tools
tools: $(bin)/launcher ## Dapr's runtime and CLI, Caddy, the embedded broker, or those that parts=… names
	@$(bin)/launcher build $(parts)

.PHONY: stack-tools
stack-tools: $(bin)/launcher
	@$(bin)/launcher build daprd caddy broker

# The end-to-end suite waits most of its time, so the packages' own tests run beside it. What both need is compiled first,
# or each would compile it.
.PHONY: test test-end-to-end test-packages
test: stack-tools ## all tests that need no outside server, the end-to-end suite included
	@[ -n "$(race)" ] || echo "no C compiler here: the tests run without the race detector"
	@echo "compiling" && go list $(race) -export -deps -f '{{""}}' $(addsuffix /...,$(modules)) >/dev/null || echo "the tests of the other packages run"
	@$(MAKE) --no-print-directory --keep-going -j2 test-end-to-end test-packages

# The fault matrix is not among them, since `make chaos` runs it, nor what needs a browser.
test-end-to-end:
	go test $(race) -count=1 -timeout 20m $$(go list $(addsuffix /...,$(filter %/e2e,$(modules))) | grep -vE '/(chaos|browser)$$')
	@echo "not run, since it needs a browser: make test-browser"

test-packages:
	failed=; \
	go test $(race) $(addsuffix /...,$(filter-out %/e2e,$(modules))) || failed=1; \
	go test $(race) -tags crashpoints ./platform/crashpoint || failed=1; \
	(cd tools/broker && GOWORK=off go test $(race) ./...) || failed=1; \
	[ -z "$$failed" ]

# Where `make test-browser` puts a picture of the page (none).
screenshot ?=

.PHONY: test-browser
test-browser: stack-tools ## the API's documentation by clicks, and a page of another origin; needs Chromium, on Debian chromium-headless-shell
	go test -v -count=1 -timeout 5m ./e2e/browser $(if $(screenshot),-screenshot '$(abspath $(screenshot))')

# Packages with tests that change with the servers behind them. The end-to-end suite restarts the servers, so it has them
# to itself.
on_servers = $(shell grep -rlE 'sqldbtest|go:build backends' --include='*_test.go' $(filter-out %/e2e,$(modules)) | xargs -n 1 dirname | sort -u)

.PHONY: test-backends
test-backends: stack-tools ## the same on PostgreSQL, Redis and Apache Kafka; .ci/backends starts some
	@[ -n "$$BACKENDS_CONTROL" ] || { echo 'no servers: .ci/backends install && .ci/backends start && eval "$$(.ci/backends env)"'; exit 1; }
	go test $(race) -count=1 -tags backends $(on_servers)
	go test $(race) -count=1 -timeout 30m ./e2e/suite -profile servers

# Of the chaos suite: the rows to run (all), how often each, how often at most those whose repetitions take long (no
# limit), the number of this run, which chooses the variants of rows that are repeated less often than they have variants,
# how long clients hang up in a repetition of row 17, whether with the outages of a minute, how long the storm lasts, the
# seed of its plan (drawn and printed), and how long anything may take to come to its end.
rows ?=
repetitions ?= 20
long ?= 0
turn ?= 0
hangups ?= 20s
minute ?= true
storm ?= 2m
seed ?= 0
patience ?= 2m
chaos = go test $(race) -v -count=1 -timeout 2h -run '^TestChaos$$'
chaos_flags = -rows '$(rows)' -repetitions $(repetitions) -long $(long) -turn $(turn) -hangups $(hangups) -minute=$(minute) -storm $(storm) -seed $(seed) -patience $(patience)

.PHONY: chaos
chaos: stack-tools ## the fault matrix on SQLite and the embedded broker, as root; docs/chaos.md
	$(chaos) ./e2e/chaos -profile embedded $(chaos_flags)

.PHONY: chaos-backends
chaos-backends: stack-tools ## the same on PostgreSQL, Redis and Apache Kafka; .ci/backends starts some
	@[ -n "$$BACKENDS_CONTROL" ] || { echo 'no servers: .ci/backends install && .ci/backends start && eval "$$(.ci/backends env)"'; exit 1; }
	$(chaos) ./e2e/chaos -profile servers $(chaos_flags)

# How long the soak lasts.
soak ?= 10m

.PHONY: soak
soak: stack-tools ## 256 connections, most of which hang up, for 10 minutes: nothing ends, nothing grows; docs/chaos.md
	go test -v -count=1 -timeout 2h -run '^TestSoak$$' ./e2e/chaos -profile $(if $(BACKENDS_CONTROL),servers,embedded) -soak $(soak) -patience $(patience)

# Of the benchmark: its flags (`go run ./e2e/bench -h` lists them).
bench ?=

.PHONY: bench
bench: stack-tools ## what the system does per second, and what it costs, through the ingress; on the servers of .ci/backends, if set
	@mkdir -p bin && go build -o bin/bench ./e2e/bench && bin/bench -profile $(if $(BACKENDS_CONTROL),servers,embedded) $(bench)

# Of the mutations: which to try (all), by name or as a share of them, such as 3/6.
names ?=
share ?=

.PHONY: mutations
mutations: stack-tools ## the fault matrix must notice each of e2e/mutations, as root; on the servers of .ci/backends, if set
	@e2e/mutations/run.sh $(if $(share),-share $(share)) $(names)

.PHONY: test-alerts
test-alerts: ## the alert rules, with promtool (on Debian in the package prometheus)
	@scripts/test-alerts.sh

.PHONY: check-components
check-components: ## Dapr resources: no field and no setting that this version of Dapr does not know, no component that our daprd lacks
	@cd tools/daprd && export GOWORK=off $(as_built) && go test ./... && \
		go run ./check -contrib $$(go list -m -f '{{.Dir}}' github.com/dapr/components-contrib) $(CURDIR)/components $(CURDIR)/compose/config.yaml

.PHONY: check-k8s
check-k8s: $(bin)/launcher ## the same of what kustomize makes of k8s, and rules of ours: requests, limits, time to end, ports of backends
	@$(bin)/launcher build kustomize
	@rendered=$$(mktemp -d) && trap 'rm -rf $$rendered' EXIT && scripts/render-k8s.sh $$rendered && \
		cd tools/daprd && export GOWORK=off $(as_built) && \
		go run ./check -contrib $$(go list -m -f '{{.Dir}}' github.com/dapr/components-contrib) $$rendered

.PHONY: test-k8s
test-k8s: ## the production overlay on a real one-node cluster, with the servers of .ci/backends, as root on Linux
	@.ci/k8s test

.PHONY: generate
generate: ## the Go clients of the API, in client, from the OpenAPI documents
	@cd client && go generate

.PHONY: check-openapi
check-openapi: ## the clients are what `make generate` makes of the OpenAPI documents, and ogen makes clients of them too
	@made=$$(mktemp -d) && trap 'rm -rf "$$made"' EXIT && mkdir "$$made"/{account,transfer,fee} && \
		(cd client && into="$$made/" go generate) && \
		for name in account transfer fee; do \
			diff -u client/$$name/client.gen.go "$$made/$$name/client.gen.go" || { echo "client/$$name is out of date: make generate"; exit 1; }; \
		done
	@cd tools/openapi && GOWORK=off go test -count=1 ./...

.PHONY: lint
lint: $(bin)/launcher ## the linter, which also guards the layers
	@$(bin)/launcher build golangci-lint
	@failed=; \
	lint() { $(as_built) $(bin)/golangci-lint run --build-tags "$$@" || failed=1; }; \
	lint backends,crashpoints $(patsubst %,./%/...,$(notdir $(modules))); \
	lint "" ./platform/...; \
	lint k8s ./e2e/k8s; \
	for module in $(tool_modules); do \
		(cd $$module && GOWORK=off $(as_built) $(CURDIR)/$(bin)/golangci-lint run ./...) || failed=1; \
	done; \
	[ -z "$$failed" ]

.PHONY: tidy
tidy: ## go mod tidy in every module of ours, and gofmt
	@for module in $(modules) $(tool_modules); do (cd $$module && GOWORK=off go mod tidy) || exit 1; done
	@gofmt -w $(modules) tools

.PHONY: check
check: ## each module builds alone, is tidy and formatted
	@for module in $(modules) $(tool_modules); do \
		(cd $$module && export GOWORK=off $(as_built) && go vet ./... && go mod tidy -diff) || exit 1; \
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
	rm -rf bin .tools .dapr .venv docs/bruno/node_modules

# The launcher builds everything else: launcher/build. Its own flags are the same, so that what is compiled here serves there.
# The folder in which go works is beside the program, so that go puts that in its place by renaming it.
$(bin)/launcher: $(filter-out %_test.go,$(wildcard launcher/*.go launcher/*/*.go launcher/go.*))
	@echo "building the launcher" && mkdir -p $(bin)
	@cd launcher && GOWORK=off CGO_ENABLED=0 GOTMPDIR=$(CURDIR)/$(bin) \
		go build -trimpath -buildvcs=false -ldflags '-s -w' -o $(CURDIR)/$@ .
