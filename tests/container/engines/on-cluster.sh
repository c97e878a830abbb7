#!/bin/bash
# on-cluster.sh FOLDER UID COMMAND...: run a command on the machine that cluster.sh made; it sees FOLDER, /tmp,
# and this repository as /repository.
# It is entered by pivot_root, as the kernel refuses user namespaces, which Apptainer needs, to a process in a chroot.
set -euo pipefail
repository=$(realpath "$(dirname "$0")/../../..")
exec unshare --mount --propagation private bash -euc '
    repository=$1 folder=$2 root=$2/cluster uid=$3; shift 3
    mount --bind "$root" "$root"
    for place in /dev /proc /sys /tmp "$folder"; do
        mkdir -p "$root$place"
        mount --rbind "$place" "$root$place"
    done
    mkdir -p "$root/repository"
    mount --rbind "$repository" "$root/repository"
    mount --bind "$root/opt/fuse" "$root/dev/fuse"
    cd "$root"
    mkdir -p .old
    pivot_root . .old
    umount --lazy .old
    cd /
    if [ "$uid" = 0 ]; then HOME=/root exec "$@"; fi
    HOME=/home/user USER=user exec setpriv --reuid "$uid" --regid "$uid" --clear-groups "$@"
' _ "$repository" "$@"
