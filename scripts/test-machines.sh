#!/bin/bash
# Tests that need root and machines of their own, one after the other; what each does is said by --list.
# Usage: test-machines.sh [--require] NAME... [--] [ARGUMENT...]
#        test-machines.sh --list
# ARGUMENT... goes to each NAME; it begins at the first that is no name, or after --.
#   cluster, docker, upgrade: of pytest.
#   packages: [--release bookworm|trixie], then of pytest. The release is this machine's where nothing else is said.
#   other-debian: [bookworm|trixie], then the steps of scripts/test.sh. The release is the one that this machine has not.
# Needs root or sudo. What cannot run on this machine says SKIPPED, and the end is 77; with --require it is a failure.
# All that is started and mounted lives in namespaces, and all files in a temporary folder; both are gone at the end,
# however it comes. DEBIAN_MIRROR: where packages come from. MACHINES_BASES: a folder of the caller's for what several runs
# can share, which is minimal roots and downloads. CLUSTER_ROUNDS, CLUSTER_SEED, CLUSTER_OPTIONS: see
# tests/machines/cluster/test_cluster.py. SERVICES_BUILD_DIR: the build that the cluster and the upgrade are tested with.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=tests/machines/library.sh
. tests/machines/library.sh

usage() {
    sed -n '/^# Usage/,/^#  *test-machines/s/^# //p' "$0" >&2
    exit 2
}

all=(cluster docker packages upgrade other-debian)
# Each with the comment at the top of its file.
list() {
    local name
    for name in "${all[@]}"; do
        echo "$name"
        awk 'NR == 1 || /^# shellcheck/ { next } /^#/ { sub(/^#/, "   "); print; next } { exit }' "tests/machines/$name.sh"
    done
}

original=("$@")
names=()
while [ $# -gt 0 ]; do
    case $1 in
    --list)
        list
        exit
        ;;
    --require) export MACHINES_REQUIRE=yes ;;
    --)
        shift
        break
        ;;
    *)
        [[ " ${all[*]} " = *" $1 "* ]] || break
        names+=("$1")
        ;;
    esac
    shift
done
[ ${#names[@]} -gt 0 ] || usage
machines_name="${names[*]}"

if [ "$(id -u)" -ne 0 ]; then
    # One that asks for a password needs somebody who knows it.
    sudo -n true 2>/dev/null || { command -v sudo >/dev/null && [ -t 0 ]; } || skip "there is neither root nor sudo"
    exec sudo --preserve-env=DEBIAN_MIRROR,MACHINES_BASES,CLUSTER_ROUNDS,CLUSTER_SEED,CLUSTER_OPTIONS,SERVICES_BUILD_DIR,http_proxy,https_proxy \
        scripts/test-machines.sh "${original[@]}"
fi
need unshare setpriv setsid pgrep git flock
unshare --mount --pid --fork --mount-proc true 2>/dev/null || skip "namespaces are not allowed here"

inside=""
# The first process takes all others of its namespaces with it, and unshare waits for that.
end_namespaces() {
    [ -n "$inside" ] || return 0
    pkill -KILL --parent "$inside" || kill -KILL "$inside" 2>/dev/null || true
    wait "$inside" 2>/dev/null || true
    inside=""
}

remove_control_groups() {
    find /sys/fs/cgroup -depth -type d -path "*/${MACHINES_FOLDER##*/}*" -exec rmdir '{}' ';'
    [ -z "$(find /sys/fs/cgroup -type d -path "*/${MACHINES_FOLDER##*/}*")" ]
}

clean_up() {
    local code=$?
    trap '' INT TERM HUP
    trap - EXIT
    end_namespaces
    wait_for 10 "the control groups are empty" remove_control_groups || true
    rm -rf --one-file-system "$MACHINES_FOLDER"
    exit "$code"
}

MACHINES_FOLDER=$(mktemp -d -t machines.XXXXXX)
export MACHINES_FOLDER
export MACHINES_BASES="${MACHINES_BASES:-$MACHINES_FOLDER}"
trap clean_up EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

run() {
    local code=0
    # A signal ends the waiting, but not a child in the foreground; Ctrl-C is for this script alone.
    setsid setpriv --pdeathsig KILL env --default-signal=INT,QUIT \
        unshare --mount --pid --fork --kill-child --mount-proc bash "tests/machines/$1.sh" "${@:2}" &
    inside=$!
    wait "$inside" || code=$?
    inside=""
    rm -rf --one-file-system "${MACHINES_FOLDER:?}/$1"
    return "$code"
}

skipped=0
failed=0
summary=""
for name in "${names[@]}"; do
    begin=$SECONDS
    code=0
    run "$name" "$@" || code=$?
    case $code in
    0) result=PASS ;;
    77) result=SKIP skipped=1 ;;
    *) result=FAIL failed=1 ;;
    esac
    summary+="$result $((SECONDS - begin))s $name"$'\n'
done
printf '\n%s' "$summary"
[ "$failed" -eq 0 ] || exit 1
[ "$skipped" -eq 0 ] || exit 77
