FROM standin/debian:trixie
RUN apt-get update && apt-get install -y --no-install-recommends redis-server && rm -rf /var/lib/apt/lists/*
RUN mkdir -p /data && chown redis /data
WORKDIR /data
VOLUME /data
USER redis
# As the official entrypoint does; the network of the containers protects it.
ENTRYPOINT ["sh", "-c", "[ \"$1\" != redis-server ] || set -- \"$@\" --protected-mode no; exec \"$@\"", "--"]
CMD ["redis-server"]
