"""How many processors this process may use, which is often fewer than the machine has."""

import os
from collections.abc import Mapping
from math import ceil
from pathlib import Path

CGROUP_ROOT = Path("/sys/fs/cgroup")


def available_cpus(environ: Mapping[str, str] = os.environ, cgroup_root: Path = CGROUP_ROOT) -> int:
    """Count the processors that affinity, container and batch system all grant.

    Parameters
    ----------
    environ : mapping of str to str, optional
        Environment in which Slurm announces ``SLURM_CPUS_PER_TASK``.
    cgroup_root : Path, optional
        Where the cgroup file system of this process is mounted.

    Returns
    -------
    int
        At least 1.
    """
    limits = [len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()]
    limits.append(_cgroup_limit(cgroup_root))
    slurm = environ.get("SLURM_CPUS_PER_TASK", "")
    limits.append(int(slurm) if slurm.isdecimal() else None)
    return max(1, min(limit for limit in limits if limit is not None))


def _cgroup_limit(root: Path) -> int | None:
    """Processors' worth of time that the cgroup grants (``docker run --cpus``), if it has a say."""
    for names in (("cpu.max",), ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us")):  # v2, then v1
        try:
            quota, period = " ".join((root / name).read_text() for name in names).split()
            if quota not in ("max", "-1"):
                return ceil(int(quota) / int(period))
        except (OSError, ValueError):
            continue
    return None
