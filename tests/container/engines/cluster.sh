#!/bin/bash
# cluster.sh FOLDER: make in FOLDER/cluster the root file system of a machine with Apptainer and Slurm, of Debian sid.
set -euo pipefail
root=$1/cluster
[ -e "$root/ready" ] && exit
command -v mmdebstrap >/dev/null || { apt-get update -qq; apt-get install -y -qq --no-install-recommends mmdebstrap; } >&2
rm -rf "$root"
mmdebstrap --quiet --variant=apt --aptopt='Acquire::Check-Valid-Until "false"' \
    --include=apptainer,squashfuse,fuse2fs,fuse-overlayfs,ca-certificates,tzdata,slurm-wlm,munge \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' sid "$root" </dev/null
cp /etc/hosts "$root/etc/hosts"
ln -sf /usr/share/zoneinfo/UTC "$root/etc/localtime"
chroot "$root" useradd --create-home --uid 1000 --shell /bin/bash user
echo user:100000:65536 | tee "$root/etc/subuid" >"$root/etc/subgid"
mknod -m 666 "$root/opt/fuse" c 10 229
touch "$root/ready"
