#!/usr/bin/env bash
# Copyright The vector-store-operator Authors.
# SPDX-License-Identifier: Apache-2.0
#
# Checks the code that the given programs call for known vulnerabilities.
#
#   hack/vulnerabilities.sh PACKAGE...
#
# GOVULNDB overrides the database, https://vuln.go.dev. A file:// URL names a folder of OSV files.
# If the database is unreachable, the script reports that it checked nothing, and fails only with
# VULNERABILITIES=required, which CI sets.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit

code=0
output=$(go tool -modfile=hack/tools/go.mod govulncheck "$@" 2>&1) || code=$?
# govulncheck exits with 3 if it finds vulnerabilities, and with 1 if it fails.
if ((code == 1)) && grep -qE 'fetching vulnerabilities|no such host|dial tcp|timeout|proxyconnect|HTTP GET' <<<"$output"; then
	echo "vulnerabilities: SKIPPED: the database is unreachable" >&2
	tail -n 1 <<<"$output" >&2
	if [[ ${VULNERABILITIES:-} == required ]]; then exit 1; fi
	exit 0
fi
echo "$output"
exit "$code"
