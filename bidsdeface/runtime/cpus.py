"""How many processors this process may use, which is often fewer than the machine has."""

import os
from collections.abc import Iterator, Mapping
from math import ceil
from pathlib import Path

CGROUP_ROOT = Path("/sys/fs/cgroup")
OWN_CGROUPS = Path("/proc/self/cgroup")


def available_cpus(
    environ: Mapping[str, str] = os.environ,
    cgroup_root: Path = CGROUP_ROOT,
    own_cgroups: Path = OWN_CGROUPS,
) -> int:
    """Count the processors that affinity, container and batch system all grant.

    Parameters
    ----------
    environ : mapping of str to str, optional
        Environment in which Slurm announces ``SLURM_CPUS_PER_TASK``.
    cgroup_root : Path, optional
        Where the cgroup file system is mounted.
    own_cgroups : Path, optional
        File in which the kernel names the cgroups of this process.

    Returns
    -------
    int
        At least 1.
    """
    limits = [len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()]
    limits += [limit for folder in _cgroups(cgroup_root, own_cgroups) if (limit := _cgroup_limit(folder))]
    slurm = environ.get("SLURM_CPUS_PER_TASK", "")
    limits.append(int(slurm) if slurm.isdecimal() else None)
    return max(1, min(limit for limit in limits if limit is not None))


def _cgroups(root: Path, own: Path) -> Iterator[Path]:
    """Yield the folders of this process's cgroups that may limit it, and of all above them.

    Docker mounts a container's own cgroup as the root; Apptainer and batch systems leave the host's.
    """
    try:
        lines = own.read_text().splitlines()
    except OSError:  # not Linux
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        mount = root / "cpu" if controllers else root  # version 1, version 2
        place = mount / path.lstrip("/")
        yield from (folder for folder in (place, *place.parents) if folder.is_relative_to(mount))


def _cgroup_limit(folder: Path) -> int | None:
    """Processors' worth of time that a cgroup grants (``docker run --cpus``), if it has a say."""
    for names in (("cpu.max",), ("cpu.cfs_quota_us", "cpu.cfs_period_us")):  # version 2, version 1
        try:
            quota, period = " ".join((folder / name).read_text() for name in names).split()
            if quota not in ("max", "-1"):
                return ceil(int(quota) / int(period))
        except (OSError, ValueError):
            continue
    return None
