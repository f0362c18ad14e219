#!/bin/sh
# Builds with a preset of CMakePresets.json, or only the targets that are named, by Ninja, and by ccache where that is
# installed. Without a preset it is plain: the services, with what scripts/install-dependencies.sh build installs.
# Usage: build.sh [--configure] [PRESET [TARGET...]]   (--configure: prepare the folder, and build nothing)
set -eu
cd "$(dirname "$0")/.."

build=yes
if [ "${1:-}" = --configure ]; then
    build=no
    shift
fi
preset=${1:-plain}
[ $# -eq 0 ] || shift
case $preset in
-*)
    echo "usage: $0 [--configure] [PRESET [TARGET...]]" >&2
    exit 2
    ;;
plain | release) folder=build ;;
*) folder=build-$preset ;;
esac

# One at a time builds in a folder.
exec 9>"$folder.lock"
flock 9

# A folder that was configured before keeps its generator.
generator="-G Ninja"
[ ! -e "$folder/CMakeCache.txt" ] || generator=""
# shellcheck disable=SC2086 # no generator is no argument
cmake --preset "$preset" $generator -DCMAKE_C_COMPILER_LAUNCHER="$(command -v ccache || true)" >/dev/null
if [ "$build" = yes ]; then
    cmake --build "$folder" ${1:+--target "$@"}
fi
