#!/usr/bin/env bash
# Usage: tools/benchcompare.sh BASE PACKAGES BENCHSTAT OUT
#
# Builds the commit BASE and the checkout as it is, runs the Go benchmarks of PACKAGES and
# the quick comparison of servers with both, in turns, so that whatever disturbs the machine
# disturbs both, and lets benchstat say what is different and what is noise. The samples are
# left in the directory OUT. ROUNDS=6 is how often each Go benchmark runs.
set -euo pipefail

base=$1 packages=$2 benchstat=$3 out=$4
rounds=${ROUNDS:-6}

if ! commit=$(git rev-parse --verify --quiet "$base^{commit}"); then
	echo "BASE=$base is no commit: give a branch, a tag or a hash, such as BASE=main" >&2
	exit 1
fi
aside=$(mktemp -d)
trap 'rm -rf "$aside"' EXIT
mkdir -p "$aside/base" "$out"
git archive "$commit" | tar -x -C "$aside/base"

build() { # tree, where to
	mkdir -p "$2"
	CGO_ENABLED=0 go -C "$1" build -trimpath -ldflags "-s -w" -o "$2/pathgrant" ./cmd/pathgrant
	for package in $packages; do
		if [ -d "$1/$package" ]; then
			go -C "$1" test -c -o "$2/$(basename "$package").test" "$package"
		fi
	done
}
build "$aside/base" "$aside/bin/base"
build "$PWD" "$aside/bin/head"

rm -f "$out"/{go,servers}-{base,head}.txt
touch "$out"/go-{base,head}.txt
for round in $(seq "$rounds"); do
	order="base head"
	if ((round % 2 == 0)); then order="head base"; fi
	for version in $order; do
		tree=$PWD
		if [ "$version" = base ]; then tree=$aside/base; fi
		for package in $packages; do
			test=$aside/bin/$version/$(basename "$package").test
			if [ -x "$test" ]; then
				(cd "$tree/$package" && "$test" -test.run '^$' -test.bench . -test.benchmem -test.benchtime 200ms) \
					>>"$out/go-$version.txt"
			fi
		done
	done
	echo "Go benchmarks: round $round of $rounds" >&2
done
go -C bench run . -pathgrant "$aside/bin/head/pathgrant" -against "$aside/bin/base/pathgrant" -benchstat "$aside"
mv "$aside/base.txt" "$out/servers-base.txt"
mv "$aside/head.txt" "$out/servers-head.txt"

echo
echo "In process: $base against the checkout"
"$benchstat" base="$out/go-base.txt" head="$out/go-head.txt"
echo
echo "As servers: $base against the checkout"
"$benchstat" base="$out/servers-base.txt" head="$out/servers-head.txt"
