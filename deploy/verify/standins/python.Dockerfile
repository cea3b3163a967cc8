FROM standin/debian:trixie
RUN apt-get update && apt-get install -y --no-install-recommends python3 python3-venv python3-pip && rm -rf /var/lib/apt/lists/*
COPY trusted.crt /etc/ssl/certs/ca-certificates.crt
