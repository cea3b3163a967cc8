#!/usr/bin/env bash
# Makes stand-ins for the images that our files name, for a machine that reaches Debian's packages but no registry of images.
#
#   deploy/verify/standins.sh            (as root, with mmdebstrap and a Docker engine)
#
# Each has Debian 13's package of the same program under the name that our files use, and an entrypoint that does the part
# of the official one that our files rely on. What Debian lacks is Grafana: its stand-in only answers its health check.
# An image that is here already is left alone.
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
    # Behind a proxy that ends TLS, the images have to trust what this machine trusts.
    cp /etc/ssl/certs/ca-certificates.crt "$context/trusted.crt"
    # The classic builder: it comes with the engine everywhere, and host networking lets it reach what the machine reaches.
    DOCKER_BUILDKIT=0 docker build --quiet --network=host -f "$name.Dockerfile" -t "$image" "$context"
    rm -rf "$context"
    echo "$image made"
done
