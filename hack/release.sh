#!/usr/bin/env bash
# Copyright The vector-store-operator Authors.
# SPDX-License-Identifier: Apache-2.0
#
# Checks and builds a release.
#
#   hack/release.sh check TAG    checks that the tree is the tagged commit on the main branch
#   hack/release.sh build TAG    builds the image, and all other artifacts into bin/release
#
# With PUSH=1, build also pushes the image to REGISTRY, which ends in a slash.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

fail() {
	echo "release: $*" >&2
	exit 1
}

# check TAG fails unless the tree is exactly the tagged commit, its generated files are up to date,
# and the commit is on the main branch.
check() {
	local tag=$1 main=${MAIN:-origin/main} commit
	[[ $tag =~ ^v[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.-]+)?$ ]] || fail "$tag is not a version such as v1.2.3"
	commit=$(git rev-parse --verify --quiet "refs/tags/$tag^{commit}") || fail "there is no tag $tag"
	[[ $(git rev-parse HEAD) == "$commit" ]] || fail "HEAD is not the commit of $tag, $commit"
	git merge-base --is-ancestor "$commit" "$main" || fail "$tag is not on $main"
	[[ -z $(git status --porcelain) ]] || fail "the tree differs from $tag: $(git status --porcelain)"
	make generate build-installer >&2
	[[ -z $(git status --porcelain) ]] || fail "the generated files of $tag are outdated: $(git status --porcelain)"
	echo "release: the tree is $tag ($commit), on $main, without changes" >&2
}

# build TAG builds the artifacts of the release.
build() {
	local tag=$1 out=bin/release reference
	rm -rf "$out" && mkdir -p "$out"
	make image VERSION="$tag" TAG="$tag" | tee "$out/image.txt" >&2
	reference=$(tail -n 1 "$out/image.txt")
	rm "$out/image.txt"
	reference=${reference/index.docker.io\//docker.io/}
	echo "$reference" >"$out/image"
	cp bin/images/vector-store-operator-linux-*.spdx.json "$out"
	install "$reference" >"$out/install.yaml"
	chart "$tag" "$out"
	if [[ -d cmd/kubectl-vsfb ]]; then
		go run -C hack/image ./plugin -root "$PWD" -version "$tag" -created "$(git log -1 --format=%ct)" -o "$PWD/$out"
	fi
	(
		cd "$out"
		shopt -s nullglob
		sha256sum -- *.yaml *.json *.tgz *.tar.gz *.zip | tee checksums.txt
	)
}

# install REFERENCE prints config/default with the image by its digest, which is immutable.
install() {
	local folder reference=$1
	folder=$(mktemp -d -p bin)
	cat >"$folder/kustomization.yaml" <<-END
		apiVersion: kustomize.config.k8s.io/v1beta1
		kind: Kustomization
		resources: [../../config/default]
		images:
		- name: vector-store-operator
		  newName: ${reference%:*@*}
		  digest: ${reference#*@}
	END
	go tool -modfile=hack/tools/go.mod kustomize build "$folder"
	rm -r "$folder"
}

# chart TAG FOLDER packages the chart with the version of the release.
chart() {
	[[ -f charts/vector-store-operator/Chart.yaml ]] || return 0
	make bin/helm >&2
	bin/helm package charts/vector-store-operator --version "${1#v}" --app-version "$1" --destination "$2" >&2
}

case ${1:-}:$# in
check:2) check "$2" ;;
build:2) build "$2" ;;
*) fail "usage: hack/release.sh check|build TAG" ;;
esac
