#!/bin/bash
# Installs what is missing, builds, and tests.
# Usage: test.sh           what somebody new to the project wants: unit tests, the checks of the repository, the
#                          system tests and the demo, on one plain build
#        test.sh --all     every step; those that wait more than they work run beside the others
#        test.sh --ci      the same of what CI runs after the plain steps: what it has the time for
#        test.sh NAME...   these steps alone, in this order
#        test.sh --list    the names of the steps, and the seconds that each took when it passed last
# A step that a missing tool makes impossible says SKIPPED and why. The summary comes last; the exit code is 0
# where no step failed.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1

# name | size: plain, ci (in --ci and --all), or all | packages it needs beside those of the plain steps | what it is
steps="
unit          | plain |          | a release build and its unit tests
repo          | plain |          | what the repository promises of itself: layering, options, alerts, tables, format
system        | plain |          | both daemons against a real RabbitMQ
demo          | plain |          | the demo, once
guards        | ci    | tools    | instructions, allocations and system calls for each save and delivery
clang         | ci    | tools    | a build with clang and its unit tests
analysis      | ci    | tools    | clang-tidy, cppcheck and gcc's analyzer
deep-analysis | all   | tools    | the same, and clang's analyzer to its own limit
asan          | ci    | tools    | unit tests with the address and undefined-behaviour sanitizers
tsan          | ci    | tools    | unit tests with the thread sanitizer
asan-system   | ci    | tools    | the system tests with the address and undefined-behaviour sanitizers
tsan-system   | ci    | tools    | the system tests with the thread sanitizer
fuzz          | ci    | tools    | each fuzz target for some seconds
failing-calls | ci    | tools    | allocations, reads, writes and others that fail one after the other
faults        | ci    | tools    | random faults under load, judged by the checker
planted       | ci    | tools    | the checker itself, and builds with planted faults, each of which it must catch
guide         | ci    | tools    | the commands of CONTRIBUTING.md, and its worked example
bench         | ci    | bench    | whether the benchmark runs; the Node.js demo beside the user-service with --compat demo
valgrind      | all   | tools    | system tests under valgrind's memcheck
coverage      | all   | tools    | lines and branches that the tests run
cluster       | ci    | machines | a cluster of brokers that loses its leader and is partitioned
packages      | ci    | machines | Debian packages and systemd units on a booted machine
docker        | ci    | machines | the compose files on a Docker engine
scale         | all   | machines | the compose file of all parts on a Docker engine, each part killed in turn
upgrade       | all   | machines | RabbitMQ 3.10 and 4.0 side by side, and the way from the one to the other
other-debian  | ci    | machines | the plain steps in a fresh root of the other Debian
other-clang   | all   | machines | a build with the other Debian's clang, and its unit tests
"
# What waits more than it works, and what fills the gaps: each row runs beside the others and beside the steps that are in
# none, one step after the other. The steps on machines have networks of their own, but for the other Debian, which has
# ports of its own; a row's other steps take theirs from its first number on.
beside=(
    "6500 cluster packages fuzz failing-calls upgrade"
    "15500 docker scale other-debian other-clang"
    "25000 faults planted guide bench"
)
times=build/test-times # name and seconds of each step that passed
pytest=(/usr/bin/python3 -m pytest -q -rs)

usage() {
    echo "usage: $0 [--all | --ci | --list | NAME...]" >&2
    exit 2
}

# field NAME NUMBER: of the table above
field() {
    awk -F ' *[|] *' -v name="$1" -v number="$2" '{ sub(/ +$/, "", $1) } $1 == name { print $number }' <<<"$steps"
}

# names SIZE...: the steps of these sizes
names() {
    awk -F ' *[|] *' -v sizes=" $* " 'NF == 4 && index(sizes, " " $2 " ") { print $1 }' <<<"$steps"
}

list() {
    local name seconds
    for name in $(names plain ci all); do
        seconds=$(awk -v name="$name" '$1 == name { print $2 }' "$times" 2>/dev/null)
        printf '%-14s %5s s  %-5s %s\n' "$name" "${seconds:--}" "$(field "$name" 2)" "$(field "$name" 4)"
    done
}

# A thread-sanitized program cannot map its memory where the kernel randomizes more bits than it knows.
fixed_addresses() {
    if setarch -R true 2>/dev/null; then
        setarch -R "$@"
    else
        "$@"
    fi
}

# unit_tests PRESET: its build, and the unit tests on it
unit_tests() {
    local folder=build-$1
    [ "$1" != release ] || folder=build
    scripts/build.sh "$1" && fixed_addresses ctest --test-dir "$folder" -L unit --no-tests=error --output-on-failure -j "$(nproc)"
}

# Where the tests' brokers and databases have their files: in memory where there is room, since no test needs more than
# that what was written is there for the next process.
folder_in_memory() {
    local parent=${TMPDIR:-/tmp} free_kib available_kib
    free_kib=$(df --output=avail -k /dev/shm 2>/dev/null | tail -n 1)
    available_kib=$(awk '/^MemAvailable:/ { print $2 }' /proc/meminfo)
    if [ "${free_kib:-0}" -ge $((3 * 1024 * 1024)) ] && [ "${available_kib:-0}" -ge $((6 * 1024 * 1024)) ]; then
        parent=/dev/shm
    fi
    parent=$(mktemp -d -p "$parent" tests.XXXXXX) && chmod 711 "$parent" && echo "$parent" # servers run as others
}

# system_tests BUILD [PYTEST-ARGUMENT...]: they wait more than they work: six processes, each with its own broker.
system_tests() (
    build=$1
    shift
    TMPDIR=$(folder_in_memory) || exit 1
    trap 'rm -rf --one-file-system "$TMPDIR"' EXIT
    export TMPDIR
    SERVICES_BUILD_DIR=$PWD/$build fixed_addresses "${pytest[@]}" -n 6 --dist loadgroup "$@"
)

# A file of the system tests runs with both sanitizers where it is not named here.
# With neither: the README's commands, a clock that must be loaded before a sanitizer, what is judged of texts, of
# SQL, of the broker's own patience, and of how services divide the work between them.
unsanitized="readme clock metrics ack_timeout postgres_partitions several_user_services
    shards"
# What is written and read, where the threads do the same as elsewhere.
address_sanitized="broker_urls contract_session_service contract_user_service copies_refused dead_letters
    dead_letters_signals deep_headers exchange forgiving http_raw interoperation json_cases listen look_up migrate_store
    migrating options outbox_migration postgres_store probes_and_browsers queue_rights service_manager standby tls"
# What several threads do at once, where the texts are the same as elsewhere.
thread_sanitized="displaced drain idempotency_restart overload outbox_killed postgres_faults suspects"

# sanitized_system_tests BUILD NAME...: without the files of these names
sanitized_system_tests() {
    local build=$1 left_out=() name
    shift
    for name in "$@"; do
        left_out+=("--ignore=tests/system/test_$name.py")
    done
    system_tests "$build" tests/system "${left_out[@]}"
}

step_unit() { unit_tests release; }
step_repo() { scripts/build.sh release && "${pytest[@]}" tests/repo; }
step_system() { scripts/build.sh release && system_tests build tests/system --durations 10; }
step_demo() { scripts/demo.sh --once; }
step_guards() { scripts/build.sh release && /usr/bin/python3 tests/bench/guards.py; }
step_clang() { unit_tests clang; }
step_analysis() { scripts/static-analysis.sh; }
step_deep_analysis() { scripts/static-analysis.sh --deep; }
step_asan() { unit_tests asan-ubsan; }
step_tsan() { unit_tests tsan; }
# shellcheck disable=SC2086 # lists
step_asan_system() { scripts/build.sh asan-ubsan && sanitized_system_tests build-asan-ubsan $unsanitized $thread_sanitized; }
# shellcheck disable=SC2086 # lists
step_tsan_system() { scripts/build.sh tsan && sanitized_system_tests build-tsan $unsanitized $address_sanitized; }
step_fuzz() { scripts/fuzz.sh --seconds 5; }
step_failing_calls() { scripts/build.sh release && /usr/bin/python3 tests/failing_calls/sweep.py --points 6; }
# The seed is one of many: scripts/faults.sh without --seed takes another one each time.
step_faults() { scripts/build.sh release && scripts/faults.sh --build "$PWD/build" --minutes 1 --seed 1; }
step_planted() { "${pytest[@]}" tests/faults; }
step_guide() { scripts/build.sh release && "${pytest[@]}" tests/guide; }
step_valgrind() { tests/support/valgrind.sh; }
step_bench() { scripts/bench.sh --quick && scripts/bench.sh --capacity --quick && "${pytest[@]}" tests/bench; }
step_coverage() { scripts/coverage.sh; }
step_cluster() { scripts/build.sh release && scripts/test-machines.sh cluster; }
step_packages() { scripts/test-machines.sh packages; }
step_upgrade() { scripts/build.sh release && scripts/test-machines.sh upgrade; }
step_docker() { scripts/test-machines.sh docker -k "not compose_scale"; }
step_scale() { scripts/test-machines.sh docker -k compose_scale; }
step_other_debian() { scripts/test-machines.sh other-debian; }
step_other_clang() { scripts/test-machines.sh other-debian -- clang; }

# run NAME: one step; its result goes to the file of results, and what it prints to a file beside that as well.
run() {
    local name=$1 begin=$SECONDS code=0 result=FAIL
    printf '\n== %s: %s\n' "$name" "$(field "$name" 4)"
    "step_${name//-/_}" 2>&1 | tee "$results.$name" || code=$?
    [ "$code" -ne 0 ] || result=PASS
    [ "$code" -ne 77 ] || result=SKIP
    printf '%s %5s s %s\n' "$result" $((SECONDS - begin)) "$name" >>"$results"
}

run_all() {
    local name
    for name in "$@"; do
        run "$name"
    done
}

# begin_beside PORT [STEP...]: in a session of its own so that all of it can be ended; what it prints comes when it has ended.
begin_beside() {
    local port=$1
    shift
    [ $# -gt 0 ] || return 0
    FIRST_TEST_PORT=$port setpriv --pdeathsig TERM setsid "$0" --steps "$results" "$@" >"$results.beside-$1" 2>&1 </dev/null &
    beside_pids+=("$!")
}

end_beside() {
    local pid output
    for pid in "${beside_pids[@]}"; do
        wait "$pid" || true
    done
    beside_pids=()
    for output in "$results".beside-*; do
        [ ! -e "$output" ] || cat "$output"
    done
}

# Each group is waited for as long as its programs need to end what they have started.
clean_up() {
    local pid deadline=$((SECONDS + 60))
    trap '' INT TERM
    for pid in "${beside_pids[@]}"; do
        kill -TERM -- "-$pid" 2>/dev/null || true
    done
    for pid in "${beside_pids[@]}"; do
        while kill -0 -- "-$pid" 2>/dev/null && [ "$SECONDS" -lt "$deadline" ]; do
            sleep 0.1
        done
    done
    rm -rf "$results" "$results".*
}

# Each step's time, where it passed; those of steps that did not run stay.
keep_times() {
    [ -d build ] || return 0
    {
        awk '$1 == "PASS" { print $4, $2 }' "$results"
        cat "$times" 2>/dev/null || true # there is none before the first time
    } | awk '!seen[$1]++' >"$times.new" && mv "$times.new" "$times"
}

# How each step that failed ended, for whoever sees but the end of a long output.
last_words() {
    local result name
    while read -r result _ _ name; do
        if [ "$result" = FAIL ] && [ -f "$results.$name" ]; then
            printf '\n== %s failed; the last that it printed:\n' "$name"
            tail -n 100 "$results.$name"
        fi
    done <"$results"
}

# The number of results of a kind.
count() {
    grep -c "^$1 " "$results" || true
}

beside_pids=()
together=no
case ${1:-} in
"") chosen=$(names plain) ;;
--all)
    [ $# -eq 1 ] || usage
    chosen=$(names plain ci all) together=yes
    ;;
--ci)
    [ $# -eq 1 ] || usage
    chosen=$(names ci) together=yes
    ;;
--list)
    list
    exit
    ;;
--steps) # what begin_beside calls
    results=$2
    shift 2
    run_all "$@"
    exit
    ;;
--help)
    sed -n '2,/^$/{/^set/,$d;s/^# \{0,1\}//p}' "$0"
    exit
    ;;
-*) usage ;;
*) chosen=$* ;;
esac
packages="test"
for name in $chosen; do
    [ -n "$(field "$name" 4)" ] || {
        echo "$0: there is no step $name; --list names them" >&2
        exit 2
    }
    packages="$packages $(field "$name" 3)"
done

results=$(mktemp -t test-results.XXXXXX) || exit 1
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

echo "== install what is missing"
# shellcheck disable=SC2086 # a list
scripts/install-dependencies.sh $packages || exit 1

# The steps on machines share minimal roots and downloads, where they need no sudo, whose files would stay behind.
if [ "$(id -u)" -eq 0 ]; then
    export MACHINES_BASES="$results.machines"
    mkdir -m 700 "$MACHINES_BASES" || exit 1
fi
in_turn=$chosen
if [ "$together" = yes ]; then
    for row in "${beside[@]}"; do
        aside=""
        for name in ${row#* }; do
            [[ " ${in_turn//$'\n'/ } " != *" $name "* ]] || aside="$aside $name"
        done
        in_turn=$(tr ' ' '\n' <<<"$in_turn" | grep -vxF "$(tr ' ' '\n' <<<"$row")")
        # shellcheck disable=SC2086 # a list
        begin_beside "${row%% *}" $aside
    done
fi
# shellcheck disable=SC2086 # a list
run_all $in_turn
end_beside
keep_times

missing=0
for name in $chosen; do
    grep -q " $name$" "$results" || {
        echo "FAIL     - s $name: it ended without a result" >>"$results"
        missing=1
    }
done
[ "$chosen" = "$name" ] || last_words
printf '\n'
cat "$results"
printf '\n%s passed, %s failed, %s skipped\n' "$(count PASS)" "$(count FAIL)" "$(count SKIP)"
[ "$(count FAIL)" -eq 0 ] && [ "$missing" -eq 0 ]
