#!/bin/bash
# Builds the Debian packages, has lintian and systemd judge them, and boots a machine of a fresh Debian root without a
# network, where they are installed beside Debian's RabbitMQ, used, restarted under load, upgraded, removed and purged.
# shellcheck disable=SC2317 # functions that only wait_for calls
set -euo pipefail
# shellcheck source=tests/machines/library.sh
. tests/machines/library.sh

begin in-memory
release=$(release_of)
if [ "${1:-}" = --release ]; then
    release=${2:-}
    shift 2
fi
case $release in
bookworm | trixie) ;;
*) fail "the release must be bookworm or trixie, not '$release'" ;;
esac
need mmdebstrap systemd-nspawn nsenter pgrep dpkg-buildpackage lintian
# The unit tests have a step of their own.
DEB_BUILD_OPTIONS="nocheck parallel=$(nproc)"
export DEB_BUILD_OPTIONS


lintian="lintian --allow-root --fail-on error,warning --info"
root=$folder/machine

# The broker comes later, to services that wait for it.
make_machine() {
    make_root "$release" "$root" systemd systemd-sysv dbus curl man-db openssl rabbitmq-server
    quietly in_root "$root" systemctl disable rabbitmq-server
}

build_here() {
    copy_project "$folder/build/source"
    (cd "$folder/build/source" && quietly timeout 900 dpkg-buildpackage -b -us -uc)
    $lintian "$folder"/build/*.changes
}

build_in_root() {
    local builder=$folder/builder
    make_root "$release" "$builder" build-essential lintian debhelper
    copy_project "$builder/build/source"
    quietly in_root "$builder" sh -euc 'cd /build/source
        apt-get build-dep -y -q ./
        dpkg-buildpackage -b -us -uc'
    in_root "$builder" sh -c "$lintian /build/*.changes"
    mv "$builder/build" "$folder/"
    rm -rf "$builder"
}

# The machine has no network: what apt will install is fetched now.
prepare_machine() {
    mkdir -p "$root/packages" "$root/var/log/journal"
    cp "$folder"/build/*.deb "$root/packages/"
    rm -f "$root"/packages/*-dbgsym_*
    quietly in_root "$root" sh -c 'apt-get install -y -q --download-only nginx-light sqlite3 /packages/*.deb'
    rm -f "$root/etc/resolv.conf" "$root/usr/sbin/policy-rc.d"
    echo machine >"$root/etc/hostname"
    printf '127.0.0.1 localhost\n127.0.1.1 machine\n' >"$root/etc/hosts"
}

inside() {
    nsenter --target "$leader" --all /usr/bin/env -i PATH="$PATH" HOME=/root LC_ALL=C.UTF-8 "$@"
}

# The first child may be one that only makes the machine's first process.
is_booted() {
    leader=$(pgrep --parent "$machine") && inside systemctl is-active multi-user.target
}

# In control groups of its own, which are removed behind it with what it leaves in them.
begin_machine() {
    local top groups
    for top in /sys/fs/cgroup /sys/fs/cgroup/unified /sys/fs/cgroup/systemd; do
        groups=$top/${MACHINES_FOLDER##*/}-machine
        [ ! -e "$top/cgroup.procs" ] || { mkdir -p "$groups" && echo 0 >"$groups/cgroup.procs"; }
    done
    exec systemd-nspawn --quiet --register=no --keep-unit --private-network --machine=machine --console=pipe \
        --bind-ro="$MACHINES_BASES/$release-archives:/var/cache/apt/archives" --directory "$root" --boot
}

boot_machine() {
    begin_machine >"$folder/console" 2>&1 </dev/null &
    machine=$!
    wait_for 60 "the machine is booted" eval "is_booted || ! kill -0 $machine" && is_booted >/dev/null && return
    tail -n 20 "$folder/console" >&2
    kill -KILL "$machine" 2>/dev/null || true
    return 1
}

say "build the packages on $release, and a machine of it"
make_machine &
making=$!
if [ "$release" = "$(release_of)" ]; then
    build_here
else
    build_in_root
fi
wait "$making"
ls "$folder"/build/*.deb

say "boot the machine"
prepare_machine
# More than once: it can lose a race for a cgroup that another has just removed.
boot_machine || boot_machine || boot_machine || skip "systemd does not boot in systemd-nspawn on this machine"

say "the tests"
export MACHINE_LEADER=$leader MACHINE_ROOT=$root
code=0
nsenter --net="/proc/$leader/ns/net" \
    /usr/bin/python3 -m pytest -q -x -p no:cacheprovider tests/machines/packages "$@" || code=$?
if [ "$code" -ne 0 ]; then
    echo "-- the end of the machine's journal:" >&2
    inside journalctl --no-pager -n 40 >&2 || true
fi
exit "$code"
