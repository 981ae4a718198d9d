#!/usr/bin/env bash
# Runs each fuzz target of the module for a while, usage: tools/fuzz.sh '^Fuzz' 30s
#
# go test fuzzes one target of one package at a time, so they are listed first. A target
# that fails does not stop the others; its input stays in testdata/fuzz.
set -euo pipefail

[ $# -eq 2 ] || { echo "usage: $0 PATTERN DURATION" >&2; exit 2; }
pattern=$1 duration=$2

# Names come first, then the line "ok <package> <time>" that they belong to.
listed=$(go test -list "$pattern" ./...) || { echo "$listed" >&2; exit 1; }
targets=$(awk '/^Fuzz/ {names[++n] = $1} $1 == "ok" {for (i = 1; i <= n; i++) print $2, names[i]; n = 0}' <<<"$listed")
[ -n "$targets" ] || { echo "no fuzz target matches $pattern" >&2; exit 1; }

failed=()
while read -r package name; do
	echo "== $package $name"
	# </dev/null: nothing the tests start may read the list of targets.
	go test -run '^$' -fuzz "^$name\$" -fuzztime "$duration" "$package" </dev/null || failed+=("$package $name")
done <<<"$targets"

if [ ${#failed[@]} -gt 0 ]; then
	printf 'failed: %s\n' "${failed[@]}" >&2
	exit 1
fi
