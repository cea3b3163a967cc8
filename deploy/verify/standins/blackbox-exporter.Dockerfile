FROM standin/debian:trixie
RUN apt-get update && apt-get install -y --no-install-recommends prometheus-blackbox-exporter wget && rm -rf /var/lib/apt/lists/*
ENTRYPOINT ["/usr/bin/prometheus-blackbox-exporter"]
CMD ["--config.file=/etc/blackbox_exporter/config.yml"]
