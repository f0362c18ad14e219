# Stands in for the image rabbitmq:4 where no registry is reachable: Debian's RabbitMQ 4, with what the
# real one has around it: the entrypoint's name and ways, paths, home, volume, logs and plugins.
FROM debian:trixie-slim
RUN apt-get update -q \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends \
        gosu rabbitmq-server \
    && rm -rf /var/lib/apt/lists/* \
    && mkdir -p /etc/rabbitmq/conf.d \
    && printf 'loopback_users.guest = false\nlog.console = true\n' >/etc/rabbitmq/conf.d/10-defaults.conf \
    && printf '[rabbitmq_prometheus].\n' >/etc/rabbitmq/enabled_plugins \
    && chown -R rabbitmq:rabbitmq /var/lib/rabbitmq /etc/rabbitmq /var/log/rabbitmq \
    && chmod 1777 /var/lib/rabbitmq /etc/rabbitmq /etc/rabbitmq/conf.d /var/log/rabbitmq \
    && rm -f /var/lib/rabbitmq/.erlang.cookie \
    && ln -sf /var/lib/rabbitmq/.erlang.cookie /root/.erlang.cookie
ENV PATH=/usr/lib/rabbitmq/bin:$PATH HOME=/var/lib/rabbitmq LANG=C.UTF-8 LC_ALL=C.UTF-8
VOLUME /var/lib/rabbitmq
COPY rabbitmq-entrypoint.sh /usr/local/bin/docker-entrypoint.sh
ENTRYPOINT ["docker-entrypoint.sh"]
CMD ["rabbitmq-server"]
