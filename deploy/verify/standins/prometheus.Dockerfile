FROM standin/debian:trixie
RUN apt-get update && apt-get install -y --no-install-recommends prometheus curl && rm -rf /var/lib/apt/lists/*
RUN ln -s /usr/bin/prometheus /bin/prometheus 2>/dev/null || true; mkdir -p /prometheus && chown nobody /prometheus
USER nobody
WORKDIR /prometheus
VOLUME /prometheus
ENTRYPOINT ["/usr/bin/prometheus"]
CMD ["--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/prometheus"]
