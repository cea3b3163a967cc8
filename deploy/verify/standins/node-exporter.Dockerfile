FROM standin/debian:trixie
RUN apt-get update && apt-get install -y --no-install-recommends prometheus-node-exporter wget && rm -rf /var/lib/apt/lists/*
USER nobody
ENTRYPOINT ["/usr/bin/prometheus-node-exporter"]
