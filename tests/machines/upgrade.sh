#!/bin/bash
# RabbitMQ 3.10 (Debian 12) and 4.0 (Debian 13) side by side, each in a root of its release: what becomes of the data of
# the one under the other, and the walk from the one to the other that docs/operations.md describes, under load.
set -euo pipefail
# shellcheck source=tests/machines/library.sh
. tests/machines/library.sh

begin on-disk
need mmdebstrap ip nsenter
releases=(bookworm trixie)

# The brokers' data are at the same path inside the roots.
make_broker() {
    local root=$folder/$1
    make_root "$1" "$root" rabbitmq-server
    mkdir -p "$root$folder/data"
    mount --bind "$folder/data" "$root$folder/data"
    mount -t proc proc "$root/proc"
    mount --rbind /dev "$root/dev"
    echo '127.0.0.1 localhost' >"$root/etc/hosts"
}

say "a root of each release, with its RabbitMQ"
mkdir "$folder/data"
for release in "${releases[@]}"; do
    make_broker "$release"
done

say "the tests"
make_network brokers
export UPGRADE_OLD_ROOT=$folder/bookworm UPGRADE_NEW_ROOT=$folder/trixie UPGRADE_DATA=$folder/data
in_network brokers /usr/bin/python3 -m pytest -q -x -p no:cacheprovider "$@" tests/machines/upgrade
