#!/usr/bin/env bash
# Runs govulncheck against a local copy of the Go vulnerability database, a directory or
# a .tgz of one, usage: tools/vulncheck.sh GOVULNCHECK DATABASE PACKAGE...
set -euo pipefail

[ $# -ge 3 ] || { echo "usage: $0 GOVULNCHECK DATABASE PACKAGE..." >&2; exit 2; }
govulncheck=$1 database=$2
shift 2

if [ -f "$database" ]; then
	unpacked=$(mktemp -d)
	trap 'rm -rf "$unpacked"' EXIT
	tar -xzf "$database" -C "$unpacked"
	database=$unpacked
fi
# The directory that holds index/db.json is the database, however deep it was packed.
index=$(find "$database" -path '*/index/db.json' -print -quit 2>/dev/null || true)
[ -n "$index" ] || { echo "govulncheck: no index/db.json below $database" >&2; exit 1; }
database=$(cd "$(dirname "$index")/.." && pwd)

"$govulncheck" -db "file://$database" "$@"
