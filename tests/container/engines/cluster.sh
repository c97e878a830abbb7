#!/bin/bash
# cluster.sh FOLDER: make in FOLDER/cluster the root file system of a machine with Apptainer and Slurm, of Debian sid,
# and in its /opt/tools what people start jobs with, from PyPI. It is made anew when this script has changed.
set -euo pipefail
root=$1/cluster
cmp -s "$0" "$root/ready" && exit
command -v mmdebstrap >/dev/null || { apt-get update -qq; apt-get install -y -qq --no-install-recommends mmdebstrap; } >&2
rm -rf "$root"
mmdebstrap --quiet --variant=apt --aptopt='Acquire::Check-Valid-Until "false"' \
    --include=apptainer,squashfuse,fuse2fs,fuse-overlayfs,ca-certificates,tzdata,slurm-wlm,munge,python3.13-venv,git,openssh-client,7zip \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' sid "$root" </dev/null
cp /etc/hosts "$root/etc/hosts"
ln -sf /usr/share/zoneinfo/UTC "$root/etc/localtime"
chroot "$root" useradd --create-home --uid 1000 --shell /bin/bash user
echo user:100000:65536 | tee "$root/etc/subuid" >"$root/etc/subgid"
mknod -m 666 "$root/opt/fuse" c 10 229
cp /usr/local/share/ca-certificates/*.crt "$root/usr/local/share/ca-certificates/" 2>/dev/null || true
chroot "$root" update-ca-certificates >/dev/null 2>&1
chroot "$root" python3.13 -m venv /opt/tools
# Versions that this was tested with; git-annex 10.20261026 does not work beside BABS.
chroot "$root" env -u PIP_FIND_LINKS PIP_CERT=/etc/ssl/certs/ca-certificates.crt /opt/tools/bin/pip install --quiet --no-cache-dir --disable-pip-version-check \
    snakemake==9.27.1 snakemake-executor-plugin-slurm==2.8.0 babs==0.5.2 datalad==1.7.1 datalad-container==1.2.6 git-annex==10.20260525
cp "$0" "$root/ready"
