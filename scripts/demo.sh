#!/bin/bash
# Shows the whole way of a user: installs what is missing, builds, starts a private RabbitMQ and both
# services, saves a user, and shows it arriving. Usage: demo.sh [--once]
# Stays up until Ctrl-C; with --once it ends after the user was acknowledged. What it started and
# wrote outside the build folder is gone afterwards; a RabbitMQ that is there already is not touched.
# shellcheck disable=SC2317 # functions that only a trap or wait_for calls
set -eu
cd "$(dirname "$0")/.."

once=no
case ${1:-} in
"") ;;
--once) once=yes ;;
*)
    echo "usage: $0 [--once]" >&2
    exit 2
    ;;
esac

user_base=http://127.0.0.1:3000
session_base=http://127.0.0.1:3001
broker_pid=""
user_pid=""
session_pid=""
tail_pid=""
directory=$(mktemp -d -t user-session-demo.XXXXXX)

say() {
    printf '\n== %s\n' "$*"
}

# kill -0 finds nobody once the shell has collected the child.
end_process() {
    local pid=$1 deadline=$((SECONDS + $2))
    [ -n "$pid" ] || return 0
    kill -TERM "$pid" 2>/dev/null || return 0
    while kill -0 "$pid" 2>/dev/null; do
        if [ "$SECONDS" -ge "$deadline" ]; then
            echo "process $pid does not end; killed" >&2
            kill -KILL "$pid" 2>/dev/null || true
            return 0
        fi
        sleep 0.1
    done
}

clean_up() {
    local code=$? log
    trap '' INT TERM
    trap - EXIT
    if [ "$code" -eq 130 ] || [ "$code" -eq 143 ]; then
        printf '\nstopping everything\n'
    elif [ "$code" -ne 0 ]; then
        for log in "$directory"/*.log "$directory"/broker/out; do
            if [ -s "$log" ]; then
                echo "-- the end of ${log##*/}:" >&2
                tail -n 20 "$log" >&2
            fi
        done
    fi
    end_process "$tail_pid" 5
    end_process "$user_pid" 20
    end_process "$session_pid" 20
    end_process "$broker_pid" 90
    rm -rf "$directory"
    exit "$code"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

fail() {
    echo "$0: $*" >&2
    exit 1
}

# wait_for SECONDS PID WHAT COMMAND...: PID is the process that WHAT depends on.
wait_for() {
    local deadline=$((SECONDS + $1)) pid=$2 what=$3
    shift 3
    until "$@" >/dev/null 2>&1; do
        kill -0 "$pid" 2>/dev/null || fail "$what: the process ended"
        [ "$SECONDS" -lt "$deadline" ] || fail "$what: not within the deadline"
        sleep 0.1
    done
}

get() {
    curl -fsS --noproxy '*' --max-time 5 "$1"
}

is_port_taken() {
    (: <>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

is_acknowledged() {
    get "$session_base/metrics" | grep -q '^session_service_ack_latency_seconds_count [1-9]'
}

list_queue() {
    python3 tests/support/broker.py ctl --dir "$directory/broker" \
        list_queues name type messages consumers >"$directory/queues" &&
        grep -E '^(name|session)[[:space:]]' "$directory/queues"
}

# The broker counts every few seconds; a count that knows the consumer is not one from before.
is_queue_empty() {
    list_queue | grep -Eq '^session[[:space:]][a-z]+[[:space:]]0[[:space:]]1$'
}

say "install what is missing"
scripts/install-dependencies.sh demo

say "build"
scripts/build.sh plain user-service session-service

for port in 3000 3001; do
    if is_port_taken "$port"; then
        fail "port $port on 127.0.0.1 is in use; the demo needs it"
    fi
done
# Settings of the caller's environment belong to other instances than these.
unset "${!USER_SERVICE_@}" "${!SESSION_SERVICE_@}" AMQP_URL

say "start a private RabbitMQ on loopback"
python3 tests/support/broker.py run --dir "$directory/broker" >"$directory/ready" \
    2>"$directory/broker.log" &
broker_pid=$!
wait_for 120 "$broker_pid" "RabbitMQ is ready" grep -q '^ready ' "$directory/ready"
amqp_url=$(sed -n 's/^ready //p' "$directory/ready")
echo "$amqp_url"

say "start the session-service on 3001 and the user-service on 3000"
build/session-service/session-service --listen 127.0.0.1:3001 --amqp-url "$amqp_url" \
    --state-dir "$directory/session-service" \
    --log-format text --log-payload full 2>"$directory/session-service.log" &
session_pid=$!
build/user-service/user-service --listen 127.0.0.1:3000 --amqp-url "$amqp_url" \
    --state-dir "$directory/user-service" \
    --log-format text 2>"$directory/user-service.log" &
user_pid=$!
wait_for 30 "$session_pid" "the session-service is ready" get "$session_base/readyz"
wait_for 30 "$user_pid" "the user-service is ready" get "$user_base/readyz"
echo "both are ready"

say "curl -d name=Ada -d email=ada@example.org $user_base/users/save"
reply=$(curl -fsS --noproxy '*' --max-time 15 -d name=Ada -d email=ada@example.org \
    "$user_base/users/save")
echo "$reply"
id=$(printf '%s' "$reply" | sed -n 's/.*"id":"\([^"]*\)"}$/\1/p')
[ -n "$id" ] || fail "the reply has no message id"

say "the session-service's log line"
wait_for 30 "$session_pid" "the user is logged" \
    grep -F "$id" "$directory/session-service.log"
grep -F "$id" "$directory/session-service.log"
wait_for 30 "$session_pid" "the user is acknowledged" is_acknowledged

say "the queue: everything was acknowledged"
wait_for 60 "$broker_pid" "the queue is empty" is_queue_empty
list_queue

if [ "$once" = yes ]; then
    say "done; stopping everything"
    exit 0
fi

say "everything stays up until Ctrl-C; in another terminal, for example:"
cat <<END
curl -d name=Grace -d email=grace@example.org $user_base/users/save
curl -H 'Content-Type: application/json' -d '{"name":"Linus"}' $user_base/users/save
curl $session_base/metrics
python3 tests/support/broker.py ctl --dir $directory/broker list_queues name messages

The log of both services:
END
tail -q -n 0 -f "$directory/user-service.log" "$directory/session-service.log" &
tail_pid=$!
wait -n "$user_pid" "$session_pid" "$broker_pid" || true
fail "one of the processes ended"
