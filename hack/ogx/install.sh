#!/usr/bin/env bash
# Copyright The vector-store-operator Authors.
# SPDX-License-Identifier: Apache-2.0
#
# Prints the directory of an OGX, the server that test/servers runs. Installs it from PyPI into
# bin/ogx if necessary, and reports progress to stderr.
#
#   [PYTHON=PROGRAM] [OGX=required] hack/ogx/install.sh
#
# OGX needs CPython 3.12 or newer. If there is none, or pip cannot install the packages, the script
# names what is missing and prints no directory; it fails only with OGX=required, which CI sets.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
bin=$root/bin/ogx
# tiktoken names its files by the SHA-1 of their URLs. This one is the vocabulary cl100k_base.
vocabulary=litellm/litellm_core_utils/tokenizers/9b5ad71b2ce5302211f9c61530b329a4922fc6a4

log() { echo "ogx: $*" >&2; }

skip() {
	log "SKIPPED: $*"
	if [[ ${OGX:-} == required ]]; then exit 1; fi
	exit 0
}

suitable() {
	"$1" -c 'import ensurepip, sys, venv
sys.exit(sys.implementation.name != "cpython" or sys.version_info < (3, 12))' >/dev/null 2>&1
}

# interpreter prints a suitable Python: $PYTHON, or the first of PATH, pyenv and uv. The shims of
# pyenv are in PATH and fail for a version that is installed and not active.
interpreter() {
	local candidate candidates=(python3.12 python3.13 python3.14 python3 python)
	candidates+=("${PYENV_ROOT:-${HOME:-}/.pyenv}"/versions/3.*/bin/python3)
	candidates+=("${HOME:-}"/.local/share/uv/python/cpython-3.*/bin/python3)
	if [[ -n ${PYTHON:-} ]]; then candidates=("$PYTHON"); fi
	for candidate in "${candidates[@]}"; do
		if suitable "$candidate"; then
			"$candidate" -c 'import sys; print(sys.executable)'
			return
		fi
	done
	return 1
}

# digest prints what an installation depends on. Its path counts because a venv cannot be moved.
digest() {
	"$python" - "$root" "$here"/{install.sh,requirements.txt,vocabulary.txt} <<'PYTHON'
import hashlib, sys
parts = [sys.version.encode(), sys.argv[1].encode()] + [open(path, "rb").read() for path in sys.argv[2:]]
print(hashlib.sha256(b"\0".join(hashlib.sha256(part).digest() for part in parts)).hexdigest())
PYTHON
}

# pip runs pip with its configuration. It installs nothing but the files of these lists.
pip() {
	"$bin/venv/bin/python" -m pip "$@" --quiet --disable-pip-version-check --no-input --no-deps --require-hashes --only-binary=:all:
}

# unpack WHEEL writes the vocabulary of a wheel into $bin/vocabulary.
unpack() {
	"$python" - "$1" "$vocabulary" "$bin/vocabulary" <<'PYTHON'
import os, sys, zipfile
wheel, name, directory = sys.argv[1:]
with open(os.path.join(directory, os.path.basename(name)), "wb") as file:
    file.write(zipfile.ZipFile(wheel).read(name))
PYTHON
}

# install is called in a condition, where set -e has no effect.
install() {
	rm -rf "$bin" && mkdir -p "$bin/vocabulary" && "$python" -m venv "$bin/venv" &&
		pip install --requirement "$here/requirements.txt" &&
		pip download --requirement "$here/vocabulary.txt" --dest "$bin/wheels" &&
		unpack "$bin"/wheels/*.whl && rm -r "$bin/wheels"
}

python=$(interpreter) ||
	skip "CPython 3.12 or newer is missing: install it with its venv module (such as the packages python3.12 and" \
		"python3.12-venv), or set PYTHON to it"
digest=$(digest)
if [[ $(cat "$bin/digest" 2>/dev/null) != "$digest" ]]; then
	log "installing into bin/ogx with $("$python" --version) ($python): takes a few minutes, after a version change only"
	output=$(mktemp) && trap 'rm -f "$output"' EXIT
	if ! install >"$output" 2>&1; then
		cat "$output" >&2
		if grep -q 'DO NOT MATCH THE HASHES' "$output"; then exit 1; fi
		skip "pip could not install the packages of hack/ogx: it needs PyPI, or an index that pip is configured for," \
			"and a platform for which the packages have wheels"
	fi
	echo "$digest" >"$bin/digest"
fi
echo "$bin"
