FROM standin/debian:trixie
RUN apt-get update && apt-get install -y --no-install-recommends python3-minimal libpython3-stdlib wget && rm -rf /var/lib/apt/lists/*
COPY grafana.py /grafana.py
USER nobody
CMD ["python3", "/grafana.py"]
