#!/bin/bash
# Measures which lines and branches the unit tests, the system tests and the sweep over failing calls run, prints a
# table, and fails below 95% of the lines or 84% of the branches. What is left is explained in docs/coverage.md.
# Usage: coverage.sh [--report-only]   (--report-only: of what has run already)
set -euo pipefail
cd "$(dirname "$0")/.."

lines_min=95
branches_min=84
case ${1:-} in
"")
    scripts/build.sh coverage
    find build-coverage -name '*.gcda' -delete
    ctest --test-dir build-coverage -L unit --no-tests=error --output-on-failure
    SERVICES_BUILD_DIR=$PWD/build-coverage /usr/bin/python3 -m pytest -q -n 6 --dist loadgroup tests/system
    # What an allocation, a read or a write that fails leads to; the same ones each time.
    SERVICES_BUILD_DIR=$PWD/build-coverage /usr/bin/python3 tests/failing_calls/sweep.py --points 30 --seed 1
    ;;
--report-only) ;;
*)
    echo "usage: $0 [--report-only]" >&2
    exit 2
    ;;
esac
# A daemon that is killed writes nothing, and one that is killed while it writes leaves half a file.
gcovr --root . --object-directory build-coverage -j "$(nproc)" --gcov-ignore-parse-errors \
    --filter common/ --filter user-service/ --filter session-service/ --print-summary \
    --fail-under-line "$lines_min" --fail-under-branch "$branches_min"
