#!/bin/bash
# Runs the compose files on a Docker engine of its own: builds the images, saves users, restarts and kills brokers under
# load. The engine reaches the outside by slirp4netns, for packages. No registry is used: the two base images are made
# of Debian's packages, under the names that the files use. An engine that runs already, its images and the machine's
# firewall are not touched.
set -euo pipefail
# shellcheck source=tests/machines/library.sh
. tests/machines/library.sh

begin in-memory
# The engine, its client and docker-compose must be of one distribution.
need dockerd docker docker-compose mmdebstrap slirp4netns nsenter ip pgrep curl
[ -c /dev/net/tun ] || skip "there is no /dev/net/tun"

# A failure in it says that this machine cannot run an engine.
start_engine() {
    slirp4netns --configure --mtu=65520 --disable-host-loopback --netns-type=path /run/netns/engine tap0 \
        >"$folder/slirp4netns.log" 2>&1 &
    wait_for 60 "the network" ip -n engine link show tap0 || return 1
    in_network engine dockerd --data-root "$folder/engine/data" --exec-root "$folder/engine/run" \
        --pidfile "$folder/engine/pid" --host "unix://$folder/engine/socket" \
        --exec-opt native.cgroupdriver=cgroupfs --cgroup-parent "/${MACHINES_FOLDER##*/}" \
        --dns 10.0.2.3 >"$folder/dockerd.log" 2>&1 &
    export DOCKER_HOST=unix://$folder/engine/socket DOCKER_CONFIG=$folder/client
    wait_for 300 "the engine answers" docker version || {
        tail -n 5 "$folder/dockerd.log" >&2
        return 1
    }
}

# import_root IMAGE OPTION...
import_root() {
    tar --create --numeric-owner --exclude='./var/lib/apt/lists/*' --directory "$root" . |
        docker import "${@:2}" - "$1" >/dev/null
}

say "start an engine"
make_network engine
# The volumes are on disk: containers pay for files in memory out of their limits.
mkdir -p "$folder/engine/data/volumes" "$MACHINES_FOLDER/volumes"
mount --bind "$MACHINES_FOLDER/volumes" "$folder/engine/data/volumes"
start_engine || skip "a Docker engine does not start on this machine"

root=$folder/root
say "make the base image debian:trixie-slim"
make_root trixie "$root"
# As in the real one, documents are left out, and nothing is kept of what apt downloads.
printf 'path-exclude=/usr/share/%s/*\n' doc man locale >"$root/etc/dpkg/dpkg.cfg.d/docker"
rm -rf "$root"/usr/share/{doc,man,locale}/*
import_root debian:trixie-slim --change 'CMD ["bash"]'

say "build the services' images; make the base image rabbitmq:4 of Debian's RabbitMQ 4"
export COMPOSE_PROJECT_NAME=compose-test
(quietly docker-compose build) &
building=$!
# What the real one has around it: the entrypoint's name and ways, paths, home, volume, logs and plugins.
quietly in_root "$root" sh -euc '
    apt-get install -y -q gosu rabbitmq-server
    mkdir -p /etc/rabbitmq/conf.d
    printf "loopback_users.guest = false\nlog.console = true\n" >/etc/rabbitmq/conf.d/10-defaults.conf
    printf "[rabbitmq_prometheus].\n" >/etc/rabbitmq/enabled_plugins
    chown -R rabbitmq:rabbitmq /var/lib/rabbitmq /etc/rabbitmq /var/log/rabbitmq
    chmod 1777 /var/lib/rabbitmq /etc/rabbitmq /etc/rabbitmq/conf.d /var/log/rabbitmq
    rm -f /var/lib/rabbitmq/.erlang.cookie
    ln -sf /var/lib/rabbitmq/.erlang.cookie /root/.erlang.cookie'
install -m 755 tests/machines/docker/rabbitmq-entrypoint.sh "$root/usr/local/bin/docker-entrypoint.sh"
import_root rabbitmq:4 --change 'CMD ["rabbitmq-server"]' --change 'ENTRYPOINT ["docker-entrypoint.sh"]' \
    --change 'ENV PATH=/usr/lib/rabbitmq/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' \
    --change 'ENV HOME=/var/lib/rabbitmq LANG=C.UTF-8 LC_ALL=C.UTF-8' --change 'VOLUME /var/lib/rabbitmq'

wait "$building"

say "the tests"
code=0
in_network engine /usr/bin/python3 -m pytest -q -x -p no:cacheprovider tests/machines/docker "$@" || code=$?
if [ "$code" -ne 0 ]; then
    for container in $(docker ps --all --format '{{.Names}}'); do
        echo "-- the end of the log of $container:" >&2
        docker logs --tail 20 "$container" >&2 || true
    done
fi
exit "$code"
