#!/bin/bash
# Measures the services beside what others use for the job: installs and builds what is missing,
# starts a private RabbitMQ, prints one table of medians.
# Usage: bench.sh [--quick | --full] [--help] [options of tests/bench/bench.py]
#        bench.sh --capacity [options of tests/bench/capacity.py]: what a user costs each part; writes docs/capacity.md
# --quick: a second for each case, to see that it runs. --full: the figures of docs/performance.md.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/install-dependencies.sh bench
if [ "${1:-}" = --capacity ]; then
    scripts/build.sh release user-service session-service
    exec /usr/bin/python3 tests/bench/capacity.py "${@:2}"
fi
scripts/build.sh release user-service session-service publish_alone open_loop

parts=build/bench
mkdir -p "$parts"
if ! cmp -s tests/bench/peers/package-lock.json "$parts/installed-lock.json"; then
    cp tests/bench/peers/package.json tests/bench/peers/package-lock.json "$parts/"
    npm ci --prefix "$parts" --no-audit --no-fund --ignore-scripts
    cp "$parts/package-lock.json" "$parts/installed-lock.json"
fi
GO111MODULE=off GOPATH=/usr/share/gocode GOCACHE=$PWD/$parts/go-cache \
    go build -o "$parts/go-peer" tests/bench/peers/main.go

arguments=()
for argument in "$@"; do
    case $argument in
    --full) arguments+=(--parts saves consume stores latency scale --memory-seconds 600 --json docs/performance.json --page docs/performance.md) ;;
    *) arguments+=("$argument") ;;
    esac
done
node=$(node --print 'process.versions.node.split(".")[0]')
if [ "$node" -lt 20 ]; then # as on Debian 12
    echo "SKIPPED: fastify needs Node.js 20, and this is $node: it is left out"
    arguments+=(--without fastify)
fi
exec /usr/bin/python3 tests/bench/bench.py "${arguments[@]}"
