#!/bin/bash
# Starts RabbitMQ in its container with users whose passwords the first start has made at random.
# Each service has a user of its own that may do no more than its work, and there is no guest.
# The passwords are in the volumes below /credentials: neither in an image nor in an environment.
# A new password: remove the file, and start the broker again.
set -eu

# The volumes are shared by the nodes of a cluster, which start at the same time.
make_secret() {
    (
        flock 9
        if [ ! -s "$1" ]; then
            od -An -v -tx1 -N24 /dev/urandom | tr -d ' \n' >"$1.new"
            chmod "$2" "$1.new"
            mv "$1.new" "$1"
        fi
    ) 9>>"$1.lock"
}

# A service's container has a user of its own, and nobody else has its volume.
make_secret /credentials/user-service/amqp-password 444
make_secret /credentials/session-service/amqp-password 444

umask 077
cat >/run/rabbitmq/definitions.json <<END
{
  "vhosts": [{"name": "/"}],
  "users": [
    {"name": "user-service", "tags": [],
     "password": "$(cat /credentials/user-service/amqp-password)"},
    {"name": "session-service", "tags": [],
     "password": "$(cat /credentials/session-service/amqp-password)"}
  ],
  "permissions": [
    {"user": "user-service", "vhost": "/",
     "configure": "^session(\\\\.[0-9]+)?$", "write": "^amq\\\\.default$", "read": "^$"},
    {"user": "session-service", "vhost": "/",
     "configure": "^session(\\\\.[0-9]+|\\\\.dead|\\\\.lock)?$", "write": "^amq\\\\.default$",
     "read": "^session(\\\\.[0-9]+|\\\\.dead)?$"}
  ]
}
END
chown rabbitmq /run/rabbitmq/definitions.json

# A cluster's nodes know each other by the same cookie. One node alone has its own, from before the first check of its
# health: that would make one that is root's, which the broker cannot read.
cookie=/var/lib/rabbitmq/.erlang.cookie
[ -s "$cookie" ] || make_secret "$cookie" 400
if [ -d /credentials/cluster ]; then
    make_secret /credentials/cluster/erlang-cookie 400
    # Written in place: in that folder only its owner can replace it.
    cmp -s /credentials/cluster/erlang-cookie "$cookie" ||
        cat /credentials/cluster/erlang-cookie >"$cookie"
fi

exec docker-entrypoint.sh rabbitmq-server
