#!/bin/bash
# Starts PostgreSQL in its container: `primary`, or `standby`, which is made of the primary where its volume is empty.
# The passwords are made at random by the first start, in volumes below /credentials: neither in an image, an argument
# nor an environment. The primary confirms what the standby has too. A standby that was promoted stays what it is now.
set -eu
umask 077
role=$1
data=/var/lib/postgresql/data
secret=/credentials/replication/password
as_postgres="setpriv --reuid=postgres --regid=postgres --init-groups --"

make_secret() {
    if [ ! -s "$1" ]; then
        od -An -v -tx1 -N24 /dev/urandom | tr -d ' \n' >"$1.new"
        chmod "$2" "$1.new"
        mv "$1.new" "$1"
    fi
}

make_primary() {
    rm -rf "$data"
    $as_postgres initdb --pgdata "$data.new" --auth-local peer --auth-host scram-sha-256 --data-checksums \
        --encoding UTF8 --locale C.UTF-8
    printf 'host %s samenet scram-sha-256\n' 'all all' 'replication replication' >>"$data.new/pg_hba.conf"
    $as_postgres pg_ctl --pgdata "$data.new" --wait --silent --options "-c listen_addresses=''" start
    $as_postgres psql --quiet --set ON_ERROR_STOP=1 postgres <<END
CREATE ROLE replication REPLICATION LOGIN PASSWORD '$(cat "$secret")';
CREATE ROLE "session-service" LOGIN PASSWORD '$(cat /credentials/session-service/store-password)';
CREATE DATABASE sessions OWNER "session-service";
REVOKE CONNECT ON DATABASE postgres FROM PUBLIC;
END
    $as_postgres pg_ctl --pgdata "$data.new" --wait --silent --mode fast stop
    mv "$data.new" "$data"
}

make_standby() {
    rm -rf "$data.new"
    printf '*:*:*:replication:%s\n' "$(cat "$secret")" >/run/postgresql/passwords
    chown postgres /run/postgresql/passwords
    PGPASSFILE=/run/postgresql/passwords $as_postgres pg_basebackup --host postgresql --username replication \
        --pgdata "$data.new" --checkpoint fast --wal-method stream
    touch "$data.new/standby.signal"
    chown postgres "$data.new/standby.signal"
    mv "$data.new" "$data"
}

chown postgres /var/lib/postgresql /run/postgresql
options=(-c listen_addresses='*' -c wal_keep_size=1GB -c tcp_keepalives_idle=30 -c client_connection_check_interval=5s)
case $role in
primary)
    make_secret "$secret" 400
    # The services' containers have a user of their own, and nobody else has their volume.
    make_secret /credentials/session-service/store-password 444
    [ -s "$data/PG_VERSION" ] || make_primary
    options+=(-c synchronous_standby_names=standby)
    ;;
standby)
    [ -s "$data/PG_VERSION" ] || make_standby
    printf '*:*:*:replication:%s\n' "$(cat "$secret")" >/run/postgresql/passwords
    chown postgres /run/postgresql/passwords
    options+=(-c cluster_name=standby -c hot_standby=on
        -c "primary_conninfo=host=postgresql user=replication passfile=/run/postgresql/passwords")
    ;;
esac
# shellcheck disable=SC2086 # words
exec $as_postgres postgres -D "$data" "${options[@]}"
