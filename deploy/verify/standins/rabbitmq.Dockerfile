FROM standin/debian:trixie
RUN apt-get update && apt-get install -y --no-install-recommends rabbitmq-server curl && rm -rf /var/lib/apt/lists/*
# Debian's wrappers in /usr/sbin require their own user. The scripts do not, if they run from their own folder.
ENV HOME=/var/lib/rabbitmq RABBITMQ_LOGS=-
RUN for command in rabbitmq-server rabbitmqctl rabbitmq-diagnostics rabbitmq-queues; do \
        printf '#!/bin/sh\nexec %s "$@"\n' /usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin/$command >/usr/local/bin/$command \
        && chmod +x /usr/local/bin/$command; \
    done \
    && echo '[rabbitmq_prometheus].' >/etc/rabbitmq/enabled_plugins \
    && mkdir -p /etc/rabbitmq/conf.d /var/lib/rabbitmq && chown -R rabbitmq: /etc/rabbitmq /var/lib/rabbitmq
COPY rabbitmq.sh /usr/local/bin/docker-entrypoint.sh
VOLUME /var/lib/rabbitmq
ENTRYPOINT ["docker-entrypoint.sh"]
CMD ["rabbitmq-server"]
