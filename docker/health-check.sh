#!/bin/bash
# Succeeds when the service on a port of this container answers 200. Usage: health-check PORT [PATH]
# Without a path it asks whether the process lives: a container is not worse for a broker that is away.
set -eu
exec 3<>"/dev/tcp/127.0.0.1/$1"
printf 'GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n' "${2:-/healthz}" >&3
read -r -t 4 _ status _ <&3
echo "$status"
[ "$status" = 200 ]
