"""Workers: every item comes back, whatever happens to the process that had it."""

import errno
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from bidsdeface.errors import BidsdefaceError, Exit, TemplateError, may_pass
from bidsdeface.runtime.workers import ONE_THREAD, Lost, run_in_workers


def make_square(log):
    """Prepare a function that squares numbers, and count how often that is done."""
    with Path(log).open("a") as file:
        file.write(f"{os.getpid()}\n")
    return lambda number: [number**2]


def make_obedient(*_):
    """Prepare a function that does what the item says."""

    def obey(order):
        what, *how = order
        if what == "die":
            os.kill(os.getpid(), how[0])
            time.sleep(30)
        if what == "allocate":
            return bytes(how[0])
        if what == "signal":
            os.kill(os.getpid(), how[0])
        if what == "exit":
            os._exit(how[0])
        if what == "raise":
            raise how[0]
        if what == "raise from":
            raise how[0] from how[1]
        if what == "say":
            logging.getLogger("bidsdeface.somewhere").log(*how)
        if what == "sleep":
            Path(how[0]).write_text(str(os.getpid()))
            time.sleep(60)
        if what == "multiply":
            square = np.ones((600, 600))
            square @ square
            threads = len(list(Path("/proc/self/task").iterdir()))
            return threads, {name: os.environ.get(name) for name in ONE_THREAD}
        if what == "cannot be sent":
            return lambda: None
        return what

    return lambda order: [obey(order)]


def make_counter():
    """Prepare a function that tells all numbers up to the item, and dies at 3."""

    def count(last):
        for number in range(last):
            if number == 3:
                os.kill(os.getpid(), signal.SIGKILL)
            yield number

    return count


def make_nothing(error):
    raise error


def run(orders, n_procs=2):
    return list(run_in_workers(make_obedient, (), orders, n_procs))


@pytest.mark.parametrize("n_procs", [1, 2, 5])
def test_every_item_comes_back_once_with_its_result(tmp_path, n_procs):
    results = list(run_in_workers(make_square, (tmp_path / "log",), range(7), n_procs))
    assert sorted(results) == [(number, number**2) for number in range(7)]
    prepared = (tmp_path / "log").read_text().split()
    assert len(set(prepared)) == len(prepared) <= min(n_procs, 7)


def test_results_come_one_by_one_and_a_killed_worker_costs_only_those_it_had_not_told():
    told = list(run_in_workers(make_counter, (), [2, 5], 1))
    assert told[:5] == [(2, 0), (2, 1), (5, 0), (5, 1), (5, 2)]
    assert len(told) == 6 and isinstance(told[5][1], Lost)


def test_no_items_start_no_process():
    assert run([]) == []


@pytest.mark.parametrize("n_procs", [1, 2])
def test_a_killed_worker_costs_its_own_item_and_says_so(n_procs):
    orders = [("a",), ("die", signal.SIGKILL), ("b",), ("c",)]
    results = dict(run(orders, n_procs))
    assert [results[order,] for order in "abc"] == ["a", "b", "c"]
    lost = results["die", signal.SIGKILL]
    assert isinstance(lost, Lost)
    assert lost.code is Exit.RETRY
    assert "killed" in lost.reason and "more memory or lower --n-procs" in lost.reason


def test_all_workers_killed_one_after_the_other_lose_only_what_they_had():
    orders = [("die", signal.SIGKILL), ("exit", 3), ("die", signal.SIGABRT), ("die", signal.SIGSEGV), ("a",)]
    results = run(orders)
    reasons = {order: result.reason for order, result in results if isinstance(result, Lost)}
    assert len(results) == 5 and len(reasons) == 4
    assert signal.strsignal(signal.SIGABRT) in reasons["die", signal.SIGABRT]
    assert signal.strsignal(signal.SIGSEGV) in reasons["die", signal.SIGSEGV]
    assert "exit code 3" in reasons["exit", 3]
    assert {result.code for _, result in results if isinstance(result, Lost)} == {Exit.RETRY}
    assert dict(results)["a",] == "a"


def test_errors_for_the_person_come_back_as_they_are():
    ((_, result),) = run([("raise", TemplateError("template x: is not there; fetch it"))])
    assert isinstance(result, TemplateError) and str(result) == "template x: is not there; fetch it"


def test_an_error_whose_cause_may_pass_says_so_in_the_parent_too():
    order = ("raise from", BidsdefaceError("x: cannot be read"), OSError(errno.EIO, "Input/output error"))
    ((_, result),) = run([order])
    assert isinstance(result, BidsdefaceError) and result.__cause__ is None and may_pass(result)


def test_other_errors_come_back_in_words_and_the_worker_goes_on():
    results = run([("raise", ZeroDivisionError("by zero")), ("a",)], 1)
    assert isinstance(results[0][1], Lost) and "ZeroDivisionError: by zero" in results[0][1].reason
    assert results[0][1].code is Exit.ERROR
    assert results[1] == (("a",), "a")


def test_a_result_that_cannot_be_sent_costs_its_own_item():
    results = dict(run([("cannot be sent",), ("a",)], 1))
    assert results["a",] == "a" and isinstance(results["cannot be sent",], Lost)


def test_a_failed_preparation_comes_back_for_each_item():
    error = TemplateError("template x: does not exist")
    results = list(run_in_workers(make_nothing, (error,), [1, 2], 1))
    assert [str(result) for _, result in results] == ["template x: does not exist"] * 2


def test_log_lines_of_workers_reach_the_parent(caplog, monkeypatch):
    logger = logging.getLogger("bidsdeface")
    monkeypatch.setattr(logger, "propagate", True)
    with caplog.at_level(logging.INFO, "bidsdeface"):
        run([("say", logging.WARNING, "heard"), ("say", logging.DEBUG, "not heard")])
    assert [(r.levelno, r.getMessage()) for r in caplog.records] == [(logging.WARNING, "heard")]


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="counts threads in /proc")
def test_numeric_libraries_get_one_thread_in_each_worker_whenever_they_are_loaded(monkeypatch):
    for name in ONE_THREAD:
        monkeypatch.delenv(name, raising=False)
    before = dict(os.environ)
    loaded_with_the_arguments = (np.zeros(1),)
    ((_, (threads, environment)),) = run_in_workers(
        make_obedient, loaded_with_the_arguments, [("multiply",)], 1
    )
    assert threads == 2  # it and the one that ends it with its parent
    assert environment == dict.fromkeys(ONE_THREAD, "1")
    assert dict(os.environ) == before


def is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_for(condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_all_processes_of_a_job_is_for_the_parent_to_decide_on(number):
    assert run([("signal", number), ("a",)], 1) == [(("signal", number), "signal"), (("a",), "a")]


def test_closing_the_generator_leaves_no_process(tmp_path):
    orders = [("a",), ("sleep", tmp_path / "one"), ("sleep", tmp_path / "two")]
    results = run_in_workers(make_obedient, (), orders, 3)
    assert next(results) == (("a",), "a")
    wait_for(
        lambda: all(
            (tmp_path / name).exists() and (tmp_path / name).stat().st_size for name in ("one", "two")
        )
    )
    pids = [int((tmp_path / name).read_text()) for name in ("one", "two")]
    assert all(map(is_running, pids))
    results.close()
    assert not any(map(is_running, pids))


def test_an_interrupt_of_the_parent_leaves_no_process(tmp_path):
    order = ("sleep", tmp_path / "one")

    def interrupt():
        wait_for(lambda: (tmp_path / "one").exists())
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        run([order])
    thread.join()
    assert not is_running(int((tmp_path / "one").read_text()))


def test_an_item_that_memory_does_not_hold_says_so_and_the_worker_goes_on():
    results = run([("allocate", 2**46), ("a",)], 1)
    assert isinstance(results[0][1], Lost) and "more memory or lower --n-procs" in results[0][1].reason
    assert results[0][1].code is Exit.RETRY
    assert results[1] == (("a",), "a")


def test_too_little_memory_from_the_start_is_said_at_once():
    script = (
        "from tests.unit.runtime.test_workers import run\n"
        "if __name__ == '__main__':\n"
        "    import resource; resource.setrlimit(resource.RLIMIT_AS, (500 * 2**20,) * 2)\n"
        "    print(run([('a',), ('b',)], 1))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.stdout.count("most likely for memory") == done.stdout.count("RETRY") == 2, done.stderr
