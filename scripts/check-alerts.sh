#!/bin/bash
# Checks the alerts of docs/operations.md: each names metrics that a service has, and promtool, where it is
# installed, understands each as a rule.
# Usage: check-alerts.sh [--self-test]   (--self-test: wrong rows, names and expressions must be found)
# shellcheck disable=SC2016 # backticks of Markdown
set -euo pipefail
cd "$(dirname "$0")/.."

# rules FILE: its alerts as a file of rules
rules() {
    local number=0
    echo 'groups: [{name: services, rules: ['
    # An escaped | is the expression's own.
    sed -nE 's/^\| `([^`]+)`( for ([0-9]+) min)? \| .*/\3;\1/p' "$1" | sed 's/\\|/|/g' |
        while IFS=';' read -r minutes expression; do
            number=$((number + 1))
            echo "{alert: Alert$number, for: ${minutes:-0}m, expr: '$expression'},"
        done
    echo ']}]'
}

check() {
    local file count rows unknown=0 metric
    file=$(mktemp -t alerts.XXXXXX)
    rules "$1" >"$file"
    count=$(grep -c '^{alert' "$file" || true)
    rows=$(sed -n '/^| alert when/,/^$/p' "$1" | grep -c '^| `' || true)
    if [ "$count" -ne "$rows" ]; then
        echo "alerts: $count of $rows rows are an expression, or one 'for N min'" >&2
        unknown=1
    fi
    while IFS= read -r metric; do
        if ! grep -qF "\"$metric\"" common/*.c user-service/*.c session-service/*.c; then
            echo "alerts: no service has the metric $metric" >&2
            unknown=1
        fi
    done < <(grep -oE '\b(user_service|session_service|http|log)_[a-z_]+\b' "$file" | sort -u)
    if [ "$unknown" -eq 0 ] && [ "$count" -gt 0 ] && command -v promtool >/dev/null; then
        promtool check rules "$file" >"$file.log" || {
            cat "$file.log" >&2
            unknown=1
        }
    fi
    rm -f "$file" "$file.log"
    [ "$count" -gt 0 ] && [ "$unknown" -eq 0 ]
}

self_test() {
    local page row
    page=$(mktemp -t alerts.XXXXXX)
    for row in '| `http_connections == 1` always | x | y |' '| `http_connection == 1` | x | y |' '| `http_connections ==` | x | y |'; do
        printf '%s\n' '| alert when | it means | do |' "$row" >"$page"
        # Without promtool nobody knows what an expression is.
        if check "$page" 2>/dev/null && { [[ $row != *'== '* ]] || command -v promtool >/dev/null; }; then
            echo "self-test: not found: $row" >&2
            exit 1
        fi
    done
    rm -f "$page"
    echo "alerts: the self-test passes"
}

case ${1:-} in
"") check docs/operations.md && echo "alerts: all are known" ;;
--self-test) self_test ;;
*)
    echo "usage: $0 [--self-test]" >&2
    exit 2
    ;;
esac
