#!/bin/sh
# Random faults on both services and a private broker under load, then the checker's framing_check.
# Usage: faults.sh [--minutes N] [--seed S] ...; --help shows all. Needs scripts/install-dependencies.sh test and
# a build. As root it also fills disks.
set -eu
cd "$(dirname "$0")/.."
exec /usr/bin/python3 tests/faults/run.py "$@"
