# Every tool is pinned in a Go module of its own: hack/tools (generators), hack/tools/golangci
# (the linter), hack/tools/helm (Helm and kubeconform), hack/tools/prometheus, and
# hack/controlplane (the API server of the demo and the tests). Go and make are all that has to
# be there.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
KUBECTL ?= kubectl
KEEP ?=
SCALE ?= full
ARGS ?=

# The image: what its name begins with, up to and with the last slash; the tag; and for what.
REGISTRY ?=
TAG ?= dev
PLATFORMS ?= linux/amd64,linux/arm64
PUSH ?=
# The commit and its time, so that the same commit gives the same image.
REVISION ?= $(shell git rev-parse HEAD 2>/dev/null)
SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null || echo 0)
# For a real cluster: the command that loads an archive into its nodes, and the one that
# restarts a kubelet.
LOAD ?=
KUBELET_RESTART ?=

export CGO_ENABLED ?= 0
# With a workspace, go refuses -modfile.
export GOWORK := off

# Without its pages of traces, gRPC links no templates, and the linker can leave out the methods
# that nobody calls: the manager takes 10 MB less memory.
TAGS := grpcnotrace
BUILD := go build -trimpath -tags=$(TAGS) -ldflags='-s -w -X main.version=$(VERSION)'
TOOL := go tool -modfile=hack/tools/go.mod
CHART := charts/vector-store-operator
# What the chart takes from config/, word for word.
CHART_FILES := $(addprefix crd/bases/, vector-store-operator.dev_vectorstorefilebatches.yaml) \
	$(addprefix rbac/, role.yaml leader_election.yaml metrics_auth.yaml metrics_reader.yaml user_roles.yaml) \
	$(addprefix policy/, attributes.yaml) $(addprefix prometheus/, rules.yaml dashboard.json)
MODULES := . hack/controlplane hack/image hack/tools hack/tools/golangci hack/tools/helm hack/tools/prometheus
IMAGE = bin/image -tag '$(REGISTRY)$(1):$(TAG)' -program $(2) -tags '$(TAGS)' -version '$(VERSION)' -revision '$(REVISION)' \
	-created $(SOURCE_DATE_EPOCH) $(if $(PUSH),-push)
PROGRAMS = $(wildcard ./cmd/*)
# The directory with etcd, kube-apiserver and kubectl. A variable that make expands only
# where a recipe uses it.
ASSETS = assets=$$(hack/controlplane/assets) && export KUBEBUILDER_ASSETS=$$assets
# The same with the program that deletes namespaces.
ASSETS_WITH_CONTROLLERS = assets=$$(hack/controlplane/assets --with kube-controller-manager) && export KUBEBUILDER_ASSETS=$$assets

.PHONY: help
help: ## Say what there is to make.
	@awk 'BEGIN { FS = ":.*## "; printf "make TARGET\n" } \
		/^##@ / { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z-]+:.*## / { printf "  %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

##@ Try

.PHONY: demo
demo: build ## Run the operator against a real API server and a stand-in for the upstream. KEEP=1 leaves it running.
	go build -o bin/ ./hack/demo
	$(ASSETS) && exec bin/demo $(if $(KEEP),--keep) $(ARGS)

.PHONY: picture
picture: build ## Draw the README's picture, from a run of the demo.
	go build -o bin/ ./hack/demo ./hack/picture
	mkdir -p docs/images
	$(ASSETS) && NO_COLOR=1 bin/demo | bin/picture >docs/images/demo.svg

##@ Build

.PHONY: build
build: ## Build every program of cmd/ into bin/.
	$(BUILD) -o bin/ ./cmd/...

.PHONY: image
image: bin/image ## Build the image of the manager, an archive and a bill of materials. PLATFORMS, REGISTRY, TAG, PUSH=1.
	$(call IMAGE,vector-store-operator,./cmd/manager) -platforms '$(PLATFORMS)'

.PHONY: sbom
sbom: image ## Write the bill of materials of the image, which is in SPDX.
	@ls bin/images/vector-store-operator-linux-*.spdx.json

.PHONY: run
run: build ## Run the operator against the cluster of the current kubeconfig. ARGS are its flags.
	bin/manager --metrics-bind-address=127.0.0.1:8443 --health-probe-bind-address=127.0.0.1:8081 $(ARGS)

.PHONY: install
install: ## Install the CRD and the admission policy into the current cluster.
	$(KUBECTL) apply --server-side -k config/crd
	$(KUBECTL) apply --server-side -k config/policy

.PHONY: uninstall
uninstall: ## Remove the admission policy and the CRD, and with it every VectorStoreFileBatch.
	$(KUBECTL) delete --ignore-not-found -k config/policy
	$(KUBECTL) delete --ignore-not-found -k config/crd

##@ Test

.PHONY: test
test: build bin/helm bin/kubeconform ## Run every test, against a real API server.
	$(ASSETS_WITH_CONTROLLERS) && go test -timeout=20m ./...

.PHONY: test-faults
test-faults: ## Inject faults into the built manager at every failpoint of every scenario. ARGS are its flags.
	$(ASSETS) && go run ./test/robustness/failpoints $(ARGS)

.PHONY: test-telemetry
test-telemetry: build bin/promtool bin/prometheus ## Test the alerts, the dashboard and the traces with a real Prometheus and an OTLP receiver.
	$(ASSETS) && go test -count=1 -timeout=15m ./test/observability

.PHONY: test-image
test-image: ## Test what makes the image: twice the same, nothing else in it, and everything accounted for.
	go -C hack/image test -count=1 ./...

# The platform of the cluster's nodes is taken to be this machine's.
.PHONY: test-node
test-node: bin/image ## Run the image on a real cluster, KUBECTL's. LOAD is the command that loads an archive; or else REGISTRY.
	$(call IMAGE,vector-store-operator,./cmd/manager) -platforms linux/$$(go env GOARCH)
	$(call IMAGE,vector-store-operator-emulator,./cmd/emulator) -platforms linux/$$(go env GOARCH)
	$(call IMAGE,vector-store-operator-probe,./test/e2e/node/probe) -platforms linux/$$(go env GOARCH)
	go test -count=1 -v -timeout=20m ./test/e2e/node -kubectl='$(KUBECTL)' -load='$(LOAD)' -restart-kubelet='$(KUBELET_RESTART)' \
		-registry='$(REGISTRY)' -archives=$$(printf '$(CURDIR)/bin/images/%s.tar,' vector-store-operator{,-emulator,-probe}) $(ARGS)

.PHONY: bench
bench: ## Measure the built manager and a baseline: SCALE=full takes half an hour, SCALE=small minutes. ARGS are its flags.
	go build -o bin/bench ./test/performance
	$(ASSETS) && exec bin/bench -scale=$(SCALE) -tags='$(TAGS)' $(ARGS)

.PHONY: test-race
test-race: ## Run the tests of internal/ with the race detector, which needs a C compiler.
	$(ASSETS) && CGO_ENABLED=1 go test -race -timeout=30m ./internal/...

.PHONY: test-sdk
test-sdk: ## Test the OpenAI emulator with the SDKs of other languages, if their runtimes are installed.
	go test -count=1 -v ./test/conformance

##@ Change

.PHONY: generate
generate: ## Write the DeepCopy methods from the types.
	$(TOOL) controller-gen object:headerFile=hack/boilerplate.go.txt paths=./api/...

.PHONY: manifests
manifests: ## Write the CRD from the types, and the operator's role from the markers beside the code that needs it.
	$(TOOL) controller-gen crd rbac:roleName=manager paths=./api/... paths=./internal/... \
		output:crd:artifacts:config=config/crd/bases output:rbac:dir=config/rbac

.PHONY: dist
dist: manifests ## Write all of config/default into the one file that installs it.
	mkdir -p dist
	$(TOOL) kustomize build config/default >dist/install.yaml

.PHONY: docs
docs: manifests ## Write what the docs say of fields, names and flags, and the patch of Argo CD's ConfigMap, from the code.
	go run ./hack/docs
	go run ./hack/metricsdocs >docs/metrics.md

.PHONY: chart
chart: manifests ## Copy into the chart what it has in common with config/.
	rm -rf $(CHART)/files
	for file in $(CHART_FILES); do \
		mkdir -p "$(CHART)/files/$$(dirname $$file)" && cp config/$$file $(CHART)/files/$$file || exit; \
	done

.PHONY: fmt
fmt: bin/golangci-lint ## Format the Go code.
	bin/golangci-lint fmt

.PHONY: lint
lint: bin/golangci-lint ## Lint the Go code.
	bin/golangci-lint run

.PHONY: lint-fix
lint-fix: bin/golangci-lint ## Lint the Go code, and mend what can be mended.
	bin/golangci-lint run --fix

.PHONY: licenses
licenses: ## Check the licences of everything that is linked into the programs of cmd/.
	go run -C hack/image ./licenses -root '$(CURDIR)' -tags '$(TAGS)' -platforms linux/amd64,darwin/arm64,windows/amd64 $(PROGRAMS)

.PHONY: vulnerabilities
vulnerabilities: ## Look for known vulnerabilities in what the programs of cmd/ call. GOVULNDB names another database.
	hack/vulnerabilities $(PROGRAMS)

.PHONY: tidy
tidy: ## Tidy the go.mod of every module.
	for module in $(MODULES); do go -C $$module mod tidy || exit; done

.PHONY: verify
verify: generate dist chart docs licenses vulnerabilities bin/golangci-lint ## Generate, tidy, lint, and check what is linked; then demand a clean tree with nothing untracked.
	hack/verify $(MODULES)

.PHONY: clean
clean: ## Remove what was built, the control plane too.
	rm -rf bin

bin/image: $(wildcard hack/image/*.go hack/image/*/*.go hack/image/go.*)
	go build -C hack/image -o '$(CURDIR)/$@' .

bin/golangci-lint: $(wildcard hack/tools/golangci/*)
	@echo "building golangci-lint with its plugins: a few minutes, and only when its versions change" >&2
	go build -C hack/tools/golangci -trimpath -ldflags='-s -w' -o '$(CURDIR)/$@' .
	@touch $@

# Without the discovery of targets in clouds, which no test needs, it takes a third of the time.
bin/prometheus bin/promtool: hack/tools/prometheus/go.mod hack/tools/prometheus/go.sum
	@echo "building $(@F): some minutes, and only when its version changes" >&2
	go build -C hack/tools/prometheus -trimpath -tags remove_all_sd -ldflags='-s -w' -o '$(CURDIR)/$@' github.com/prometheus/prometheus/cmd/$(@F)
	@touch $@

bin/helm: package := helm.sh/helm/v4/cmd/helm
bin/kubeconform: package := github.com/yannh/kubeconform/cmd/kubeconform
bin/helm bin/kubeconform: $(wildcard hack/tools/helm/*)
	@echo "building $@: a few minutes, and only when its version changes" >&2
	go build -C hack/tools/helm -trimpath -ldflags='-s -w' -o '$(CURDIR)/$@' $(package)
	@touch $@
