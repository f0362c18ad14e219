#!/bin/bash
# Installs what is missing, builds, and runs every check and test. Prints a summary and fails if any
# step failed. Usage: test.sh [--fast | --machines]
# --fast: the unit tests, the checks of a moment, the system tests and the guards, all without sanitizers.
# --machines: also what needs npm: whether the benchmark runs; and what needs root: a cluster of brokers, the
# packages on a booted machine, the compose files on a Docker engine, the other Debian.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1

fast=no
machines=no
case ${1:-} in
"") ;;
--fast) fast=yes ;;
--machines) machines=yes ;;
*)
    echo "usage: $0 [--fast | --machines]" >&2
    exit 2
    ;;
esac

echo "== install what is missing"
if [ "$machines" = yes ]; then
    scripts/install-dependencies.sh machines || exit 1
else
    scripts/install-dependencies.sh test || exit 1
fi

passed=0
skipped=0
failed=0
summary=""
note() {
    local name=$1 code=$2 seconds=$3 result
    case $code in
    0)
        passed=$((passed + 1))
        result=PASS
        ;;
    77)
        skipped=$((skipped + 1))
        result=SKIP
        ;;
    *)
        failed=$((failed + 1))
        result=FAIL
        ;;
    esac
    summary="$summary$result ${seconds}s $name"$'\n'
}

step() {
    local name=$1 begin=$SECONDS code=0
    shift
    echo
    echo "== $name"
    "$@" || code=$?
    note "$name" "$code" $((SECONDS - begin))
}

# A script that runs beside the steps up to end_beside, in a session of its own so that all of it can be
# ended; what it prints comes at its end.
beside=""
beside_log=""
stop_beside() {
    [ -z "$beside" ] || kill -TERM -- "-$beside" 2>/dev/null || true
    rm -f "$beside_log"
}
trap stop_beside EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

begin_beside() {
    beside_begin=$SECONDS
    beside_log=$(mktemp) || exit 1
    setsid "$@" >"$beside_log" 2>&1 </dev/null &
    beside=$!
}

end_beside() {
    local name=$1 code=0
    wait "$beside" || code=$?
    beside=""
    echo
    echo "== $name"
    cat "$beside_log"
    rm -f "$beside_log"
    note "$name" "$code" $((SECONDS - beside_begin))
}

# A thread-sanitized program cannot map its memory where the kernel randomizes more bits than it knows.
fixed_addresses() {
    if setarch -R true 2>/dev/null; then
        setarch -R "$@"
    else
        "$@"
    fi
}

# A folder that was configured before keeps its generator.
configure() {
    local folder=build-$1
    [ "$1" != release ] || folder=build
    if [ -e "$folder/CMakeCache.txt" ]; then
        cmake --preset "$1" >/dev/null
    else
        cmake --preset "$1" -G Ninja >/dev/null
    fi
}

build_and_unit_test() {
    configure "$1" && cmake --build --preset "$1" && fixed_addresses ctest --preset "$1"
}

check_layering() {
    scripts/check-layering.sh --self-test && scripts/check-layering.sh
}

check_options() {
    scripts/check-options.sh build --self-test && scripts/check-options.sh build
}

check_alerts() {
    scripts/check-alerts.sh --self-test && scripts/check-alerts.sh
}

check_hardening() {
    scripts/check-hardening.sh build --self-test && scripts/check-hardening.sh build
}

check_format() {
    local version
    version=$(clang-format --version | sed -n 's/.*version \([0-9]*\).*/\1/p')
    if [ "$version" != 14 ]; then
        echo "SKIPPED: the format is judged by clang-format 14 (Debian 12); this is $version"
        return 77
    fi
    git ls-files '*.c' '*.h' | xargs clang-format --dry-run -Werror
}

check_shell() {
    git ls-files '*.sh' .ci/run systemd/refresh-credentials | xargs shellcheck
}

failing_calls() {
    SERVICES_BUILD_DIR=$PWD/$1 /usr/bin/python3 tests/failing_calls/sweep.py --points 6
}

# They wait more than they work: four processes, each with its own broker, share them.
system_tests() {
    local folder=$1
    shift
    SERVICES_BUILD_DIR=$PWD/$folder fixed_addresses /usr/bin/python3 -m pytest -q -rs -n 4 --dist loadgroup tests/system "$@"
}

# The README's build is the same one whatever is tested.
sanitized_system_tests() {
    system_tests "$1" --deselect tests/system/test_readme.py::test_the_build_alone
}

# The seed is one of many: scripts/faults.sh without --seed takes another one each time.
random_faults() {
    scripts/faults.sh --build "$PWD/build" --minutes 2 --seed 1
}

planted_faults() {
    /usr/bin/python3 -m pytest -q tests/faults
}

guards() {
    /usr/bin/python3 tests/bench/guards.py
}

step "gcc release build and unit tests" build_and_unit_test release
step "clang release build and unit tests" build_and_unit_test clang
step "layering" check_layering
step "options are documented" check_options
step "alerts are of metrics that exist" check_alerts
step "format" check_format
step "shell scripts" check_shell
step "hardening of the binaries" check_hardening
step "the demo" scripts/demo.sh --once
step "system tests" system_tests build
step "instructions and system calls for each save and delivery" guards
if [ "$fast" = no ]; then
    step "address and undefined-behaviour sanitizers, unit tests" build_and_unit_test asan-ubsan
    step "thread sanitizer, unit tests" build_and_unit_test tsan
    step "static analysis" scripts/static-analysis.sh
    step "fuzz targets, a while each" scripts/fuzz.sh --seconds 5
    step "calls that fail" failing_calls build
    step "random faults" random_faults
    step "the checker of the faults, and planted faults" planted_faults
    step "system tests, address and undefined-behaviour sanitizers" sanitized_system_tests build-asan-ubsan
    step "system tests, thread sanitizer" sanitized_system_tests build-tsan
fi
if [ "$machines" = yes ]; then
    step "the benchmark runs" scripts/bench.sh --quick
    # Each has networks of its own, and waits for what it starts.
    begin_beside scripts/test-machines.sh other-debian -- --fast
    step "a cluster that loses its leader, and is partitioned" scripts/test-machines.sh cluster
    step "packages and units on a booted machine" scripts/test-machines.sh packages
    step "compose files on a Docker engine" scripts/test-machines.sh docker
    end_beside "the other Debian"
fi

echo
echo "$summary"
echo "$passed passed, $skipped skipped, $failed failed"
[ "$failed" -eq 0 ]
