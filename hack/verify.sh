#!/usr/bin/env bash
# Copyright The vector-store-operator Authors.
# SPDX-License-Identifier: Apache-2.0
#
# Checks go.mod and go.sum of the modules, the scripts and the Go code, and then requires a clean
# tree: `make verify` regenerates all generated files before it runs this script.
#
#   hack/verify.sh MODULE...
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

step() { echo "verify: $*" >&2; }

# scripts prints the tracked and untracked files whose first line is the shebang of a shell.
scripts() {
	local file first
	git ls-files --cached --others --exclude-standard | while read -r file; do
		[[ -f $file ]] || continue
		IFS= read -r first <"$file" || true
		if [[ $first == '#!'*sh ]]; then echo "$file"; fi
	done
}

step "go.mod and go.sum of $*"
for module in "$@"; do
	go -C "$module" mod tidy -diff
	go -C "$module" mod verify
done

step "syntax of the scripts"
scripts | while read -r script; do
	bash -n "$script"
	if command -v shellcheck >/dev/null; then shellcheck "$script"; fi
done

step "lint"
bin/golangci-lint config verify
bin/golangci-lint run

step "clean tree"
changes=$(git status --porcelain)
if [[ -n $changes ]]; then
	git --no-pager diff
	echo "verify: these files are changed or untracked:" >&2
	echo "$changes" >&2
	exit 1
fi
