#!/bin/bash
# Runs the compose files on a Docker engine of its own: builds the images, saves users, restarts and kills
# brokers under load. Usage: test-docker.sh [--require] [PYTEST_ARGUMENT...]
# Needs root or sudo. Where an engine cannot run it says SKIPPED and ends with 77; with --require it fails.
# The engine lives in namespaces of its own (network, processes, mounts) and in a temporary folder; it
# reaches the outside by slirp4netns, for packages. No registry is used: the two base images are made
# here of Debian's packages, under the names that the files use. An engine that runs already, its images
# and the machine's firewall are not touched. DEBIAN_MIRROR: where the packages come from.
# shellcheck disable=SC2317 # functions that only a trap calls
set -eu
cd "$(dirname "$0")/.."

export LC_ALL=C.UTF-8
# The engine, its client and docker-compose must be of one distribution.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin

say() {
    printf '\n== %s\n' "$*"
}

# wait_for SECONDS WHAT COMMAND...
wait_for() {
    local deadline=$((SECONDS + $1)) what=$2
    shift 2
    until "$@" >/dev/null 2>&1; do
        if [ "$SECONDS" -ge "$deadline" ]; then
            echo "$0: not within the deadline: $what" >&2
            return 1
        fi
        sleep 0.1
    done
}

skip() {
    echo
    echo "SKIPPED: the compose files were NOT tested: $*" >&2
    if [ "$require" = yes ]; then
        exit 1
    fi
    exit 77
}

has_network() {
    ip link show tap0
}

import_base_images() {
    docker import --change 'CMD ["bash"]' "$folder/trixie.tar" debian:trixie-slim >/dev/null &&
        docker build -q -f tests/docker/rabbitmq.dockerfile -t rabbitmq:4 tests/docker
}

stop_engine() {
    local code=$?
    trap '' INT TERM
    trap - EXIT
    if [ -n "${tests:-}" ]; then
        kill -TERM "$tests" 2>/dev/null || true
    fi
    if [ -n "${engine:-}" ]; then
        kill -TERM "$engine" 2>/dev/null || true
        wait_for 60 "the engine stops" eval "! kill -0 $engine" || true
    fi
    exit "$code"
}

# The first process of the namespaces.
run_inside() {
    trap stop_engine EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    ip link set lo up
    echo "$BASHPID" >"$folder/inside"
    wait_for 30 "the network" has_network || {
        touch "$folder/no-engine"
        exit 1
    }
    mkdir "$folder/engine"
    dockerd --data-root "$folder/engine/data" --exec-root "$folder/engine/run" \
        --pidfile "$folder/engine/pid" --host "unix://$folder/engine/socket" \
        --exec-opt native.cgroupdriver=cgroupfs --cgroup-parent "/${folder##*/}" \
        --dns 10.0.2.3 >"$folder/dockerd.log" 2>&1 &
    engine=$!
    export DOCKER_HOST=unix://$folder/engine/socket DOCKER_CONFIG=$folder/client
    if ! wait_for 60 "the engine answers" docker version; then
        touch "$folder/no-engine"
        tail -n 5 "$folder/dockerd.log" >&2
        exit 1
    fi
    say "make the base image rabbitmq:4 of Debian's RabbitMQ 4"
    import_base_images
    say "the tests"
    export COMPOSE_PROJECT_NAME=compose-test PYTHONDONTWRITEBYTECODE=1
    /usr/bin/python3 -m pytest -q -x -p no:cacheprovider tests/docker "$@" &
    tests=$!
    # A signal ends the waiting, but not a child in the foreground.
    wait "$tests"
}

remove_control_groups() {
    find /sys/fs/cgroup -depth -type d -path "*/${folder##*/}*" -exec rmdir '{}' ';'
    [ -z "$(find /sys/fs/cgroup -type d -path "*/${folder##*/}*")" ]
}

clean_up() {
    local code=$?
    trap '' INT TERM
    trap - EXIT
    if [ -n "$namespaces" ] && kill -0 "$namespaces" 2>/dev/null; then
        kill -TERM "$(cat "$folder/inside-pid" 2>/dev/null)" 2>/dev/null || true
        wait_for 90 "the engine's namespaces end" eval "! kill -0 $namespaces" || {
            kill -KILL "$namespaces" 2>/dev/null || true
            wait_for 10 "they end by force" eval "! kill -0 $namespaces" || true
        }
    fi
    [ -z "$network" ] || kill -TERM "$network" 2>/dev/null || true
    wait_for 10 "the engine's control groups are empty" remove_control_groups || true
    rm -rf "$folder"
    exit "$code"
}

run_outside() {
    local tool
    for tool in dockerd docker docker-compose mmdebstrap slirp4netns unshare ip pgrep curl; do
        command -v "$tool" >/dev/null || skip "there is no $tool"
    done
    [ -c /dev/net/tun ] || skip "there is no /dev/net/tun"
    unshare --mount --net --pid --fork --mount-proc true 2>/dev/null ||
        skip "namespaces are not allowed here"
    folder=$(mktemp -d -t test-docker.XXXXXX)
    namespaces=""
    network=""
    trap clean_up EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM

    say "make the base image debian:trixie-slim"
    # As in the real one, nothing is kept of what apt downloads, and documents are left out.
    # shellcheck disable=SC2086 # no mirror is no argument
    mmdebstrap --quiet --variant=minbase --format=tar \
        --aptopt='Dir::Cache::pkgcache ""' --aptopt='Dir::Cache::srcpkgcache ""' \
        --aptopt='Acquire::Languages "none"' --dpkgopt=force-unsafe-io \
        --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
        --dpkgopt='path-exclude=/usr/share/locale/*' \
        trixie "$folder/trixie.tar" ${DEBIAN_MIRROR:-}

    say "start an engine"
    unshare --mount --net --pid --fork --kill-child --mount-proc \
        scripts/test-docker.sh --inside "$folder" "$@" &
    namespaces=$!
    wait_for 30 "the namespaces are there" test -s "$folder/inside"
    pgrep -P "$namespaces" >"$folder/inside-pid"
    slirp4netns --configure --mtu=65520 --disable-host-loopback "$(cat "$folder/inside-pid")" tap0 \
        >"$folder/slirp4netns.log" 2>&1 &
    network=$!
    code=0
    wait "$namespaces" || code=$?
    if [ -e "$folder/no-engine" ]; then
        skip "a Docker engine does not start on this machine"
    fi
    exit "$code"
}

if [ "${1:-}" = --inside ]; then
    folder=$2
    shift 2
    run_inside "$@"
    exit
fi
if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || {
        echo "$0: needs root or sudo" >&2
        exit 1
    }
    exec sudo DEBIAN_MIRROR="${DEBIAN_MIRROR:-}" scripts/test-docker.sh "$@"
fi
require=no
if [ "${1:-}" = --require ]; then
    require=yes
    shift
fi
run_outside "$@"
