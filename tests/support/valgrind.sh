#!/bin/bash
# Runs system tests with the daemons under valgrind's memcheck: fails on a bad access, a decision on what was never
# written, or a definite leak. Left out are tests that start the daemons again and again.
# Usage: valgrind.sh [PYTEST-ARGUMENT...]
set -euo pipefail
cd "$(dirname "$0")/../.."

tests=("$@")
[ ${#tests[@]} -gt 0 ] || tests=(tests/system/test_contract_*.py tests/system/test_http_raw.py
    tests/system/test_store.py tests/system/test_outbox.py -k "not killed and not full_disk")
# A release build writes zeros where nothing was written.
scripts/build.sh dev user-service session-service
export SERVICES_BUILD_DIR=$PWD/build-dev
export SERVICES_WRAPPER="valgrind --quiet --fair-sched=yes --num-callers=30 --error-exitcode=99
    --leak-check=full --show-leak-kinds=definite --errors-for-leak-kinds=definite"
exec /usr/bin/python3 -m pytest -q "${tests[@]}"
