#!/bin/bash
# Gives the data to the rabbitmq user and becomes it, as the entrypoint of the image rabbitmq:4 does.
set -eu
if [ "$1" = rabbitmq-server ] && [ "$(id -u)" = 0 ]; then
    find /var/lib/rabbitmq ! -user rabbitmq -exec chown rabbitmq '{}' +
    exec gosu rabbitmq "$0" "$@"
fi
# The server becomes process 1, which gets the engine's signals.
export RUNNING_UNDER_SYSTEMD=true
exec "$@"
