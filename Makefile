# Requires Go, git and make. Every other tool is pinned in its own Go module: hack/tools
# (generators), hack/tools/helmdocs (the README of the chart), hack/tools/golangci (the linter), hack/tools/helm (Helm and kubeconform),
# hack/tools/prometheus, hack/tools/gremlins (the mutation tester), and hack/controlplane (the API
# server of the demo and the tests).
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
KUBECTL ?= kubectl
# The Kubernetes release of the demo and the tests: 1.32 is the oldest that is supported. The default is
# the newest.
KUBERNETES ?=
export KUBERNETES
KEEP ?=
SCALE ?= full
ARGS ?=

# The image. config/manager/manager.yaml names it, for everything that installs it. REGISTRY, which ends in
# a slash, and TAG override the parts of that name; PUSH=1 pushes the image.
REGISTRY ?= $(shell sed -n 's|^ *image: \(.*/\)vector-store-operator:.*|\1|p' config/manager/manager.yaml)
TAG ?= $(shell sed -n 's|^ *image: .*/vector-store-operator:||p' config/manager/manager.yaml)
IMG ?= $(REGISTRY)vector-store-operator:$(TAG)
PLATFORMS ?= linux/amd64,linux/arm64
PUSH ?=
# The commit and its time make the image reproducible.
REVISION ?= $(shell git rev-parse HEAD 2>/dev/null)
SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null || echo 0)
# For test-node: the command that loads an image archive into the nodes of the cluster, and the
# command that restarts a kubelet.
LOAD ?=
KUBELET_RESTART ?=

export CGO_ENABLED ?= 0
# go rejects -modfile inside a workspace.
export GOWORK := off

# grpcnotrace excludes the trace pages of gRPC, and with them text/template. Without templates the
# linker removes unused methods, which saves 10 MB of memory in the manager.
TAGS := grpcnotrace
BUILD := go build -trimpath -tags=$(TAGS) -ldflags='-s -w -X main.version=$(VERSION)'
TOOL := go tool -modfile=hack/tools/go.mod
CHART := charts/vector-store-operator
# The files that the chart copies from config/.
CHART_FILES := $(addprefix crd/bases/, vector-store-operator.dev_vectorstorefilebatches.yaml) \
	$(addprefix rbac/, role.yaml leader_election_role.yaml metrics_auth_role.yaml metrics_reader_role.yaml \
		vectorstorefilebatch_admin_role.yaml vectorstorefilebatch_editor_role.yaml vectorstorefilebatch_viewer_role.yaml) \
	$(addprefix policy/, attributes.yaml) $(addprefix prometheus/, rules.yaml dashboard.json)
MODULES := . hack/bundle hack/controlplane hack/controlplane/1.32 hack/image hack/tools hack/tools/golangci hack/tools/gremlins \
	hack/tools/helm hack/tools/helmdocs hack/tools/prometheus
IMAGE = bin/image -tag '$(REGISTRY)$(1):$(TAG)' -o '$(IMAGES)' -program $(2) -tags '$(TAGS)' -version '$(VERSION)' -revision '$(REVISION)' \
	-created $(SOURCE_DATE_EPOCH) $(if $(PUSH),-push)
# The directory of the archives and SBOMs.
IMAGES = bin/images
PROGRAMS = $(wildcard ./cmd/*)
# Sets KUBEBUILDER_ASSETS to a directory with etcd, kube-apiserver and kubectl, which the script
# downloads or builds if necessary.
ASSETS = assets=$$(hack/controlplane/assets.sh) && export KUBEBUILDER_ASSETS=$$assets
# Includes kube-controller-manager, which deletes namespaces.
ASSETS_WITH_CONTROLLERS = assets=$$(hack/controlplane/assets.sh --with kube-controller-manager) && export KUBEBUILDER_ASSETS=$$assets

.PHONY: help
help: ## List the targets.
	@awk 'BEGIN { FS = ":.*## "; printf "make TARGET\n" } \
		/^##@ / { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z-]+:.*## / { printf "  %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

##@ Demo

.PHONY: demo
demo: build ## Run the operator with a real API server and the OpenAI emulator. KEEP=1 keeps it running.
	go build -o bin/ ./hack/demo
	$(ASSETS) && exec bin/demo $(if $(KEEP),--keep) $(ARGS)

.PHONY: picture
picture: build ## Draw the picture of the README from commands in the cluster of the demo.
	go build -o bin/ ./hack/demo ./hack/picture
	mkdir -p docs/images
	$(ASSETS) && bin/picture >docs/images/demo.svg

##@ Build and deploy

.PHONY: build
build: ## Build all programs of cmd/ into bin/.
	$(BUILD) -o bin/ ./cmd/...

.PHONY: image
image: bin/image ## Build the container image, an archive and an SBOM. Uses PLATFORMS, REGISTRY, TAG, PUSH=1.
	$(call IMAGE,vector-store-operator,./cmd/manager) -platforms '$(PLATFORMS)'

.PHONY: image-emulator
image-emulator: bin/image ## Build the image of the OpenAI emulator, for config/emulator.
	$(call IMAGE,vector-store-operator-emulator,./cmd/emulator) -platforms '$(PLATFORMS)'

.PHONY: image-plugin
image-plugin: bin/image ## Build the container image of kubectl vsfb, for Jobs and CI. Uses the variables of image.
	$(call IMAGE,kubectl-vsfb,./cmd/kubectl-vsfb) -platforms '$(PLATFORMS)' -about 'kubectl vsfb, the plugin for the file batches of OpenAI vector stores'

.PHONY: sbom
sbom: image ## Build the image and list its SBOMs, in SPDX format.
	@ls bin/images/vector-store-operator-linux-*.spdx.json

.PHONY: docker-build
docker-build: image ## Alias of image; does not need Docker.

.PHONY: docker-push
docker-push: PUSH = 1
docker-push: image ## Build the image and push it to REGISTRY.

.PHONY: run
run: build ## Run the operator locally, with the cluster of the current kubeconfig. ARGS are its flags.
	bin/manager --metrics-bind-address=127.0.0.1:8443 --health-probe-bind-address=127.0.0.1:8081 $(ARGS)

.PHONY: install
install: ## Install the CRD and the admission policies into the current cluster.
	$(KUBECTL) apply --server-side -k config/crd
	$(KUBECTL) apply --server-side -k config/policy

.PHONY: uninstall
uninstall: ## Delete the admission policies, the CRD and every VectorStoreFileBatch.
	$(KUBECTL) delete --ignore-not-found -k config/policy
	$(KUBECTL) delete --ignore-not-found -k config/crd

.PHONY: deploy
deploy: ## Deploy the operator to the current cluster. IMG is its image.
	$(TOOL) kustomize build config/default | sed 's|image: .*/vector-store-operator:.*$$|image: $(IMG)|' | $(KUBECTL) apply --server-side -f -

# Only a running operator removes the finalizers of the objects, so they must be deleted first.
.PHONY: undeploy
undeploy: ## Remove the operator, the admission policies and the CRD. Requires that no VectorStoreFileBatch exists.
	@! $(KUBECTL) get vectorstorefilebatches.vector-store-operator.dev --all-namespaces --output=name 2>/dev/null | grep . || \
		{ echo 'undeploy: delete these objects while the operator runs: kubectl delete vsfb --all --all-namespaces' >&2; exit 1; }
	$(TOOL) kustomize build config/default | $(KUBECTL) delete --ignore-not-found -f -

##@ Test

.PHONY: test
test: build bin/helm bin/kubeconform ## Run all tests, with a real API server.
	$(ASSETS_WITH_CONTROLLERS) && go test -timeout=20m ./...

.PHONY: test-kubernetes
test-kubernetes: build bin/helm bin/kubeconform ## Run the API, controller and end-to-end tests only, such as with KUBERNETES=1.32.
	$(ASSETS_WITH_CONTROLLERS) && go test -timeout=20m ./api/... ./internal/controller ./test/e2e/...

.PHONY: test-mutation
test-mutation: bin/gremlins ## Test the tests: they must notice a changed operator. ARGS are folders or files; takes hours on 2 cores.
	go run ./hack/mutation $(ARGS)

.PHONY: test-known-faults
test-known-faults: ## Test the tests: they must detect each fault of hack/mutation/faults.yaml. ARGS are names of faults.
	$(ASSETS) && go run ./hack/mutation -faults $(ARGS)

.PHONY: test-faults
test-faults: ## Inject faults into the built manager at every failpoint of every scenario, for an hour. ARGS are its flags.
	$(ASSETS) && go run ./test/robustness/failpoints $(ARGS)

.PHONY: test-memory
test-memory: ## Measure the peak memory of the built manager beside 1,000 large objects and Secrets, and hostile servers.
	$(ASSETS) && go test -count=1 -timeout=60m ./test/robustness/memory -objects=1000 $(ARGS)

.PHONY: test-telemetry
test-telemetry: build bin/promtool bin/prometheus ## Test the alerts, the dashboard and the traces with a real Prometheus and an OTLP receiver.
	$(ASSETS) && go test -count=1 -timeout=15m ./test/observability

.PHONY: test-image
test-image: ## Test that the image is reproducible, minimal, and fully listed in its SBOM.
	go -C hack/image test -count=1 ./...

# Builds the images for the architecture of this machine, which the nodes must share.
.PHONY: test-node
test-node: IMAGES = bin/images/node
test-node: bin/image ## Test the image on the cluster of KUBECTL. Requires LOAD or REGISTRY.
	$(call IMAGE,vector-store-operator,./cmd/manager) -platforms linux/$$(go env GOARCH)
	$(call IMAGE,vector-store-operator-emulator,./cmd/emulator) -platforms linux/$$(go env GOARCH)
	$(call IMAGE,vector-store-operator-probe,./test/e2e/node/probe) -platforms linux/$$(go env GOARCH)
	go test -count=1 -v -timeout=20m ./test/e2e/node -kubectl='$(KUBECTL)' -load='$(LOAD)' -restart-kubelet='$(KUBELET_RESTART)' \
		-registry='$(REGISTRY)' -archives=$$(printf '$(CURDIR)/$(IMAGES)/%s.tar,' vector-store-operator{,-emulator,-probe}) $(ARGS)

.PHONY: bench
bench: ## Measure the built manager and a baseline: SCALE=full takes half an hour, SCALE=small minutes. ARGS are its flags.
	go build -o bin/bench ./test/performance
	$(ASSETS) && exec bin/bench -scale=$(SCALE) -tags='$(TAGS)' $(ARGS)

.PHONY: test-race
# -short reduces the property tests, which run pure functions in one goroutine.
test-race: ## Run the tests of internal/ with the race detector. Requires a C compiler.
	$(ASSETS) && CGO_ENABLED=1 go test -race -short -timeout=30m ./internal/...

.PHONY: test-servers
test-servers: ## Test the operator with OGX, a real server. Skipped without Python 3.12 or PyPI, unless OGX=required.
	ogx=$$(hack/ogx/install.sh) && if [[ -n $$ogx ]]; then \
		$(ASSETS) && OGX_DIR=$$ogx go test -count=1 -v -timeout=15m ./test/servers $(ARGS); fi

.PHONY: test-sdk
test-sdk: ## Test the OpenAI emulator with the SDKs of other languages, if their runtimes are installed.
	go test -count=1 -v ./test/conformance

##@ Development

.PHONY: generate
generate: ## Generate the DeepCopy methods from the types.
	$(TOOL) controller-gen object:headerFile=hack/boilerplate.go.txt paths=./api/...

.PHONY: manifests
manifests: ## Generate the CRD from the types and the role from the RBAC markers.
	$(TOOL) controller-gen crd rbac:roleName=manager-role paths=./api/... paths=./internal/... \
		output:crd:artifacts:config=config/crd/bases output:rbac:dir=config/rbac

.PHONY: build-installer
build-installer: manifests ## Generate dist/install.yaml from config/default.
	mkdir -p dist
	$(TOOL) kustomize build config/default >dist/install.yaml

.PHONY: dist
dist: build-installer ## Alias of build-installer.

.PHONY: docs
docs: manifests ## Generate the reference, the metrics page and the Argo CD ConfigMap from the code.
	go run ./hack/docs
	go run ./hack/metricsdocs >docs/reference/metrics.md

.PHONY: chart
chart: manifests bin/helm-docs ## Copy the shared manifests from config/ into the chart, and generate its README and descriptions.
	rm -rf $(CHART)/files
	for file in $(CHART_FILES); do \
		mkdir -p "$(CHART)/files/$$(dirname $$file)" && cp config/$$file $(CHART)/files/$$file || exit; \
	done
	go run ./hack/chart $(CHART)
	bin/helm-docs --chart-search-root=$(CHART) --sort-values-order=file --badge-style=flat --log-level=warning

.PHONY: bundle
bundle: build-installer ## Generate the bundle for the Operator Lifecycle Manager from dist/install.yaml.
	go run -C hack/bundle .

.PHONY: test-bundle
test-bundle: ## Validate the bundle, as operator-sdk does.
	go -C hack/bundle test -count=1 ./...

.PHONY: fmt
fmt: bin/golangci-lint ## Format the Go code.
	bin/golangci-lint fmt

.PHONY: lint
lint: bin/golangci-lint ## Lint the Go code.
	bin/golangci-lint run

.PHONY: lint-fix
lint-fix: bin/golangci-lint ## Lint the Go code and fix what can be fixed automatically.
	bin/golangci-lint run --fix

.PHONY: licenses
licenses: ## Check the licenses of all modules linked into the programs of cmd/.
	go run -C hack/image ./licenses -root '$(CURDIR)' -tags '$(TAGS)' -platforms linux/amd64,darwin/arm64,windows/amd64 $(PROGRAMS)

.PHONY: vulnerabilities
vulnerabilities: ## Check the programs of cmd/ for known vulnerabilities. GOVULNDB overrides the database.
	hack/vulnerabilities.sh $(PROGRAMS)

.PHONY: tidy
tidy: ## Run go mod tidy in every module.
	for module in $(MODULES); do go -C $$module mod tidy || exit; done

.PHONY: verify
verify: generate build-installer bundle chart docs licenses vulnerabilities bin/golangci-lint ## Regenerate and check everything, then require a clean tree without untracked files.
	hack/verify.sh $(MODULES)

.PHONY: clean
clean: ## Delete bin/, with the control plane and all tools.
	rm -rf bin

bin/image: $(wildcard hack/image/*.go hack/image/*/*.go hack/image/go.*)
	go build -C hack/image -o '$(CURDIR)/$@' .

bin/golangci-lint: $(wildcard hack/tools/golangci/*)
	@echo "building golangci-lint with its plugins: takes a few minutes, after a version change only" >&2
	go build -C hack/tools/golangci -trimpath -ldflags='-s -w' -o '$(CURDIR)/$@' .
	@touch $@

bin/gremlins: hack/tools/gremlins/go.mod hack/tools/gremlins/go.sum
	go build -C hack/tools/gremlins -trimpath -ldflags='-s -w' -o '$(CURDIR)/$@' github.com/go-gremlins/gremlins/cmd/gremlins
	@touch $@

# remove_all_sd excludes the service discovery of clouds, which cuts the build time to a third.
bin/prometheus bin/promtool: hack/tools/prometheus/go.mod hack/tools/prometheus/go.sum
	@echo "building $(@F): takes some minutes, after a version change only" >&2
	go build -C hack/tools/prometheus -trimpath -tags remove_all_sd -ldflags='-s -w' -o '$(CURDIR)/$@' github.com/prometheus/prometheus/cmd/$(@F)
	@touch $@

bin/helm-docs: hack/tools/helmdocs/go.mod hack/tools/helmdocs/go.sum
	go build -C hack/tools/helmdocs -trimpath -ldflags='-s -w' -o '$(CURDIR)/$@' github.com/norwoodj/helm-docs/cmd/helm-docs
	@touch $@

bin/helm: package := helm.sh/helm/v4/cmd/helm
bin/kubeconform: package := github.com/yannh/kubeconform/cmd/kubeconform
bin/helm bin/kubeconform: $(wildcard hack/tools/helm/*)
	@echo "building $@: takes a few minutes, after a version change only" >&2
	go build -C hack/tools/helm -trimpath -ldflags='-s -w' -o '$(CURDIR)/$@' $(package)
	@touch $@
