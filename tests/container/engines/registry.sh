#!/bin/bash
# registry.sh FOLDER PORT: start a registry of images of its own in FOLDER, on this machine only.
set -euo pipefail
mkdir -p "$1"
cd "$1"
command -v docker-registry >/dev/null || { apt-get update -qq; apt-get install -y -qq --no-install-recommends docker-registry; } >&2
cat >config.yml <<END
version: 0.1
storage: {filesystem: {rootdirectory: $PWD/images}}
http: {addr: 127.0.0.1:$2}
END
nohup docker-registry serve config.yml >registry.log 2>&1 </dev/null &
echo $! >pid
for _ in $(seq 60); do (exec 3<>"/dev/tcp/127.0.0.1/$2") 2>/dev/null && exit; sleep 0.5; done
tail -n 5 registry.log >&2
exit 1
