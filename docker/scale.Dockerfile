# What docker-compose.scale.yml has around the services, of Debian's packages: PostgreSQL, haproxy, Prometheus.
FROM debian:trixie-slim AS base
RUN printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d && chmod 0755 /usr/sbin/policy-rc.d

FROM base AS postgresql
# No cluster of Debian's: docker/postgresql-start.sh makes one where its volume is empty.
RUN apt-get update -q \
    && mkdir -p /etc/postgresql-common \
    && printf 'create_main_cluster = false\n' >/etc/postgresql-common/createcluster.conf \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends postgresql-17 \
    && rm -rf /var/lib/apt/lists/* /var/lib/postgresql/* \
    && find / -xdev -type f -perm /6000 -exec chmod a-s '{}' +
ENV PATH=/usr/lib/postgresql/17/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8
# A fast end, whoever is connected.
STOPSIGNAL SIGINT

FROM base AS haproxy
RUN apt-get update -q \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends haproxy \
    && rm -rf /var/lib/apt/lists/* \
    && find / -xdev -type f -perm /6000 -exec chmod a-s '{}' +
USER haproxy
# Ends when what it has in hand is answered.
STOPSIGNAL SIGUSR1
ENTRYPOINT ["haproxy", "-db", "-f", "/etc/haproxy/haproxy.cfg"]

FROM base AS prometheus
RUN apt-get update -q \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends prometheus \
    && rm -rf /var/lib/apt/lists/* \
    && find / -xdev -type f -perm /6000 -exec chmod a-s '{}' + \
    && install -d -o prometheus -g prometheus /var/lib/prometheus/data
USER prometheus
ENTRYPOINT ["prometheus", "--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/var/lib/prometheus/data", \
    "--storage.tsdb.retention.time=7d"]
