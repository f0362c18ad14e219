#!/bin/bash
# Builds and tests in a fresh root of the other supported Debian: on Debian 12 that is 13, elsewhere 12.
set -euo pipefail
# shellcheck source=tests/machines/library.sh
. tests/machines/library.sh

begin in-memory
release=trixie
[ "$(release_of)" = bookworm ] || release=bookworm
if [ "${1:-}" = bookworm ] || [ "${1:-}" = trixie ]; then
    release=$1
    shift
fi
need mmdebstrap

say "a fresh root of Debian $release"
make_root "$release" "$folder/root" git
copy_project "$folder/root/project"

say "scripts/test.sh $* in it"
# The checks ask git what belongs to the project.
in_root_seconds=7200
# shellcheck disable=SC2016 # the inner shell expands
in_root "$folder/root" sh -euc '
    cd /project
    git init -q
    git add --all
    export FIRST_TEST_PORT=11000 # beside a run of this machine
    exec scripts/test.sh "$@"' sh "$@"
