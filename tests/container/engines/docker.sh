#!/bin/bash
# docker.sh FOLDER: start a Docker engine of its own in FOLDER, without bridge and firewall rules; its socket is
# FOLDER/docker.sock. Containers then have the host's network or none.
set -euo pipefail
cd "$1"
command -v dockerd >/dev/null || { apt-get update -qq; apt-get install -y -qq --no-install-recommends docker.io; } >&2
export DOCKER_HOST=unix://$PWD/docker.sock
ready() { docker version >/dev/null 2>&1; }
ready && exit
nohup dockerd --host "$DOCKER_HOST" --data-root "$PWD/docker" --exec-root "$PWD/docker-exec" --pidfile "$PWD/docker.pid" \
    --bridge=none --iptables=false --ip6tables=false --oom-score-adjust 0 >docker.log 2>&1 </dev/null &
for _ in $(seq 60); do ready && exit; sleep 0.5; done
tail -n 5 docker.log >&2
exit 1
