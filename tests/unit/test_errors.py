"""The exit codes: which of several counts, which are left out on request, and which error gives which."""

import errno
import itertools
import os
import pickle
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bidsdeface.errors import (
    OPTIONAL,
    BidsdefaceError,
    Exit,
    ImageError,
    StorageError,
    TemplateError,
    UsageError,
    code_of_run,
    code_of_scan,
    counted,
    describe,
    may_pass,
    storage_error,
    worst,
)
from bidsdeface.quality.checks import Rejected

CODES = st.sets(st.sampled_from(Exit))
DOCS = Path(__file__).parents[2] / "docs"


def test_the_numbers_are_those_that_engines_know():
    assert {code.name: code.value for code in Exit} == {
        "DONE": 0,
        "ERROR": 1,
        "USAGE": 2,
        "FAILED": 3,
        "WAITS": 4,
        "LEAK": 5,
        "RETRY": 75,
        "INTERRUPTED": 130,
        "TERMINATED": 143,
    }


def test_usage_md_has_each_code():
    rows = re.findall(r"^\| \*\*(\d+)\*\* \|", (DOCS / "usage.md").read_text(), re.MULTILINE)
    assert sorted(map(int, rows)) == sorted(Exit)


@pytest.mark.parametrize(("worse", "better"), [*itertools.combinations((5, 1, 2, 75, 4, 3, 0), 2)])
def test_of_two_codes_the_worse_counts(worse, better):
    assert worst([Exit(worse), Exit(better)]) == worst([Exit(better), Exit(worse)]) == worse


def test_nothing_that_came_up_is_0():
    assert worst(set()) is Exit.DONE


@given(CODES, CODES)
def test_the_worst_of_all_is_the_worst_of_the_worst(some, others):
    assert worst(some | others) == worst({worst(some), worst(others)})
    assert worst(some) in some | {Exit.DONE}


@given(CODES, st.sets(st.sampled_from(OPTIONAL)))
def test_only_what_is_left_for_a_person_can_be_passed_over(codes, fail_on):
    left = counted(codes, fail_on)
    assert left <= codes
    assert codes - left == {code for code in codes if code in (3, 4, 5)} - fail_on
    assert counted(codes, OPTIONAL) == codes


def raised_from(error, cause):
    """Return an error as it is when it was raised from its cause."""
    try:
        raise error from cause
    except Exception as raised:
        return raised


def system_error(number):
    return OSError(number, os.strerror(number), "/out/x")


PASSING = {
    "memory": MemoryError(),
    "memory, as a library says it": RuntimeError("std::bad_alloc"),
    "memory, as the system says it": system_error(errno.ENOMEM),
    "full disk": system_error(errno.ENOSPC),
    "quota": system_error(errno.EDQUOT),
    "fault of a disk": system_error(errno.EIO),
    "lost mount": system_error(errno.ESTALE),
    "full disk in words": storage_error("x", system_error(errno.ENOSPC)),
    "read error in words": raised_from(ImageError("x: cannot be read"), system_error(errno.EIO)),
    "usage that is none": raised_from(UsageError("x: cannot be written"), system_error(errno.ENOSPC)),
    "said so": ImageError("x: changed while it was read", retry=True),
}
# An error, the code of a run that it ends, and the code of a scan that it costs.
STAYING = {
    "unreadable image": (ImageError("x: is empty"), 1, 3),
    "rejected": (Rejected({"stray_tissue_ml": "a marker"}, {"stray_tissue_ml": 9.0}), 1, 3),
    "template": (TemplateError("x: missing"), 1, 3),
    "image that may not be read": (raised_from(ImageError("x"), system_error(errno.EACCES)), 1, 3),
    "usage": (UsageError("x: another grid"), 2, 2),
    "folder that may not be written": (storage_error("x", system_error(errno.EACCES)), 1, 1),
    "read-only disk": (storage_error("x", system_error(errno.EROFS)), 1, 1),
    "fault of the program": (ZeroDivisionError(), 1, 1),
    "system error that nobody expected": (system_error(errno.EINVAL), 1, 1),
}


@pytest.mark.parametrize("name", PASSING)
def test_a_cause_that_may_pass_is_worth_another_try(name):
    assert code_of_run(PASSING[name]) is code_of_scan(PASSING[name]) is Exit.RETRY
    assert "report this" not in describe(PASSING[name])


@pytest.mark.parametrize("name", STAYING)
def test_a_cause_that_stays_is_not(name):
    error, of_run, of_scan = STAYING[name]
    assert (code_of_run(error), code_of_scan(error)) == (of_run, of_scan)


ALL = [*PASSING.values(), *(error for error, _, _ in STAYING.values())]


@pytest.mark.parametrize("error", [error for error in ALL if isinstance(error, BidsdefaceError)], ids=str)
def test_an_error_means_the_same_in_another_process(error):
    sent = pickle.loads(pickle.dumps(error))
    assert (type(sent), str(sent), may_pass(sent)) == (type(error), str(error), may_pass(error))
    assert isinstance(error, StorageError) == isinstance(sent, StorageError)


def test_what_a_message_says_decides_nothing():
    assert not may_pass(BidsdefaceError("x: No space left on device; Cannot allocate memory; std::bad_alloc"))
