#!/bin/bash
# A cluster of three private RabbitMQ nodes that loses its leader and is partitioned, and a PostgreSQL whose primary is
# lost and whose standby is promoted, under load; then the checker's framing_check. CLUSTER_ROUNDS=N: how often each
# fault of the cluster comes (1); CLUSTER_SEED=S: a run that was before.
set -euo pipefail
# shellcheck source=tests/machines/library.sh
. tests/machines/library.sh

begin on-disk
need ip nsenter
{
    make_network nodes && make_network probe &&
        ip -n nodes link add probe type bridge && ip -n nodes link add probe1 type veth peer name probe2 netns probe
} >"$folder/probe" 2>&1 ||
    skip "namespaces, bridges or pairs of interfaces cannot be made: $(tail -n 1 "$folder/probe")"

# PostgreSQL does not run as root, and nobody else may enter $folder.
mkdir -m 711 "$folder/databases"
mount --bind "$folder/databases" /mnt

export CLUSTER_NAMESPACE=yes CLUSTER_DATABASES=/mnt
in_network nodes /usr/bin/python3 -m pytest -q -s -p no:cacheprovider "$@" tests/machines/cluster
