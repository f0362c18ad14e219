#!/bin/bash
# Checks that the manual pages and the sample files have exactly the options of --help, and that the
# samples are valid, as they are and with every line in force.
# Usage: check-options.sh BUILD_DIR [--self-test]   (--self-test: every difference must be found)
set -eu
cd "$(dirname "$0")/.."

export LC_ALL=C

usage() {
    echo "usage: $0 BUILD_DIR [--self-test]" >&2
    exit 2
}
if [ $# -lt 1 ] || [ $# -gt 2 ]; then
    usage
fi
build=$1
scratch=$(mktemp -d -t check-options.XXXXXX)
trap 'rm -rf "$scratch"' EXIT

# What the examples in the samples name must be there when they are in force.
make_example_files() {
    openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=example \
        -keyout "$scratch/key.pem" -out "$scratch/cert.pem" 2>"$scratch/output" || {
        cat "$scratch/output"
        exit 1
    }
    cp "$scratch/cert.pem" "$scratch/ca.pem"
    echo "an-example-of-a-token" >"$scratch/tokens"
}

options_of_help() {
    sed -nE 's/^  --([a-z-]+)( .*)?$/\1/p' "$1" | sort
}

options_of_manual() {
    sed -nE 's/^\.BI? \\-\\-([a-z\\-]+)( .*)?$/\1/p' "$1" | sed 's/[\]//g' | sort
}

# What has a default, as "name = default".
defaults_of_help() {
    sed -nE -e '/^  --([a-z-]+) .*/{s//\1/;h;}' \
        -e '/^      default ([^;]*).*/{s//\1/;H;x;s/\n/ = /;p;}' "$1" | sort
}

settings_of_sample() {
    sed -nE 's/^#([a-z-]+ = .*)$/\1/p' "$1" | sort
}

# compare WHAT EXPECTED FOUND: files of sorted lines
compare() {
    local result=0
    if [ ! -s "$2" ]; then
        echo "options: $1: nothing to compare with"
        return 1
    fi
    comm -23 "$2" "$3" | sed "s|^|options: $1: is missing: |" >"$scratch/differences"
    comm -13 "$2" "$3" | sed "s|^|options: $1: does not exist: |" >>"$scratch/differences"
    [ ! -s "$scratch/differences" ] || result=1
    cat "$scratch/differences"
    return $result
}

# Where there is no default the sample has an example, and only the name is compared.
without_examples() {
    grep -vFf "$scratch/without" "$1" || true
}

check_sample() {
    local help=$1 sample=$2 result=0 kind
    defaults_of_help "$help" >"$scratch/help-defaults"
    settings_of_sample "$sample" >"$scratch/sample-defaults"
    sed -n 's/ = none$/ = /p' "$scratch/help-defaults" >"$scratch/without"
    for kind in help sample; do
        sed 's/ = .*//' "$scratch/$kind-defaults" >"$scratch/$kind-names"
        without_examples "$scratch/$kind-defaults" >"$scratch/$kind-values"
    done
    compare "$sample" "$scratch/help-names" "$scratch/sample-names" || result=1
    compare "$sample" "$scratch/help-values" "$scratch/sample-values" || result=1
    return $result
}

check_accepted() {
    local binary=$1 sample=$2
    if ! env -i "$binary" --config "$sample" --check-config >"$scratch/output" 2>&1; then
        echo "options: $sample is not accepted:"
        cat "$scratch/output"
        return 1
    fi
}

check_service() {
    local binary=$1 manual=$2 sample=$3 result=0
    "$binary" --help >"$scratch/help"
    cp "$scratch/help" "$scratch/all-help"
    if grep -q '^.SH DEAD LETTERS' "$manual"; then
        "$binary" dead-letters --help >>"$scratch/all-help"
    fi
    options_of_help "$scratch/all-help" | uniq >"$scratch/options"
    options_of_manual "$manual" >"$scratch/documented"
    compare "$manual" "$scratch/options" "$scratch/documented" || result=1
    check_sample "$scratch/help" "$sample" || result=1
    check_accepted "$binary" "$sample" || result=1
    sed -E -e 's/^#([a-z-]+ = )/\1/' -e "s|= /etc/[a-z-]+/|= $scratch/|" "$sample" \
        >"$scratch/in-force.conf"
    check_accepted "$binary" "$scratch/in-force.conf" || result=1
    return $result
}

check_all() {
    local result=0 service
    for service in user-service session-service; do
        check_service "$build/$service/$service" "docs/$service.8" "docs/$service.conf" || result=1
    done
    return $result
}

# must_find WHAT SED-PROGRAM FILE: the check must complain of the changed file.
must_find() {
    local what=$1 program=$2 suffix=$3
    cp docs/session-service.8 "$scratch/changed.8"
    cp docs/session-service.conf "$scratch/changed.conf"
    sed -i -E "$program" "$scratch/changed.$suffix"
    if check_service "$build/session-service/session-service" "$scratch/changed.8" \
        "$scratch/changed.conf" >"$scratch/found"; then
        echo "self-test: not found: $what" >&2
        exit 1
    fi
}

self_test() {
    if ! check_all >"$scratch/found"; then
        echo "self-test: nothing was changed, and something was found" >&2
        exit 1
    fi
    must_find "an option the manual lacks" '/^\.BI \\-\\-queue "/d' 8
    must_find "an option of the command that the manual lacks" '/^\.B \\-\\-dry\\-run/d' 8
    must_find "a command the manual lacks" '/^\.SH DEAD LETTERS/d' 8
    must_find "an option only the manual has" 's/^(\.BI \\-\\-)queue "/\1quaue "/' 8
    must_find "an option the sample lacks" '/^#prefetch = /d' conf
    must_find "an option only the sample has" 's/^#prefetch = /#postfetch = /' conf
    must_find "another default" 's/^(#prefetch = ).*/\1501/' conf
    must_find "a sample that is not accepted" 's/^#prefetch = .*/prefetch = many/' conf
    echo "options: the self-test passes"
}

make_example_files
case ${2:-} in
"") check_all && echo "options: all are documented" ;;
--self-test) self_test ;;
*) usage ;;
esac
