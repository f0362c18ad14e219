#!/bin/bash
# Builds the Debian packages, has lintian and systemd judge them, and boots a machine of a fresh Debian root,
# where they are installed beside Debian's RabbitMQ, used, restarted under load, upgraded, removed and purged.
# Usage: test-packages.sh [--require] [--release bookworm|trixie] [PYTEST_ARGUMENT...]
# The release is this machine's where nothing else is said. Needs root or sudo. Where systemd-nspawn cannot
# boot it says SKIPPED and ends with 77; with --require it fails. The machine has no network but its loopback;
# all of it is in a temporary folder that is gone afterwards. DEBIAN_MIRROR: where the packages come from.
# shellcheck disable=SC2317 # functions that only a trap or wait_for calls
set -eu
cd "$(dirname "$0")/.."

export LC_ALL=C.UTF-8
# The tools must be of the distribution.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin

say() {
    printf '\n== %s\n' "$*"
}

fail() {
    echo "$0: $*" >&2
    exit 1
}

skip() {
    echo
    echo "SKIPPED: the packages were NOT tested on a booted machine: $*" >&2
    if [ "$require" = yes ]; then
        exit 1
    fi
    exit 77
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

# quietly COMMAND...: shows the end of what it says only where it fails.
quietly() {
    if ! "$@" >"$folder/output" 2>&1 </dev/null; then
        tail -n 40 "$folder/output" >&2
        fail "failed: $*"
    fi
}

# make_root FOLDER PACKAGES
make_root() {
    # shellcheck disable=SC2086 # no mirror is no argument
    quietly timeout 900 mmdebstrap --quiet --variant=minbase --include="$2" --dpkgopt=force-unsafe-io \
        --aptopt='APT::Install-Recommends "false"' --aptopt='Acquire::Languages "none"' \
        "$release" "$1" ${DEBIAN_MIRROR:-}
}

# in_root FOLDER SCRIPT: with this machine's network, and not booted.
in_root() {
    timeout 900 systemd-nspawn --quiet --register=no --keep-unit --resolv-conf=copy-host \
        --console=pipe --setenv=DEBIAN_FRONTEND=noninteractive --setenv=DEB_BUILD_OPTIONS="$DEB_BUILD_OPTIONS" \
        --directory "$1" sh -euc "$2"
}

copy_source() {
    mkdir -p "$1"
    git -c safe.directory='*' ls-files -z | tar --create --null --files-from=- |
        tar --extract --no-same-owner --directory "$1"
}

lintian_command="lintian --allow-root --fail-on error,warning --info"

build_here() {
    copy_source "$folder/build/source"
    (cd "$folder/build/source" && quietly timeout 900 dpkg-buildpackage -b -us -uc)
    $lintian_command "$folder"/build/*.changes
}

build_in_root() {
    local root=$folder/build-root
    make_root "$root" build-essential,lintian,debhelper
    copy_source "$root/build/source"
    quietly in_root "$root" 'apt-get update -q
        cd /build/source
        apt-get build-dep -y -q ./
        dpkg-buildpackage -b -us -uc'
    in_root "$root" "$lintian_command /build/*.changes"
    mkdir "$folder/build"
    mv "$root"/build/*.deb "$folder/build/"
    rm -rf --one-file-system "$root"
}

# More than once: it can lose a race for a cgroup that another has just removed.
can_nspawn() {
    local attempt
    for attempt in 1 2 3; do
        if systemd-nspawn --quiet --register=no --keep-unit --private-network --console=pipe \
            --directory "$folder/machine" true </dev/null; then
            return 0
        fi
        echo "systemd-nspawn: attempt $attempt failed" >&2
    done
    return 1
}

prepare_machine() {
    local root=$folder/machine
    make_root "$root" systemd,systemd-sysv,dbus,curl,man-db,openssl
    can_nspawn || skip "systemd-nspawn does not run on this machine"
    mkdir -p "$root/packages" "$root/var/log/journal"
    cp "$folder"/build/*.deb "$root/packages/"
    rm -f "$root"/packages/*-dbgsym_*
    # What apt will install is fetched now: the machine has no network.
    quietly in_root "$root" 'apt-get update -q
        apt-get install -y -q --download-only rabbitmq-server nginx-light sqlite3 /packages/*.deb'
    rm -f "$root/etc/resolv.conf"
    echo machine >"$root/etc/hostname"
    printf '127.0.0.1 localhost\n127.0.1.1 machine\n' >"$root/etc/hosts"
}

inside() {
    nsenter --target "$leader" --all /usr/bin/env -i PATH="$PATH" HOME=/root LC_ALL=C.UTF-8 "$@"
}

has_leader() {
    leader=$(pgrep --parent "$machine")
}

# The first child may be one that only makes the machine's first process.
is_booted() {
    has_leader && inside systemctl is-active multi-user.target
}

boot_machine() {
    systemd-nspawn --quiet --register=no --keep-unit --private-network --machine="${folder##*.}" \
        --console=pipe --directory "$folder/machine" --boot \
        >"$folder/console" 2>&1 </dev/null &
    machine=$!
    if ! wait_for 30 "the machine begins to boot" has_leader ||
        ! wait_for 60 "the machine is booted" is_booted; then
        tail -n 20 "$folder/console" >&2
        skip "systemd does not boot in systemd-nspawn on this machine"
    fi
}

clean_up() {
    local code=$?
    trap '' INT TERM
    trap - EXIT
    if [ -n "$machine" ]; then
        if [ "$code" -ne 0 ] && [ -n "$leader" ]; then
            echo "-- the end of the machine's journal:" >&2
            timeout 20 nsenter --target "$leader" --all journalctl --no-pager -n 40 >&2 || true
        fi
        [ -z "$leader" ] || timeout 20 nsenter --target "$leader" --all systemctl poweroff || true
        wait_for 90 "the machine is off" eval "! kill -0 $machine" || kill -KILL "$machine" || true
    fi
    rm -rf --one-file-system "$folder"
    # systemd-nspawn leaves them empty; those of another machine are not.
    find /sys/fs/cgroup -depth -type d '(' -name payload -o -name supervisor ')' \
        -exec rmdir '{}' ';' 2>/dev/null || true
    exit "$code"
}

require=no
# shellcheck disable=SC1091 # what the system says it is
here=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
release=$here
arguments=("$@")
while [ $# -gt 0 ]; do
    case $1 in
    --require) require=yes ;;
    --release)
        release=${2:-}
        shift
        ;;
    *) break ;;
    esac
    shift
done
case $release in
bookworm | trixie) ;;
*) fail "the release must be bookworm or trixie, not '$release'" ;;
esac
if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || fail "needs root or sudo"
    exec sudo DEBIAN_MIRROR="${DEBIAN_MIRROR:-}" scripts/test-packages.sh "${arguments[@]}"
fi
for tool in mmdebstrap systemd-nspawn nsenter pgrep git; do
    command -v "$tool" >/dev/null || skip "there is no $tool"
done

folder=$(mktemp -d -t test-packages.XXXXXX)
machine=""
leader=""
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
# The unit tests have a step of their own.
DEB_BUILD_OPTIONS="nocheck parallel=$(nproc)"
export DEB_BUILD_OPTIONS

say "build the packages on $release"
if [ "$release" = "$here" ]; then
    build_here
else
    build_in_root
fi
ls "$folder"/build/*.deb

say "exposure of the units"
for unit in user-service session-service; do
    quietly systemd-analyze security --offline=true --threshold=13 "systemd/$unit.service"
    tail -n 1 "$folder/output"
done

say "boot a machine of $release"
prepare_machine
boot_machine

say "the tests"
export MACHINE_LEADER=$leader MACHINE_ROOT=$folder/machine PYTHONDONTWRITEBYTECODE=1
nsenter --net="/proc/$leader/ns/net" \
    /usr/bin/python3 -m pytest -q -x -p no:cacheprovider tests/packages "$@"
