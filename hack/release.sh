#!/usr/bin/env bash
# Copyright The vector-store-operator Authors.
# SPDX-License-Identifier: Apache-2.0
#
# Checks, builds and publishes a release.
#
#   hack/release.sh check TAG      checks that the tree is the tagged commit on the main branch
#   hack/release.sh build TAG      builds all artifacts into OUT, and publishes nothing
#   hack/release.sh image TAG      a part of build: the images of the operator and of the plugin as archives,
#                                  and their SBOMs
#   hack/release.sh manifests TAG  a part of build: install.yaml and the chart, with the digest of the image
#   hack/release.sh publish TAG    publishes the artifacts in OUT
#
# OUT is bin/release by default. REGISTRY, which ends in a slash, overrides the registry of the image.
#
# publish compiles nothing and runs no code of this repository's modules, because it has credentials. It
# needs skopeo, helm, cosign, gh and jq. It can be repeated: what is published already must be the same.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

out=${OUT:-bin/release}
# Without REGISTRY, make derives it from config/manager/manager.yaml.
[[ -n ${REGISTRY:-} ]] || unset REGISTRY

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
	local tag=$1
	rm -rf "$out"
	image "$tag"
	manifests "$tag"
	go run -C hack/image ./plugin -root "$PWD" -version "$tag" -created "$(git log -1 --format=%ct)" -o "$(realpath "$out")"
	(
		cd "$out"
		shopt -s nullglob
		sha256sum -- *.yaml *.json *.tar *.tgz *.tar.gz *.zip image image-plugin | tee checksums.txt
	)
}

# image TAG builds the images. The files image and image-plugin have their references, REGISTRY/NAME:TAG@DIGEST.
image() {
	mkdir -p "$out"
	build_image image "$1" >"$out/image"
	build_image image-plugin "$1" >"$out/image-plugin"
}

# build_image TARGET TAG builds an image with make, and prints its reference.
build_image() {
	local target=$1 tag=$2 lines
	lines=$(make --no-print-directory "$target" VERSION="$tag" TAG="$tag" IMAGES="$out" | tee /dev/stderr)
	lines=${lines##*$'\n'}
	echo "${lines/index.docker.io\//docker.io/}"
}

# manifests TAG writes the manifests, which name the image by its digest, which is immutable.
manifests() {
	local tag=$1 reference
	reference=$(cat "$out/image")
	install "$reference" >"$out/install.yaml"
	chart "$tag" "$reference"
}

# install REFERENCE prints config/default with the image.
install() {
	local folder reference=$1 name
	name=$(sed -n 's|^ *image: \(.*\):[^:]*$|\1|p' config/manager/manager.yaml)
	mkdir -p bin
	folder=$(mktemp -d -p bin)
	cat >"$folder/kustomization.yaml" <<-END
		apiVersion: kustomize.config.k8s.io/v1beta1
		kind: Kustomization
		resources: [../../config/default]
		images:
		- name: $name
		  newName: ${reference%:*@*}
		  digest: ${reference#*@}
	END
	go tool -modfile=hack/tools/go.mod kustomize build "$folder"
	rm -r "$folder"
}

# chart TAG REFERENCE packages the chart with the version of the release and the image as its default.
chart() {
	local tag=$1 reference=$2 folder name
	name=${reference%:*@*}
	[[ -x bin/helm ]] || make bin/helm >&2
	folder=$(mktemp -d)
	cp -r charts/vector-store-operator "$folder"
	sed -i -e "s|^  registry: .*|  registry: ${name%%/*}|" \
		-e "s|^  repository: .*|  repository: ${name#*/}|" \
		-e "s|^  digest: .*|  digest: ${reference#*@}|" "$folder/vector-store-operator/values.yaml"
	sed -i "s|^      image: .*/vector-store-operator:.*|      image: $reference|" "$folder/vector-store-operator/Chart.yaml"
	bin/helm package "$folder/vector-store-operator" --version "${tag#v}" --app-version "$tag" --destination "$out" >&2
	rm -r "$folder"
	bin/helm template packed "$out/vector-store-operator-${tag#v}.tgz" | grep -qF "image: \"$name@${reference#*@}\"" ||
		fail "the packed chart does not install $reference"
}

# publish TAG publishes the images, the chart and the files, with signatures.
publish() {
	local tag=$1 reference registry
	(cd "$out" && sha256sum --check --strict checksums.txt) >&2
	publish_image image "$tag"
	publish_image image-plugin "$tag"
	reference=$(cat "$out/image")
	registry=${reference%:*@*} registry=${registry%/*}
	helm push "$out/vector-store-operator-${tag#v}.tgz" "oci://$registry/charts" 2>&1 | tee "$out/pushed" >&2
	cosign sign --yes "$registry/charts/vector-store-operator@$(grep -o 'sha256:[0-9a-f]*' "$out/pushed")"
	rm "$out/pushed"
	[[ -e $out/checksums.txt.sigstore.json ]] || cosign sign-blob --yes --bundle "$out/checksums.txt.sigstore.json" "$out/checksums.txt"
	gh release view "$tag" >/dev/null 2>&1 || gh release create "$tag" --verify-tag --generate-notes --draft
	gh release upload "$tag" --clobber "$out"/*
	gh release edit "$tag" --draft=false
}

# publish_image FILE TAG publishes the image whose reference is in FILE, from the archive with its name, and signs it
# and its bills of materials.
publish_image() {
	local tag=$2 reference name digest bill platform
	reference=$(cat "$out/$1")
	name=${reference%:*@*} digest=${reference#*@}
	once "$name:$tag" "$digest" || skopeo copy --all --preserve-digests "oci-archive:$out/${name##*/}.tar" "docker://$name:$tag"
	once "$name:$tag" "$digest" || fail "$name:$tag is not $digest after the push"
	cosign sign --yes "$name@$digest"
	for bill in "$out/${name##*/}"-*.spdx.json; do
		platform=$(jq -r '.packages[0].checksums[0].checksumValue' "$bill")
		cosign attest --yes --type spdxjson --predicate "$bill" "$name@sha256:$platform"
	done
}

# once REFERENCE DIGEST succeeds if REFERENCE is in its registry and has the digest, fails if it is not in the
# registry, and ends the script if it has another digest: a released tag does not change.
once() {
	local found
	found=$(skopeo inspect --raw "docker://$1" 2>/dev/null | sha256sum | cut -d ' ' -f 1) || return 1
	[[ sha256:$found == "$2" ]] || fail "$1 is sha256:$found already, not $2"
}

case ${1:-}:$# in
check:2 | build:2 | image:2 | manifests:2 | publish:2) "$1" "$2" ;;
*) fail "usage: hack/release.sh check|build|image|manifests|publish TAG" ;;
esac
