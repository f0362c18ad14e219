#!/bin/sh
# Installs what is missing. Debian 12 and 13.
# Usage: install-dependencies.sh SET...
#   build     what the two services are made of
#   demo      also RabbitMQ and curl
#   test      also what the plain tests need
#   tools     also ccache, clang, analyzers, fuzzing, coverage, valgrind, promtool and proxies
#   bench     also what the benchmark measures beside the services
#   machines  also what makes packages, containers and booted machines
# A RabbitMQ that is there already is not touched; no service that is installed here is started.
set -eu

usage() {
    echo "usage: $0 build|demo|test|tools|bench|machines..." >&2
    exit 2
}

[ $# -gt 0 ] || usage
build="gcc libc6-dev cmake make ninja-build pkg-config librabbitmq-dev libmicrohttpd-dev libjansson-dev uuid-dev libinih-dev libssl-dev libsqlite3-dev libsystemd-dev libpq-dev"
demo="$build rabbitmq-server python3 curl procps netbase" # netbase: a name for localhost
test="$demo libcmocka-dev python3-pytest python3-pytest-xdist python3-pika python3-requests python3-pyflakes python3-yaml git openssl postgresql strace faketime shellcheck clang-format"
tools="$test ccache clang clang-tidy cppcheck gcovr valgrind prometheus haproxy nginx-light"
bench="$demo libcmocka-dev wrk golang-go golang-github-rabbitmq-amqp091-go-dev python3-pika python3-matplotlib postgresql strace"
if ! command -v npm >/dev/null; then
    bench="$bench nodejs npm"
fi
machines="$test debhelper dpkg-dev lintian mmdebstrap systemd systemd-container docker.io docker-compose slirp4netns iproute2"
# shellcheck disable=SC1091 # what the system says it is
if [ "$(. /etc/os-release && echo "${VERSION_ID:-}")" != 12 ]; then
    machines="$machines systemd-dev docker-cli" # on Debian 12 in systemd and docker.io
    tools="$tools libclang-rt-19-dev"
else
    tools="$tools libclang-rt-14-dev"
fi
wanted=""
for set in "$@"; do
    case $set in
    build) wanted="$wanted $build" ;;
    demo) wanted="$wanted $demo" ;;
    test) wanted="$wanted $test" ;;
    tools) wanted="$wanted $tools" ;;
    bench) wanted="$wanted $bench" ;;
    machines) wanted="$wanted $machines" ;;
    *) usage ;;
    esac
done

missing=""
# shellcheck disable=SC2086 # a list of package names
for package in $(printf '%s\n' $wanted | sort -u); do
    if ! dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed'; then
        missing="$missing $package"
    fi
done
if [ -z "$missing" ]; then
    exit 0
fi

as_root=""
if [ "$(id -u)" -ne 0 ]; then
    as_root="sudo"
    if ! command -v sudo >/dev/null; then
        echo "$0: these packages are missing, and there is neither root nor sudo to install them:$missing" >&2
        exit 1
    fi
fi

policy=/usr/sbin/policy-rc.d
remove_policy() {
    $as_root rm -f "$policy"
}
case $missing in
*rabbitmq-server* | *docker.io* | *prometheus* | *postgresql* | *haproxy* | *nginx*)
    if [ ! -e "$policy" ]; then
        trap remove_policy EXIT INT TERM
        printf '#!/bin/sh\nexit 101\n' | $as_root tee "$policy" >/dev/null
        $as_root chmod 755 "$policy"
    fi
    ;;
esac

echo "installing:$missing"
$as_root env DEBIAN_FRONTEND=noninteractive apt-get update -q
# shellcheck disable=SC2086 # a list of package names
$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $missing
