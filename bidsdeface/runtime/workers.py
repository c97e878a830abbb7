"""Run a function over items in worker processes, and survive the death of any of them.

A worker that is killed, by the kernel for memory or by hand, costs its own item and no other. The pool of
``concurrent.futures`` breaks as a whole instead. Results do not depend on the number of workers: numeric
libraries get one thread in each.
"""

import logging
import mmap
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from logging.handlers import QueueHandler
from math import ceil
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, cast

from bidsdeface.errors import OUT_OF_MEMORY, BidsdefaceError, Exit, code_of_scan, describe

ONE_THREAD = (
    "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
)
LEAST_MEMORY_BYTES = 768 * 2**20  # of address space; no scan gets by with less
CGROUP_ROOT = Path("/sys/fs/cgroup")
OWN_CGROUPS = Path("/proc/self/cgroup")
LOGGER = logging.getLogger("bidsdeface")


@dataclass(frozen=True)
class Lost:
    """The outcome of an item without a result.

    Attributes
    ----------
    reason : str
        In words.
    code : Exit
        `Exit.RETRY` where the process was lost, or memory or disk space was short; else `Exit.ERROR`.
    """

    reason: str
    code: Exit = Exit.RETRY


class _PipeHandler(QueueHandler):
    """Send log records to the parent process, which alone writes to the terminal."""

    def enqueue(self, record: logging.LogRecord) -> None:
        try:
            cast("Connection", self.queue).send(("log", record))
        except OSError:
            os._exit(1)  # the parent is gone


def run_in_workers(
    prepare: Callable[..., Callable[[Any], Iterable[Any]]],
    arguments: tuple,
    items: Sequence[Any],
    n_procs: int,
) -> Iterator[tuple[Any, Any]]:
    """Yield each item's results as they come.

    Parameters
    ----------
    prepare : callable
        Called once in each worker with `arguments`; returns the function to call on an item, which returns
        its results, or yields them one by one. It must be importable by name.
    arguments : tuple
    items : sequence
    n_procs : int
        How many workers at most.

    Yields
    ------
    item, result
        Each of the item's results; if they end early, the `BidsdefaceError` that was raised, or `Lost`.
    """
    context = multiprocessing.get_context("spawn")
    waiting = list(reversed(items))
    busy: dict[Any, tuple[Any, Any]] = {}  # by the pipe to a worker: its process and its item

    def start() -> None:
        pipe, far_end = context.Pipe()
        process = context.Process(target=_work, args=(far_end, prepare, arguments, LOGGER.level), daemon=True)
        with _one_thread_for_children():
            process.start()
        far_end.close()
        hand_over(pipe, process)

    def hand_over(pipe: Connection, process: Any) -> None:
        if waiting:
            item = waiting.pop()
            busy[pipe] = (process, item)
            with suppress(OSError):  # the worker died meanwhile: reading from the pipe says so
                pipe.send(item)
        else:
            pipe.close()
            process.join()

    try:
        for _ in range(min(n_procs, len(items))):
            start()
        while busy:
            for pipe in cast("list[Connection]", wait(list(busy))):
                process, item = busy[pipe]
                try:
                    kind, content = pipe.recv()
                except (EOFError, OSError):
                    process.join()
                    kind, content = "lost", Lost(_cause_of_death(process.exitcode))
                if kind == "log":
                    LOGGER.handle(content)
                    continue
                if kind != "result":
                    del busy[pipe]
                if kind == "end":
                    hand_over(pipe, process)
                if content is not None:
                    yield item, content
                if kind == "lost" and waiting:
                    start()
    finally:
        for process, _ in busy.values():
            process.kill()  # all, before one that hangs in the kernel is waited for
        for process, _ in busy.values():
            process.join()


@contextmanager
def _one_thread_for_children() -> Iterator[None]:
    """Let processes that are started here have one thread: set later, numpy may be loaded already."""
    before = {name: os.environ.get(name) for name in ONE_THREAD}
    os.environ.update(dict.fromkeys(ONE_THREAD, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _work(pipe: Connection, prepare: Callable[..., Any], arguments: tuple, level: int) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):  # sent to all processes of a job: the parent decides
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    LOGGER.handlers = [_PipeHandler(cast("Any", pipe))]
    LOGGER.setLevel(level)
    LOGGER.propagate = False

    @cache
    def prepared() -> Callable[[Any], Iterable[Any]]:
        # Raise an error if memory is short from the start: OpenBLAS would try for ever to get some.
        mmap.mmap(-1, LEAST_MEMORY_BYTES).close()
        return prepare(*arguments)

    with suppress(EOFError):  # the parent has closed the pipe: there are no more items
        while True:
            item = pipe.recv()
            end: Any = None
            try:
                for result in prepared()(item):
                    pipe.send(("result", result))
            except BidsdefaceError as error:
                end = error
            except Exception as error:
                LOGGER.debug("unexpected error", exc_info=True)
                end = Lost(describe(error), code_of_scan(error))
            pipe.send(("end", end))


def _end_with_parent() -> None:
    """End this process when its parent is killed: nobody waits for its results any more."""
    if parent := multiprocessing.parent_process():
        wait([parent.sentinel])
        os._exit(1)


def _cause_of_death(exitcode: int | None) -> str:
    if exitcode == -signal.SIGKILL:
        return OUT_OF_MEMORY
    if exitcode is not None and exitcode < 0:
        return f"its process was ended by {signal.strsignal(-exitcode)}; run the same command again"
    return f"its process ended by itself (exit code {exitcode}); run the same command again with -v"


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
    with suppress(OSError):  # not Linux
        for line in own.read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if not controllers or "cpu" in controllers.split(","):
                mount = root / "cpu" if controllers else root  # version 1, version 2
                place = mount / path.lstrip("/")
                yield from (folder for folder in (place, *place.parents) if folder.is_relative_to(mount))


def _cgroup_limit(folder: Path) -> int | None:
    """Return how many processors a cgroup grants (``docker run --cpus``), or None if it has no limit."""
    for names in (("cpu.max",), ("cpu.cfs_quota_us", "cpu.cfs_period_us")):  # version 2, version 1
        with suppress(OSError, ValueError):
            quota, period = " ".join((folder / name).read_text() for name in names).split()
            if quota not in ("max", "-1"):
                return ceil(int(quota) / int(period))
    return None
