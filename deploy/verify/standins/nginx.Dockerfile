FROM standin/debian:trixie
RUN apt-get update && apt-get install -y --no-install-recommends nginx-light openssl curl && rm -rf /var/lib/apt/lists/*
RUN rm -f /etc/nginx/sites-enabled/default
STOPSIGNAL SIGQUIT
CMD ["nginx", "-g", "daemon off;"]
