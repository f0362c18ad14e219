#!/bin/bash
# Shows how the release binaries are hardened, and fails where something is missing.
# Usage: check-hardening.sh BUILD_DIR [--self-test]   (--self-test: a plain program must be found wanting)
set -euo pipefail
cd "$(dirname "$0")/.."
export LC_ALL=C

[ $# -ge 1 ] || {
    echo "usage: $0 BUILD_DIR [--self-test]" >&2
    exit 2
}

# row WHAT FOUND: FOUND is "yes" or empty
row() {
    printf '  %-44s %s\n' "$1" "${2:-NO}"
    [ -n "$2" ] || missing=$((missing + 1))
}

# has PATTERN TEXT
has() {
    if grep -qE -- "$1" <<<"$2"; then
        echo yes
    fi
}

lacks() {
    if ! grep -qE -- "$1" <<<"$2"; then
        echo yes
    fi
}

check() {
    local headers dynamic symbols
    headers=$(readelf --wide --file-header --program-headers "$1")
    dynamic=$(readelf --wide --dynamic "$1")
    symbols=$(readelf --wide --dyn-syms "$1")
    echo "$1:"
    row "position independent (PIE)" "$(has 'Type: +DYN' "$headers")"
    row "relocations read-only (RELRO)" "$(has 'GNU_RELRO' "$headers")"
    row "bound at the start (NOW)" "$(has 'FLAGS_1.*NOW' "$dynamic")"
    row "stack not executable (NX)" "$(has 'GNU_STACK .* RW +0x' "$headers")"
    row "nothing writable is executable" "$(lacks 'LOAD .* RWE ' "$headers")"
    row "stack protector" "$(has '__stack_chk_fail' "$symbols")"
    row "checked library calls (FORTIFY)" "$(has '__[a-z]+_chk@' "$symbols")"
    row "no path of libraries of its own (RPATH)" "$(lacks 'R(UN)?PATH' "$dynamic")"
}

missing=0
if [ "${2:-}" = --self-test ]; then
    scratch=$(mktemp -d -t check-hardening.XXXXXX)
    trap 'rm -rf "$scratch"' EXIT
    echo 'int main(void) { return 0; }' >"$scratch/plain.c"
    cc -no-pie -fno-stack-protector -fcf-protection=none -z norelro -z lazy -z execstack -Wl,-rpath,/tmp \
        -o "$scratch/plain" "$scratch/plain.c" 2>"$scratch/warnings"
    check "$scratch/plain" >"$scratch/found"
    if [ "$missing" -lt 6 ]; then
        cat "$scratch/found"
        echo "self-test: only $missing of what a plain program lacks was found" >&2
        exit 1
    fi
    echo "hardening: the self-test passes"
    exit 0
fi
for service in user-service session-service; do
    check "$1/$service/$service"
done
[ "$missing" -eq 0 ]
