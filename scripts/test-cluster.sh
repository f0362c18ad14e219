#!/bin/bash
# A cluster of three private RabbitMQ nodes that loses its leader and is partitioned, under load; then the
# checker's judgement. Usage: test-cluster.sh [PYTEST_ARGUMENT...]
# CLUSTER_ROUNDS=N: how often each fault comes (1); CLUSTER_SEED=S: a run that was before.
# Needs root or sudo. Where namespaces cannot be made it says SKIPPED and ends with 77.
# The nodes and all else live in namespaces (network, processes, mounts) and in a temporary folder of their
# own, and end with this script, however it ends.
# shellcheck disable=SC2317 # functions that only a trap calls
set -eu
cd "$(dirname "$0")/.."

skip() {
    echo
    echo "SKIPPED: the cluster was NOT tested: $*" >&2
    exit 77
}

if [ "$(id -u)" -ne 0 ]; then
    sudo -n true 2>/dev/null || skip "there is neither root nor sudo"
    exec sudo --preserve-env=CLUSTER_ROUNDS,CLUSTER_SEED,CLUSTER_OPTIONS,SERVICES_BUILD_DIR \
        scripts/test-cluster.sh "$@"
fi
command -v ip >/dev/null || skip "there is no ip (package iproute2)"

folder=$(mktemp -d -t cluster.XXXXXX)
clean_up() {
    if [ -n "${inside:-}" ]; then
        kill -KILL "$inside" 2>/dev/null || true
        wait "$inside" 2>/dev/null || true
    fi
    # Who is just ending may write into it once more.
    rm -rf "$folder" || { sleep 1 && rm -rf "$folder"; }
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# Takes the place of the (sub)shell. All that is inside ends with its first process, that with unshare, and
# unshare with this script.
in_namespaces() {
    # shellcheck disable=SC2016 # the inner shell expands
    exec setpriv --pdeathsig KILL unshare --net --mount --pid --fork --kill-child bash -euc '
        mount -t proc proc /proc
        mkdir -p /run/netns
        mount -t tmpfs tmpfs /run/netns
        ip link set lo up
        exec "$@"' bash "$@"
}

(in_namespaces sh -euc '
    ip netns add probe
    ip link add probe type bridge
    ip link add probe1 type veth peer name probe2 netns probe') >"$folder/probe" 2>&1 ||
    skip "namespaces, bridges or pairs of interfaces cannot be made: $(tail -n 1 "$folder/probe")"

export CLUSTER_NAMESPACE=yes TMPDIR=$folder PYTHONDONTWRITEBYTECODE=1
in_namespaces /usr/bin/python3 -m pytest -q -s -p no:cacheprovider "$@" tests/cluster &
inside=$!
code=0
wait "$inside" || code=$?
inside=
exit "$code"
