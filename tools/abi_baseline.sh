#!/bin/sh
# Write down libwirehub's ABI as it is now: after a release, or an addition that is meant.
set -eu
cd "$(dirname "$0")/.."
headers=$(mktemp -d)
trap 'rm -rf "$headers"' EXIT
cmake --install build/release --prefix "$headers" --component libwirehub-dev >/dev/null
abidw --exported-interfaces-only --headers-dir "$headers/include" --drop-private-types \
    --suppressions tests/golden/libwirehub.abignore --no-show-locs --no-corpus-path --no-comp-dir-path \
    --out-file tests/golden/libwirehub.abi build/release/lib/libwirehub.so
