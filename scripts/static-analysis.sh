#!/bin/bash
# Has clang-tidy and cppcheck judge the sources. Nothing may be left: a finding is mended, or
# explained where it is (NOLINT, cppcheck-suppress) or in .clang-tidy.
# Usage: static-analysis.sh [FILE...]
# shellcheck disable=SC2317 # functions that judge calls
set -euo pipefail
cd "$(dirname "$0")/.."

files=("$@")
[ ${#files[@]} -gt 0 ] || files=(common/*.c user-service/*.c session-service/*.c)
# clang's own commands: it does not know all flags of gcc.
if [ ! -e build-clang/compile_commands.json ]; then
    cmake --preset clang -G Ninja >/dev/null
fi
output=$(mktemp -t static-analysis.XXXXXX)
trap 'rm -f "$output"' EXIT
failed=0

judge() {
    local name=$1
    shift
    if "$@" >"$output" 2>&1; then
        echo "$name: nothing found in ${#files[@]} files"
    else
        grep -v ' warnings generated' "$output" || true
        echo "$name: FINDINGS"
        failed=1
    fi
}

tidy() {
    printf '%s\n' "${files[@]}" | xargs -P "$(nproc)" -n 4 clang-tidy -p build-clang --quiet
}

check() {
    cppcheck --enable=warning,performance,portability --inline-suppr --std=c11 --language=c --quiet \
        --error-exitcode=1 -j "$(nproc)" -I. -D_GNU_SOURCE '-D__has_include(x)=0' "${files[@]}"
}

judge clang-tidy tidy
judge cppcheck check
exit "$failed"
