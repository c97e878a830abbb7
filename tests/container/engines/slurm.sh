#!/bin/bash
# slurm.sh FOLDER: on the machine that cluster.sh made, start a Slurm of one node in FOLDER/slurm, on loopback only.
# No systemd, no cgroups, no accounting; memory limits are kept by polling. It says to have four processors, so that
# tasks do run at the same time.
set -euo pipefail
mkdir -p "$1"/slurm/{state,spool}
cd "$1/slurm"
host=$(hostname -s)
memory=$(awk '/MemTotal/ {print int($2 / 1024 * 0.9)}' /proc/meminfo)
echo CgroupPlugin=disabled >cgroup.conf
cat >slurm.conf <<CONF
ClusterName=test
SlurmctldHost=$host(127.0.0.1)
SlurmctldPidFile=$PWD/slurmctld.pid
SlurmctldLogFile=$PWD/slurmctld.log
SlurmctldPort=26817
SlurmdPidFile=$PWD/slurmd.pid
SlurmdLogFile=$PWD/slurmd.log
SlurmdPort=26818
SlurmdParameters=config_overrides
SlurmdSpoolDir=$PWD/spool
SlurmUser=root
StateSaveLocation=$PWD/state
AuthType=auth/munge
CredType=cred/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
JobCompType=jobcomp/filetxt
JobCompLoc=$PWD/completed.txt
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SchedulerParameters=sched_interval=1,bf_interval=1
PropagateResourceLimits=NONE
ReturnToService=2
MinJobAge=3600
KillWait=5
NodeName=$host NodeAddr=127.0.0.1 CPUs=4 RealMemory=$memory
PartitionName=test Nodes=$host Default=YES MaxTime=INFINITE DefMemPerCPU=2000
CONF
ln -sf "$PWD/slurm.conf" /etc/slurm/slurm.conf # for jobs that lose SLURM_CONF
install -d -o munge -g munge -m 0755 /run/munge
munge -n >/dev/null 2>&1 || setpriv --reuid munge --regid munge --clear-groups munged --force
export SLURM_CONF=$PWD/slurm.conf
slurmctld
slurmd
for _ in $(seq 60); do
    [ "$(sinfo --noheader --format=%T 2>/dev/null)" = idle ] && exit
    sleep 0.5
done
tail -n 5 slurmctld.log slurmd.log >&2
exit 1
