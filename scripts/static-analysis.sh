#!/bin/bash
# Has clang-tidy, cppcheck and gcc's analyzer judge the sources. Nothing may be left: a finding is mended, or
# explained where it is (NOLINT, cppcheck-suppress) or in .clang-tidy.
# Usage: static-analysis.sh [--deep] [FILE...]
# --deep: clang's analyzer follows each function to its own limit, in place of a fifth of that. It takes four times as long.
# shellcheck disable=SC2317 # functions that judge calls
set -euo pipefail
cd "$(dirname "$0")/.."

# How many states of a function clang's analyzer looks at; its own limit is 225,000.
clang_limit=(--extra-arg=-Xclang --extra-arg=-analyzer-config --extra-arg=-Xclang --extra-arg=max-nodes=45000)
if [ "${1:-}" = --deep ]; then
    clang_limit=()
    shift
fi
files=("$@")
[ ${#files[@]} -gt 0 ] || readarray -t files < <(find common user-service session-service -name "*.c" | sort)
# clang's own commands: it does not know all flags of gcc.
scripts/build.sh --configure clang
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
    printf '%s\n' "${files[@]}" | xargs -P "$(nproc)" -n 4 clang-tidy -p build-clang --quiet "${clang_limit[@]}"
}

check() {
    cppcheck --enable=warning,performance,portability --inline-suppr --std=c11 --language=c --quiet \
        --error-exitcode=1 -j "$(nproc)" -I. -D_GNU_SOURCE '-D__has_include(x)=0' "${files[@]}"
}

# One compiler for each file; -O1 is as quick as it gets, and finds what -O2 finds.
analyze() {
    local libpq
    read -ra libpq < <(pkg-config --cflags-only-I libpq)
    printf '%s\0' "${files[@]}" | xargs -0 -P "$(nproc)" -n 1 gcc -std=gnu11 -I. "${libpq[@]}" -D_GNU_SOURCE \
        '-DPROJECT_VERSION=""' -O1 -fanalyzer -fdiagnostics-plain-output -Werror -c -o /dev/null
}

judge clang-tidy tidy
judge cppcheck check
# Each version of the analyzer has its own false positives: one judges.
version=$(gcc -dumpversion)
if [ "${version%%.*}" = 12 ]; then
    judge "gcc's analyzer" analyze
else
    echo "gcc's analyzer: SKIPPED, gcc 12 (Debian 12) judges; this is $version"
fi
exit "$failed"
