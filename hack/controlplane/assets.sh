#!/usr/bin/env bash
# Copyright The vector-store-operator Authors.
# SPDX-License-Identifier: Apache-2.0
#
# Prints a directory that holds etcd, kube-apiserver and kubectl. Downloads or builds them if
# necessary, and reports progress to stderr.
#
#   [KUBERNETES=1.MINOR] hack/controlplane/assets.sh [--with kube-controller-manager]
#
# KUBERNETES selects a release that a folder here pins. The default is the newest.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
export GOWORK=off # go tool rejects -modfile inside a workspace

log() { echo "control plane: $*" >&2; }

fail() {
	log "$*"
	exit 1
}

# pinned MODULE prints its version in go.mod of the folder $module.
pinned() { awk -v path="$1" '$1 == path { print $2; exit }' "$module/go.mod"; }

# release prints the minor release that $module pins: 1.37.
release() {
	local version
	version=$(pinned k8s.io/kubernetes)
	version=${version#v}
	echo "${version%.*}"
}

# The folder whose go.mod pins the selected release.
module=$here
if [[ -n ${KUBERNETES:-} && ${KUBERNETES#v} != "$(release)" ]]; then
	module=$here/${KUBERNETES#v}
	[[ -f $module/go.mod ]] || fail "KUBERNETES is $KUBERNETES, which no folder of hack/controlplane pins"
fi
kubernetes=$(pinned k8s.io/kubernetes)
etcd=$(pinned go.etcd.io/etcd/server/v3)
release=$(release)

bin=$root/bin/controlplane
built=$bin/kubernetes-$kubernetes-etcd-$etcd
unanswered=$bin/download-unanswered
programs=(etcd kube-apiserver kubectl)
setup_envtest=(go tool -C "$root" -modfile="$root/hack/tools/go.mod" setup-envtest)

# missing DIR PROGRAM... prints, in one line, the programs that DIR lacks.
missing() {
	local dir=$1 program lacks=
	shift
	for program in "$@"; do
		[[ -x $dir/$program ]] || lacks+=" $program"
	done
	echo "${lacks# }"
}

complete() { [[ -d $1 && -z $(missing "$1" "${programs[@]}") ]]; }

# within SECONDS COMMAND... runs a command with a timeout, if the system has timeout(1). macOS does not.
within() {
	if command -v timeout >/dev/null; then timeout "$@"; else "${@:2}"; fi
}

installed() { "${setup_envtest[@]}" use --installed-only --print path "$release.x" 2>/dev/null; }

# downloaded prints the directory of a new download. It requests the list first, so that a machine
# without that network loses seconds instead of the timeout of a large file. After a failure, it
# does not try again for an hour.
downloaded() {
	if [[ -n $(find "$unanswered" -mmin -60 2>/dev/null) ]]; then
		return 1
	fi
	if within 15 "${setup_envtest[@]}" list "$release.x" 2>/dev/null | grep '(available)' >/dev/null; then
		log "downloading Kubernetes $release with setup-envtest"
		within 600 "${setup_envtest[@]}" use --print path "$release.x" 2>/dev/null && return
	fi
	log "setup-envtest cannot download Kubernetes $release; next attempt in an hour"
	mkdir -p "$bin" && touch "$unanswered"
	return 1
}

# build PROGRAM... builds the programs that are not built yet from Go modules.
build() {
	local wanted started=$SECONDS program
	wanted=$(missing "$built" "$@")
	[[ -n $wanted ]] || return 0
	log "building $wanted (Kubernetes $kubernetes, etcd $etcd) from source:" \
		"takes up to 7 minutes on 2 cores, the first time only"
	mkdir -p "$built"
	for program in $wanted; do
		compile "$program" || fail "building $program failed"
	done
	log "built in $(((SECONDS - started) / 60))m$(((SECONDS - started) % 60))s"
}

# compile PROGRAM builds under a temporary name and then renames the file, so that interrupted and
# concurrent runs never leave an incomplete program.
compile() {
	local program=$1 package=k8s.io/kubernetes/cmd/$1 version=k8s.io/component-base/version
	if [[ $program == etcd ]]; then package=go.etcd.io/etcd/server/v3; fi
	CGO_ENABLED=0 go build -C "$module" -trimpath -o "$built/.$program.$$" -ldflags="-s -w \
-X $version.gitVersion=$kubernetes -X $version.gitMajor=${release%.*} -X $version.gitMinor=${release#*.}" "$package" >&2 &&
		mv "$built/.$program.$$" "$built/$program"
}

# found prints a directory that holds the three required programs.
found() {
	local dir=${KUBEBUILDER_ASSETS:-} lacks
	if [[ -n $dir ]]; then
		lacks=$(missing "$dir" "${programs[@]}")
		[[ -z $lacks ]] || fail "KUBEBUILDER_ASSETS is $dir, which lacks $lacks"
		[[ -z ${KUBERNETES:-} || $("$dir/kube-apiserver" --version) == "Kubernetes v$release."* ]] ||
			fail "KUBEBUILDER_ASSETS is $dir, which has another release than KUBERNETES=$KUBERNETES"
		(cd "$dir" && pwd)
	elif complete "$built"; then
		echo "$built"
	elif dir=$(installed) && complete "$dir"; then
		echo "$dir"
	elif dir=$(downloaded) && complete "$dir"; then
		echo "$dir"
	else
		build "${programs[@]}"
		echo "$built"
	fi
}

# joined DIR PROGRAM prints a directory that holds the programs of DIR and PROGRAM.
joined() {
	local dir=$1 extra=$2 linked=$bin/linked-$release program
	if [[ -n $(missing "$dir" "$extra") ]]; then
		build "$extra"
		if [[ $dir != "$built" ]]; then
			mkdir -p "$linked"
			for program in "${programs[@]}"; do ln -sf "$dir/$program" "$linked/$program"; done
			ln -sf "$built/$extra" "$linked/$extra"
			dir=$linked
		fi
	fi
	echo "$dir"
}

[[ -n $kubernetes && -n $etcd ]] || fail "$module/go.mod must pin k8s.io/kubernetes and go.etcd.io/etcd/server/v3"
case $* in
'')
	found
	;;
'--with kube-controller-manager')
	dir=$(found)
	joined "$dir" kube-controller-manager
	;;
*)
	fail "usage: hack/controlplane/assets.sh [--with kube-controller-manager]"
	;;
esac
