#!/bin/bash
# Checks the layering rules of ARCHITECTURE.md by reading the #include lines.
# Usage: check-layering.sh [--self-test]   (--self-test: every rule must find its violation)
set -eu
cd "$(dirname "$0")/.."

violations=0
# report RULE, with the lines of the violations on standard input
report() {
    local line
    while IFS= read -r line; do
        echo "layering: $1: $line"
        violations=$((violations + 1))
    done
}

includes() {
    local pattern=$1
    shift
    [ $# -eq 0 ] || grep -nHE "^[[:space:]]*#[[:space:]]*include[[:space:]]*[<\"]$pattern" "$@" || true
}

# except REGEX FILE...: the files whose names do not match
except() {
    local regex=$1
    shift
    [ $# -eq 0 ] || printf '%s\n' "$@" | grep -vE "$regex" || true
}

check_tree() {
    local root=$1 pure all outside file
    violations=0
    cd "$root"
    shopt -s nullglob
    all=(common/*.[ch] user-service/*.[ch] session-service/*.[ch])

    report "common knows no service" < <(includes '(user|session)-service/' common/*.[ch])
    report "a service knows the other" < <(
        includes 'session-service/' user-service/*.[ch]
        includes 'user-service/' session-service/*.[ch]
    )
    mapfile -t outside < <(except '^common/broker(_[a-z]+)?\.[ch]$' "${all[@]}")
    report "only common/broker* includes rabbitmq-c" < <(
        includes '(rabbitmq-c/|amqp[a-z_]*\.h)' "${outside[@]}"
    )
    mapfile -t outside < <(
        except '^common/http_(server|connection|request|reply|framing|listen|internal)\.[ch]$' "${all[@]}"
    )
    report "only common/http_* includes libmicrohttpd" < <(includes 'microhttpd' "${outside[@]}")

    mapfile -t outside < <(except '^common/(notify|http_listen|log)\.c$' "${all[@]}")
    report "only common/{notify,http_listen,log}.c include libsystemd" < <(
        includes 'systemd/' "${outside[@]}"
    )
    mapfile -t outside < <(except '^common/database\.c$' "${all[@]}")
    report "only common/database.c includes SQLite" < <(includes 'sqlite3' "${outside[@]}")
    mapfile -t outside < <(
        except '^common/(broker_tls|auth_tokens|digest|base64)\.c$|^common/broker_internal\.h$' "${all[@]}"
    )
    report "only common/{broker_tls,auth_tokens,digest,base64}.c include OpenSSL" < <(
        includes 'openssl/' "${outside[@]}"
    )

    pure=(user-service/{confirm_window,admission,key_window}.[ch] session-service/ack_window.[ch]
        session-service/verdict.[ch] common/backoff.[ch] common/nack_streak.[ch]
        common/form.[ch] common/user.[ch] common/user_*.[ch] common/json_text.[ch]
        common/utf8.[ch] common/http_syntax.[ch] common/slice.[h] common/message.[h] common/log_format.[ch])
    report "a pure module does no input or output and reads no clock" < <(
        includes '(unistd\.h|sys/socket\.h|sys/epoll\.h|poll\.h|pthread\.h|common/(clock|broker)\.h)' \
            "${pure[@]}"
    )
    # Splitting a given time into a date is formatting; asking for the time is not.
    mapfile -t outside < <(except '^common/log_format\.c$' "${pure[@]}")
    report "a pure module includes time.h" < <(includes 'time\.h' "${outside[@]}")
    report "a pure module asks for the time" < <(
        [ ${#pure[@]} -eq 0 ] || grep -nHE '\b(clock_gettime|gettimeofday|time)\(' "${pure[@]}" || true
    )
    for file in "${all[@]}"; do
        case $file in
        *.h) grep -q '^#pragma once$' "$file" || report "no #pragma once" <<<"$file" ;;
        esac
    done
    [ ${#all[@]} -gt 0 ] || report "no sources" <<<"$root"
    [ "$violations" -eq 0 ]
}

# must_find NAME FILE LINE RULE: a tree with that line alone breaks that rule.
must_find() {
    local name=$1 file=$2 line=$3 rule=$4 tree found
    tree=$scratch/$name
    mkdir -p "$tree/common" "$tree/user-service" "$tree/session-service"
    printf '#pragma once\n#include "common/slice.h"\n' >"$tree/common/slice.h"
    printf '%s\n' "$line" >"$tree/$file"
    found=$(check_tree "$tree" || true)
    case $found in
    "layering: $rule: "*) return 0 ;;
    esac
    echo "self-test: $name: expected \"$rule\", found \"$found\"" >&2
    exit 1
}

self_test() {
    scratch=$(mktemp -d -t check-layering.XXXXXX)
    trap 'rm -rf "$scratch"' EXIT
    must_find up common/a.c '#include "user-service/a.h"' "common knows no service"
    must_find sideways user-service/a.c '#include "session-service/a.h"' "a service knows the other"
    must_find other-way session-service/a.c '#include "user-service/a.h"' "a service knows the other"
    must_find amqp user-service/a.c '#include <rabbitmq-c/amqp.h>' "only common/broker* includes rabbitmq-c"
    must_find old-amqp common/connector.c '# include <amqp_framing.h>' \
        "only common/broker* includes rabbitmq-c"
    must_find http session-service/a.c '#include <microhttpd.h>' "only common/http_* includes libmicrohttpd"
    must_find manager user-service/a.c '#include <systemd/sd-daemon.h>' \
        "only common/{notify,http_listen,log}.c include libsystemd"
    must_find tls common/http_reply.c '#include <openssl/evp.h>' \
        "only common/{broker_tls,auth_tokens,digest,base64}.c include OpenSSL"
    must_find sqlite session-service/store.c '#include <sqlite3.h>' \
        "only common/database.c includes SQLite"
    must_find io common/form.c '#include <unistd.h>' \
        "a pure module does no input or output and reads no clock"
    must_find clock session-service/verdict.c '#include "common/clock.h"' \
        "a pure module does no input or output and reads no clock"
    must_find time user-service/confirm_window.c '#include <time.h>' "a pure module includes time.h"
    must_find asks common/log_format.c 'x = time(NULL);' "a pure module asks for the time"
    must_find pragma common/a.h '' "no #pragma once"
    mkdir -p "$scratch/clean/common"
    printf '#pragma once\n' >"$scratch/clean/common/broker.h"
    printf '#include <amqp.h>\n' >"$scratch/clean/common/broker_internal.c"
    printf '#include <microhttpd.h>\n' >"$scratch/clean/common/http_reply.c"
    (check_tree "$scratch/clean") || {
        echo "self-test: a clean tree is refused" >&2
        exit 1
    }
    echo "layering: the self-test passes"
}

case ${1:-} in
"") check_tree . && echo "layering: the rules hold" ;;
--self-test) self_test ;;
*)
    echo "usage: $0 [--self-test]" >&2
    exit 2
    ;;
esac
