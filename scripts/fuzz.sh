#!/bin/bash
# Builds the fuzz targets of tests/fuzz/ and runs each from its seeds, as many at once as there are processors.
# Usage: fuzz.sh [--seconds N | --hours N] [TARGET...]
# N is for each target (default 60 seconds). Fails on a finding, and says how to repeat it: the input becomes a
# seed, and what it found is mended. What was learnt is kept in build-fuzz/corpus/ for the next run.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
    echo "usage: $0 [--seconds N | --hours N] [TARGET...]" >&2
    exit 2
}

seconds=60
case ${1:-} in
--seconds | --hours)
    [[ ${2:-} =~ ^[1-9][0-9]*$ ]] || usage
    seconds=$2
    [ "$1" = --seconds ] || seconds=$((seconds * 3600))
    shift 2
    ;;
-*) usage ;;
esac

mkdir -p build-fuzz
scripts/build.sh fuzz >build-fuzz/build.log || {
    cat build-fuzz/build.log
    exit 1
}
mapfile -t targets < <(find tests/fuzz -name 'fuzz_*.c' -printf '%f\n' | sed 's/^fuzz_//; s/\.c$//' | sort)
[ $# -eq 0 ] || targets=("$@")
for target in "${targets[@]}"; do
    if [ ! -x "build-fuzz/tests/fuzz/fuzz_$target" ] || [ ! -d "tests/fuzz/seeds/$target" ]; then
        echo "$0: there is no target $target, or it has no seeds" >&2
        exit 2
    fi
done

mkdir -p build-fuzz/findings
work=$(mktemp -d -p build-fuzz work.XXXXXX)
# For files that should not wait for a disk; a target that finds something leaves its own behind.
FUZZ_FOLDER=$(mktemp -d -p /dev/shm fuzz.XXXXXX)
export FUZZ_FOLDER
# The targets do not hear of Ctrl-C: each is ended here, with what it runs.
clean_up() {
    local job
    for job in $(jobs -pr); do
        pkill -TERM -P "$job" || true
    done
    wait || true
    rm -rf "$FUZZ_FOLDER" "$work"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# With a wall of its own: the library's limit is looked at only between two inputs.
run_target() {
    local target=$1 corpus=build-fuzz/corpus/$1 dictionary=tests/fuzz/dictionaries/$1.dict code=0 TIMEFORMAT='%U %S'
    local arguments=(-max_total_time="$seconds" -timeout=20 -print_final_stats=1
        -artifact_prefix="build-fuzz/findings/$target-")
    [ ! -e "$dictionary" ] || arguments+=(-dict="$dictionary")
    mkdir -p "$corpus"
    { time timeout --kill-after=10 $((seconds + 120)) "build-fuzz/tests/fuzz/fuzz_$target" "${arguments[@]}" \
        "$corpus" "tests/fuzz/seeds/$target" >"$work/$target.log" 2>&1 </dev/null || code=$?; } 2>"$work/$target.cpu"
    echo "$code" >"$work/$target.code"
}

for target in "${targets[@]}"; do
    while [ "$(jobs -pr | wc -l)" -ge "$(nproc)" ]; do
        wait -n || true
    done
    run_target "$target" &
done
wait

# last REGEX FILE: what the group of the expression matched last
last() {
    sed -nE "s/.*$1.*/\\1/p" "$2" | tail -n 1
}

failed=0
printf '%-12s %11s %12s %10s %16s %8s  %s\n' target cpu-seconds executions per-second edges-covered corpus result
for target in "${targets[@]}"; do
    log=$work/$target.log
    result=clean
    if [ "$(cat "$work/$target.code" 2>/dev/null)" != 0 ]; then
        result=FINDING
        failed=$((failed + 1))
    fi
    executions=$(last 'number_of_executed_units: ([0-9]+)' "$log")
    if [ "$result" = clean ] && [ "${executions:-0}" -eq 0 ]; then
        result="NOTHING RUN"
        failed=$((failed + 1))
    fi
    covered=$(last 'cov: ([0-9]+)' "$log")
    printf '%-12s %11s %12s %10s %9s/%-6s %8s  %s\n' "$target" \
        "$(awk '{ printf "%.0f", $1 + $2 }' "$work/$target.cpu")" "${executions:-0}" \
        "$(last 'average_exec_per_sec: +([0-9]+)' "$log")" "${covered:-0}" \
        "$(last 'Loaded 1 modules +\(([0-9]+)' "$log")" "$(last 'corp: ([0-9]+)' "$log")" "$result"
done
for target in "${targets[@]}"; do
    if [ "$(cat "$work/$target.code" 2>/dev/null)" != 0 ]; then
        echo
        echo "== $target"
        grep -vE '^#[0-9]+|NEW_FUNC' "$work/$target.log" | tail -n 60
        echo "repeat it with: build-fuzz/tests/fuzz/fuzz_$target FILE (of build-fuzz/findings/)"
    fi
done
[ "$failed" -eq 0 ]
