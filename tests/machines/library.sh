# shellcheck shell=bash
# What the tests on machines share. Each is tests/machines/NAME.sh, which scripts/test-machines.sh runs as the first
# process of namespaces of its own (processes, mounts): what it has started and mounted ends with it, however it ends.
# $folder is the test's own and is removed behind it; $MACHINES_FOLDER is that of all tests of the run; $MACHINES_BASES has
# what is the same for all of them.

export LC_ALL=C.UTF-8 PYTHONDONTWRITEBYTECODE=1
# The tools must be of the distribution.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
machines_name=${0##*/}
machines_name=${machines_name%.sh}

# begin in-memory|on-disk: a test's first call, which makes its folder. In memory only where that is plentiful.
begin() {
    [ -n "${MACHINES_FOLDER:-}" ] || fail "is run by scripts/test-machines.sh"
    folder=$MACHINES_FOLDER/$machines_name
    mkdir "$folder"
    if [ "$1" = in-memory ] && [ "$(awk '/^MemAvailable:/ { print int($2 / 1048576) }' /proc/meminfo)" -ge 14 ]; then
        mount -t tmpfs -o size=8g,mode=700 tmpfs "$folder"
    fi
    # What a tool leaves behind that is killed is left here.
    export TMPDIR=$folder
    mkdir -p /run/netns
    mount -t tmpfs tmpfs /run/netns
}

say() {
    printf '\n== %s\n' "$*"
}

fail() {
    echo "$machines_name: $*" >&2
    exit 1
}

skip() {
    printf '\nSKIPPED: %s was NOT tested: %s\n' "$machines_name" "$*" >&2
    [ "${MACHINES_REQUIRE:-no}" = no ] || exit 1
    exit 77
}

# need TOOL...
need() {
    local tool
    for tool in "$@"; do
        command -v "$tool" >/dev/null || skip "there is no $tool"
    done
}

# wait_for SECONDS WHAT COMMAND...
wait_for() {
    local deadline=$((SECONDS + $1)) what=$2
    shift 2
    until "$@" >/dev/null 2>&1; do
        if [ "$SECONDS" -ge "$deadline" ]; then
            echo "$machines_name: not within the deadline: $what" >&2
            return 1
        fi
        sleep 0.1
    done
}

# quietly COMMAND...: shows the end of what it says only where it fails.
quietly() {
    local output
    output=$(mktemp -p "$folder")
    if ! "$@" >"$output" 2>&1 </dev/null; then
        tail -n 40 "$output" >&2
        fail "failed: $*"
    fi
    rm -f "$output"
}

# What is under version control, as it is here.
copy_project() {
    mkdir -p "$1"
    git -c safe.directory='*' ls-files -z | while IFS= read -r -d '' name; do
        [ ! -e "$name" ] || printf '%s\0' "$name" # one may be gone, and that not committed yet
    done | tar --create --null --files-from=- |
        tar --extract --no-same-owner --directory "$1"
}

# release_of [ROOT]
release_of() {
    sed -n 's/^VERSION_CODENAME=//p' "${1:-}/etc/os-release"
}

# make_base RELEASE: a minimal root, once for all tests, with apt's lists; services do not start in it.
make_base() {
    local base=$MACHINES_BASES/$1
    # shellcheck disable=SC2016,SC2086 # the hook's shell expands; no mirror is no argument
    quietly timeout 900 mmdebstrap --quiet --variant=minbase --format=tar --skip=cleanup/apt/lists \
        --aptopt='APT::Install-Recommends "false"' --aptopt='Acquire::Languages "none"' --aptopt='Acquire::Retries "3"' \
        --aptopt='Dir::Cache::pkgcache ""' --aptopt='Dir::Cache::srcpkgcache ""' --dpkgopt=force-unsafe-io \
        --customize-hook='printf "#!/bin/sh\nexit 101\n" >"$1/usr/sbin/policy-rc.d"; chmod 755 "$1/usr/sbin/policy-rc.d"' \
        "$1" "$base.new" ${DEBIAN_MIRROR:-}
    mkdir -p "$base-archives"
    mv "$base.new" "$base.tar"
}

# make_root RELEASE FOLDER [PACKAGE...]
make_root() {
    local release=$1 root=$2
    shift 2
    # Two roots may be made at once.
    (
        flock 9
        [ -e "$MACHINES_BASES/$release.tar" ] || make_base "$release"
    ) 9>"$MACHINES_BASES/$release.lock"
    mkdir -p "$root"
    tar --extract --numeric-owner --file "$MACHINES_BASES/$release.tar" --directory "$root"
    rm -f "$root/etc/resolv.conf"
    cp /etc/resolv.conf "$root/etc/resolv.conf"
    [ $# -eq 0 ] || quietly in_root "$root" apt-get install -y -q "$@"
}

# in_root FOLDER COMMAND...: with this machine's network. The mounts, and what it has started, end with it. What apt
# downloads is kept for the other roots of $MACHINES_BASES, of which one at a time can use it.
in_root() {
    local archives
    archives=$MACHINES_BASES/$(release_of "$1")-archives
    # shellcheck disable=SC2016 # the inner shell expands
    flock "$archives" timeout "${in_root_seconds:-900}" unshare --mount --pid --fork --kill-child bash -euc '
        archives=$1 root=$2
        shift 2
        mount -t proc proc "$root/proc"
        mount --rbind /dev "$root/dev"
        mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
        mount --rbind /sys "$root/sys"
        mount --bind "$archives" "$root/var/cache/apt/archives"
        exec chroot "$root" /usr/bin/env -i PATH="$PATH" HOME=/root LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive \
            DEB_BUILD_OPTIONS="${DEB_BUILD_OPTIONS:-}" \
            http_proxy="${http_proxy:-}" https_proxy="${https_proxy:-}" "$@"' bash "$archives" "$@"
}

# make_network NAME: a network namespace with nothing but its loopback. in_network NAME COMMAND...
make_network() {
    ip netns add "$1" && ip -n "$1" link set lo up
}

in_network() {
    local name=$1
    shift
    nsenter --net="/run/netns/$name" -- "$@"
}
