#!/bin/bash
# Builds and tests in a fresh root of the other supported Debian: on Debian 12 that is 13, elsewhere 12.
# Usage: test-other-debian.sh [bookworm|trixie]
# Needs root or sudo; the root is a temporary folder that is gone afterwards.
set -euo pipefail
cd "$(dirname "$0")/.."

if [ "$(id -u)" -ne 0 ]; then
    exec sudo scripts/test-other-debian.sh "$@"
fi

# shellcheck disable=SC1091 # what the system says it is
release=${1:-$(. /etc/os-release && [ "${VERSION_CODENAME:-}" = bookworm ] && echo trixie || echo bookworm)}
case $release in
bookworm | trixie) ;;
*)
    echo "usage: $0 [bookworm|trixie]" >&2
    exit 2
    ;;
esac

root=$(mktemp -d -t "debian-$release.XXXXXX")
clean_up() {
    rm -rf --one-file-system "$root"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

echo "== a fresh root of Debian $release"
debootstrap --variant=minbase "$release" "$root" >"$root.log" 2>&1 || {
    tail -n 20 "$root.log" >&2
    rm -f "$root.log"
    exit 1
}
rm -f "$root.log"
mkdir "$root/project"
# What is under version control, as it is here; the checks ask git what belongs to the project.
git -c safe.directory='*' ls-files -z | tar --create --null --files-from=- | tar --extract --directory "$root/project"
cp /etc/resolv.conf "$root/etc/resolv.conf"

echo "== the tests in it"
# shellcheck disable=SC2016 # the inner shell expands
# The mounts are the namespace's own and end with it.
unshare --mount --pid --fork --kill-child bash -euc '
    root=$1
    mount --make-rprivate /
    mount -t proc proc "$root/proc"
    mount --rbind /dev "$root/dev"
    mount --rbind /sys "$root/sys"
    exec chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 \
        http_proxy="${http_proxy:-}" https_proxy="${https_proxy:-}" sh -euc "
            apt-get update -q >/dev/null
            apt-get install -y -q --no-install-recommends git >/dev/null
            cd /project
            git init -q
            git add --all
            exec scripts/test.sh --fast"
' bash "$root"
