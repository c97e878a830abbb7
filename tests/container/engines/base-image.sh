#!/bin/bash
# base-image.sh TAG: import Debian's Python as TAG, to stand in for a base image that cannot be pulled.
# It also gets what this machine needs to reach PyPI (certificates), which has no place in the Dockerfile.
set -euo pipefail
command -v mmdebstrap >/dev/null || { apt-get update -qq; apt-get install -y -qq --no-install-recommends mmdebstrap; } >&2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat >"$work/customize" <<'HOOK'
#!/bin/bash
set -euo pipefail
cp /usr/local/share/ca-certificates/*.crt "$1/usr/local/share/ca-certificates/" 2>/dev/null || true
chroot "$1" update-ca-certificates >/dev/null 2>&1
printf '[global]\ncert = /etc/ssl/certs/ca-certificates.crt\n' >"$1/etc/pip.conf"
rm -rf "$1"/usr/lib/python3*/EXTERNALLY-MANAGED "$1"/var/lib/apt/lists/*
ln -s /usr/bin/python3 "$1/usr/local/bin/python"
HOOK
chmod +x "$work/customize"
mmdebstrap --quiet --variant=minbase --include=ca-certificates,tzdata,python3,python3-venv \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' --customize-hook="$work/customize" bookworm "$work/base.tar" </dev/null
docker import -c 'CMD ["python"]' -c 'ENV LANG=C.UTF-8' "$work/base.tar" "$1" >/dev/null
