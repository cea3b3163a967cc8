#!/usr/bin/env bash
# Builds stand-ins for the images of the compose files, on a machine that reaches Debian's packages but no image registry.
#
#   deploy/verify/standins.sh            (as root, with mmdebstrap and a Docker engine)
#
# Each has Debian 13's package of the same program under the same image name, and an entrypoint with the part
# of the official one that the files need. Debian has no Grafana: its stand-in only answers its health check.
# An existing image is not replaced.
set -euo pipefail
cd "$(dirname "$0")/standins"
top=../../..
mirror=${DEBIAN_MIRROR:-http://deb.debian.org/debian}
here() { docker image inspect "$1" >/dev/null 2>&1; }

if ! here standin/debian:trixie; then
    mmdebstrap --variant=minbase --include=ca-certificates --aptopt='Acquire::Languages "none"' \
        --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/doc/*' trixie - "$mirror" |
        docker import -c 'CMD ["bash"]' - standin/debian:trixie
fi

images=$(grep -hoP '(?:^ARG PYTHON_IMAGE=|^ +image: )\K(?!heyday|\$)\S+' "$top"/Dockerfile.prod "$top"/docker-compose*.yml | sort -u)
for image in $images; do
    if here "$image"; then
        echo "$image is here"
        continue
    fi
    name=${image##*/}
    name=${name%%:*}
    context=$(mktemp -d)
    cp "$name".* "$context"
    # Behind a proxy that ends TLS, the images must trust the certificates that this machine trusts.
    cp /etc/ssl/certs/ca-certificates.crt "$context/trusted.crt"
    # The classic builder comes with every engine, and with host networking it reaches what the machine reaches.
    DOCKER_BUILDKIT=0 docker build --quiet --network=host -f "$name.Dockerfile" -t "$image" "$context"
    rm -rf "$context"
    echo "$image made"
done
